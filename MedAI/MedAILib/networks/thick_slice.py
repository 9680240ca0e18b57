"""A residual network that works on the grid of the thick slices and knows nothing of the fine one.

Its features live where there is something measured, on several times fewer pixels than the result has; each thick slice
comes out as a few thin ones on a fixed lattice, from which an exact resampling leads to any grid.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_USUAL = -3.0
"""Logarithm of the error that is expected before anything is learned, for pictures of about -1 to 1."""
CONDITIONS = 3
"""Numbers that describe how the slices were taken, see :class:`ThickSliceNetwork`."""


class Block(nn.Module):
    """Two 3x3 convolutions around an identity (He et al. 2016), without normalization (Lim et al. 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            for parameter in self.second.parameters():
                parameter.mul_(0.3)  # many blocks add up; their sum should begin near the identity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(functional.relu(self.first(x), inplace=True))


class ThickSliceNetwork(nn.Module):
    """From thick slices, seen from the side, to what is to be added in each of their thin parts.

    Args:
        channels: features per pixel.
        blocks: residual blocks.
        subslices: thin parts per slice distance.

    Attributes:
        subslices: as given.
        head: last convolution; begins at 0, so that an untrained network adds nothing.
        spread: tells how far off the result may be; trained apart from the rest, whose features it only reads.
    """

    def __init__(self, channels: int = 64, blocks: int = 6, subslices: int = 8) -> None:
        super().__init__()
        if min(channels, blocks, subslices) < 1:
            raise ValueError("channels, blocks and subslices must be 1 or more")
        self.channels, self.subslices = channels, subslices
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.condition = nn.Linear(CONDITIONS, channels)
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.head = nn.Conv2d(channels, subslices, 3, padding=1)
        self.spread = SpreadHead(channels, subslices)
        for parameter in (*self.head.parameters(), *self.condition.parameters()):
            nn.init.zeros_(parameter)

    def features(self, x: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Feature map (b, channels, n, w) before the head; arguments as of :meth:`forward`."""
        first = self.stem(x[:, None].contiguous(memory_format=torch.channels_last))
        return functional.relu(self.blocks(first + self.condition(conditions)[:, None, None]))

    def forward(
        self, x: torch.Tensor, conditions: torch.Tensor, uncertain: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What to add to each thin part.

        Args:
            x: (b, n, w) pictures across the slices: n slices, w pixels along them, values about -1 to 1.
            conditions: (:data:`CONDITIONS`,): thickness / increment, pixel size / increment, noise in units of ``x``.
            uncertain: also tell the expected error.

        Returns:
            (b, n * subslices, w) float32, thin parts in their order in space; and the logarithm of the expected size
            of their errors, same shape, which sends no gradient to the former. None if that was not asked for.
        """
        features = self.features(x, conditions)
        parts = self.head(features)
        return interleave(parts), self.spread(features.detach(), parts.detach()) if uncertain else None


def interleave(parts: torch.Tensor) -> torch.Tensor:
    """(b, r, n, w) with r thin parts of each slice as channels to (b, n * r, w) float32, in their order in space."""
    count, subslices, slices, width = parts.shape
    return parts.float().permute(0, 2, 1, 3).reshape(count, slices * subslices, width)


class SpreadHead(nn.Module):
    """How far off the result may be, from the features of a :class:`ThickSliceNetwork` and from what it adds.

    Args:
        channels, subslices: the network's.
        hidden: features in between.
    """

    def __init__(self, channels: int = 64, subslices: int = 8, hidden: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels + subslices, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.last = nn.Conv2d(hidden, subslices, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
        """Logarithms of the expected size of the error, in units of the network's result.

        Args:
            features: (b, channels, n, w).
            parts: (b, subslices, n, w) output of the network's head.

        Returns:
            (b, n * subslices, w) float32.
        """
        seen = torch.cat([features, parts.abs()], dim=1).contiguous(memory_format=torch.channels_last)
        return _USUAL + interleave(self.last(functional.relu(self.second(functional.relu(self.first(seen))))))
