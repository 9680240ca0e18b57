"""An optimizer that learns small convolutional networks in few steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_SCHULZ = (3.4445, -4.7750, 2.0315)
_LEAST = 16
"""Kernels with fewer inputs or outputs are too thin to be orthogonalized."""


class OrthogonalizedMomentum(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for the kernels in the middle of a network, Adam (Kingma & Ba 2015) for the rest.

    The momentum of each kernel, as an (outputs, inputs * area) matrix, is brought near the closest orthogonal matrix by
    five Newton-Schulz steps, so that rare directions of the gradient count as much as frequent ones.

    Args:
        network: its convolution kernels with many inputs and outputs are orthogonalized.
        learning_rate: of Adam; kernels take steps of three times that length, by the largest singular value.
        momentum: of the kernels.
    """

    def __init__(self, network: nn.Module, learning_rate: float, momentum: float = 0.95) -> None:
        kernels = [p for p in network.parameters() if p.ndim >= 4 and min(p.shape[:2]) >= _LEAST]
        chosen = {id(p) for p in kernels}
        others = [p for p in network.parameters() if id(p) not in chosen]
        groups = [{"params": part, "matrices": part is kernels} for part in (kernels, others) if part]
        super().__init__(groups, {"lr": learning_rate, "momentum": momentum, "betas": (0.9, 0.99)})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update from the gradients; parameters without one stay."""
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None]
            if group["matrices"]:
                self._orthogonal(given, group["lr"], group["momentum"])
            else:
                self._adam(given, group["lr"], *group["betas"])

    def _orthogonal(self, kernels: list[torch.Tensor], rate: float, momentum: float) -> None:
        by_shape: dict[torch.Size, list[torch.Tensor]] = {}
        for kernel in kernels:
            by_shape.setdefault(kernel.shape, []).append(kernel)
        for shape, same in by_shape.items():
            wanted = []
            for kernel in same:
                assert kernel.grad is not None
                mean = self.state[kernel].setdefault("mean", torch.zeros_like(kernel))
                mean.lerp_(kernel.grad, 1.0 - momentum)
                wanted.append(kernel.grad.lerp(mean, momentum).flatten(1))
            length = 3.0 * rate * max(1.0, shape[0] / shape[1:].numel()) ** 0.5
            for kernel, update in zip(same, orthogonalized(torch.stack(wanted)), strict=True):
                kernel.add_(update.reshape(shape), alpha=-length)

    def _adam(self, parameters: list[torch.Tensor], rate: float, beta1: float, beta2: float) -> None:
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state |= {"mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
                state["steps"] = torch.zeros(())
            state["steps"] += 1
            steps = float(state["steps"])
            state["mean"].lerp_(parameter.grad, 1.0 - beta1)
            state["square"].lerp_(parameter.grad.square(), 1.0 - beta2)
            spread = (state["square"] / (1.0 - beta2**steps)).sqrt_().add_(1e-8)
            parameter.addcdiv_(state["mean"], spread, value=-rate / (1.0 - beta1**steps))


def orthogonalized(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """(b, rows, columns) with all singular values brought near 1 (0.7 to 1.2)."""
    a, b, c = _SCHULZ
    flat = matrices.shape[1] <= matrices.shape[2]
    x = matrices if flat else matrices.mT
    x = x / x.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if flat else x.mT
