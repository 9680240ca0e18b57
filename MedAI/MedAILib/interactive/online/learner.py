"""A small network that learns within milliseconds what was marked, and goes on learning with each prompt."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

_HIDDEN = 16
_RATE = 0.02
_DECAY = 1e-3


class Learner:
    """Tells inside from outside by features.

    Args:
        channels: of the features.
        device: of the network.
    """

    def __init__(self, channels: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        self._net = nn.Sequential(nn.Linear(channels, _HIDDEN), nn.Tanh(), nn.Linear(_HIDDEN, 1))
        with torch.no_grad():
            for each in self._net.parameters():
                each.copy_(torch.randn(each.shape, generator=generator) * (0.5 / each.shape[-1] ** 0.5))
        self._net.to(device)

    def learn(
        self, features: torch.Tensor, inside: torch.Tensor, weight: torch.Tensor, steps: int, check: Callable[[], None]
    ) -> None:
        """Weighted cross-entropy, all samples at each step.

        Args:
            features: (n, channels).
            inside: (n,), 0 to 1.
            weight: (n,); both classes are made to count the same.
            steps: of Adam.
            check: is called at each step.
        """
        shares = [(weight * share).sum().clamp_min(1e-6) for share in (inside, 1.0 - inside)]
        balanced = weight * (inside / shares[0] + (1.0 - inside) / shares[1])
        optimizer = torch.optim.Adam(self._net.parameters(), _RATE, weight_decay=_DECAY)
        with torch.enable_grad():
            for _ in range(steps):
                check()
                optimizer.zero_grad()
                said = self._net(features)[:, 0]
                loss = functional.binary_cross_entropy_with_logits(said, inside, balanced, reduction="sum")
                loss.backward()
                optimizer.step()

    @torch.inference_mode()
    def evidence(self, features: torch.Tensor) -> torch.Tensor:
        """(k, j, i) logits of features (channels, k, j, i)."""
        rows = features.flatten(1).T
        return self._net(rows)[:, 0].view(features.shape[1:])
