"""The residual network for pictures (He et al. 2016) without its classifier, from scratch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .conv2d import ConvNorm2d, Residual2d


class ResNet2d(nn.Module):
    """Feature maps at a 4th of the resolution, an 8th, and so on.

    Args:
        inputs: channels of the picture.
        widths: channels of each map, finest first.
        depths: residual blocks of each.
    """

    def __init__(self, inputs: int, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.first = ConvNorm2d(inputs, widths[0], 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        before = (widths[0], *widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(
                Residual2d(fine, coarse, stride=1 if n == 0 else 2),
                *(Residual2d(coarse, coarse) for _ in range(depth - 1)),
            )
            for n, (fine, coarse, depth) in enumerate(zip(before, widths, depths, strict=True))
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps (n, width, j / 4, i / 4), ... of a picture (n, inputs, j, i), finest first."""
        x = self.pool(self.first(x))
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found
