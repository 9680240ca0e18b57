"""A plain residual U-Net for pictures, which every other network for pictures has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from .blocks.conv2d import ConvNorm2d, Residual2d, enlarged


class UNet2D(nn.Module):
    """Encoder and decoder with residual blocks (Ronneberger et al. 2015, He et al. 2016): the two-dimensional twin of
    :class:`.unet.ResidualUNet`, with skip connections added after a projection.

    Args:
        inputs: channels of the picture.
        classes: number of classes, background included.
        widths: channels of each level, finest first.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    def __init__(self, inputs: int = 1, classes: int = 2, widths: Sequence[int] = (32, 64, 128, 256, 256)) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.stem = ConvNorm2d(inputs, widths[0])
        self.downs = nn.ModuleList(Residual2d(fine, coarse, stride=2) for fine, coarse in pairwise(widths))
        pairs = list(reversed(list(pairwise(widths))))
        self.projections = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.ups = nn.ModuleList(Residual2d(fine, fine) for fine, _ in pairs)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, j, i) of a picture (n, inputs, j, i)."""
        skips = []
        x = self.stem(x)
        for down in self.downs:
            skips.append(x)
            x = down(x)
        for project, up in zip(self.projections, self.ups, strict=True):
            skip = skips.pop()
            x = up(enlarged(project(x), skip.shape[2:]) + skip)
        return self.head(x)
