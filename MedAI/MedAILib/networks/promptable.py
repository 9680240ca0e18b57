"""A small network that finds the object which prompts point at, in a cubic region of a volume.

A residual U-Net whose levels begin at half the resolution: the first convolution strides by two, so that nearly all
work is done on an eighth of the voxels. At full resolution there is one convolution, which sees what the half
resolution found beside the inputs themselves and so only has to draw the edges. The inputs are also shown to every
coarser level: a click is a few voxels, and would have to survive all convolutions above otherwise.

A three-dimensional descendant of PE-MED's interface (Chang et al., MLMI 2023; :mod:`.pe_med`): image, positive prompts,
negative prompts and previous mask in, one map of logits out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from .unet import ConvNorm, Residual, Up


class PromptableUNet(nn.Module):
    """The network.

    Args:
        inputs: channels, see :mod:`MedAILib.interactive.network.encoding`.
        widths: channels of each level, from half the resolution down.
        fine: channels of the convolution at full resolution.
        groups: of the normalizations.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    def __init__(
        self, inputs: int = 6, widths: Sequence[int] = (32, 48, 64, 64), fine: int = 16, groups: int = 8
    ) -> None:
        super().__init__()
        if fine <= inputs:
            raise ValueError(f"fine must be above the {inputs} inputs")
        self.inputs, self.multiple = inputs, 2 ** len(widths)
        first = widths[0]
        self.stem = nn.Conv3d(inputs, first, 4, stride=2, padding=1)
        self.start = Residual(first, groups)
        self.downs = nn.ModuleList(ConvNorm(a, b, groups, stride=2) for a, b in pairwise(widths))
        self.hints = nn.ModuleList(nn.Conv3d(inputs, width, 1) for width in widths[1:])
        self.residuals = nn.ModuleList(Residual(width, groups) for width in widths[1:])
        self.ups = nn.ModuleList(Up(coarse, fine, groups, 2) for fine, coarse in reversed(list(pairwise(widths))))
        self.project = nn.Conv3d(first, fine - inputs, 1)
        self.edges = ConvNorm(fine, fine, 1)
        self.head = nn.Conv3d(fine, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, 1, k, j, i) of inputs (n, inputs, k, j, i), whose sides are divisible by :attr:`multiple`."""
        found = self.start(functional.relu(self.stem(x)))
        hint = functional.avg_pool3d(x, 2)
        skips = []
        for down, see, residual in zip(self.downs, self.hints, self.residuals, strict=True):
            skips.append(found)
            hint = functional.avg_pool3d(hint, 2)
            found = residual(down(found) + see(hint))
        for up in self.ups:
            found = up(found, skips.pop())
        wide = functional.interpolate(self.project(found), scale_factor=2.0, mode="nearest")
        return self.head(self.edges(torch.cat([wide, x], 1)))
