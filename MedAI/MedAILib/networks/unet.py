"""A residual U-Net that does little work at full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn import functional


def normalization(channels: int, groups: int) -> nn.Module:
    """Group normalization with affine weights; ``groups=0`` means one group per channel (instance normalization).

    Statistics come from the image itself, so training on single images and predicting on other contrasts agree.
    """
    return nn.GroupNorm(groups or channels, channels)


class ConvNorm(nn.Sequential):
    """3x3x3 convolution without bias, normalization, and a rectifier unless ``last``."""

    def __init__(self, inputs: int, outputs: int, groups: int, stride: int = 1, last: bool = False) -> None:
        layers: list[nn.Module] = [
            nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            normalization(outputs, groups),
        ]
        if not last:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Residual(nn.Module):
    """``convolutions`` 3x3x3 convolutions around an identity (He et al. 2016)."""

    def __init__(self, channels: int, groups: int, convolutions: int = 2) -> None:
        super().__init__()
        last = convolutions - 1
        self.body = nn.Sequential(*(ConvNorm(channels, channels, groups, last=n == last) for n in range(convolutions)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(x + self.body(x), inplace=True)


class Up(nn.Module):
    """Projects to the finer level's width, enlarges twofold, adds the skip connection, and refines.

    The 1x1x1 projection comes before the enlargement because it is eight times cheaper there, and the skip is added,
    not concatenated, because a concatenation doubles the cost of the convolution that follows.
    """

    def __init__(self, coarse: int, fine: int, groups: int, convolutions: int) -> None:
        super().__init__()
        self.project = nn.Conv3d(coarse, fine, 1)
        self.refine: nn.Module = (
            Residual(fine, groups, convolutions) if convolutions > 1 else ConvNorm(fine, fine, groups)
        )

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.refine(functional.interpolate(self.project(x), scale_factor=2.0, mode="nearest") + skip)


class ResidualUNet(nn.Module):
    """Encoder and decoder with residual blocks (after Ronneberger et al. 2015 and Isensee et al. 2024).

    Args:
        inputs: channels of the image.
        classes: number of classes, background included.
        widths: channels of each level, finest first.
        convolutions: convolutions of the residual block of each level but the finest, which has one on either side.
        groups: groups of the normalization; 0 normalizes each channel for itself.
        fine_groups: the same at the finest level, where few groups train much faster; None: as ``groups``.

    Attributes:
        multiple: every side of an input must be divisible by this.
        head: the last layer, a 1x1x1 convolution from ``widths[0]`` features to the class logits.
        pyramid_widths: channels of :meth:`pyramid`.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = (16, 32, 64, 128, 160),
        convolutions: int = 2,
        groups: int = 0,
        fine_groups: int | None = None,
    ) -> None:
        super().__init__()
        fine_groups = groups if fine_groups is None else fine_groups
        self.inputs, self.widths, self.groups = inputs, tuple(widths), groups
        self.pyramid_widths = self.widths
        self.multiple = 2 ** (len(widths) - 1)
        self.stem = ConvNorm(inputs, widths[0], fine_groups)
        self.downs = nn.ModuleList(
            nn.Sequential(ConvNorm(fine, coarse, groups, stride=2), Residual(coarse, groups, convolutions))
            for fine, coarse in pairwise(widths)
        )
        self.ups = nn.ModuleList(
            Up(coarse, fine, groups, convolutions) for fine, coarse in reversed(list(pairwise(widths[1:])))
        )
        self.ups.append(Up(widths[1], widths[0], fine_groups, 1))
        self.head = nn.Conv3d(widths[0], classes, 1)

    def _first_down(self) -> nn.Sequential:
        return cast(nn.Sequential, self.downs[0])

    def body(self, x: torch.Tensor) -> torch.Tensor:
        """Everything below the finest level, on a grid of half the resolution.

        Args:
            x: (n, widths[1], k, j, i), sides divisible by ``multiple / 2``.

        Returns:
            Same shape.
        """
        return self._levels(x)[0]

    def _levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """As :meth:`body`, and the coarser levels' last maps after it."""
        x = self._first_down()[1](x)
        skips = []
        for down in self.downs[1:]:
            skips.append(x)
            x = down(x)
        levels = [x]
        for up in self.ups[:-1]:
            levels.insert(0, up(levels[0], skips.pop()))
        return levels

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Feature map before the head.

        Args:
            x: (n, inputs, k, j, i), sides divisible by :attr:`multiple`.

        Returns:
            (n, widths[0], k, j, i).
        """
        return self.pyramid(x)[0]

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The decoder's last map (n, width, k, j, i) at each level, the one before the head first."""
        fine = self.stem(x)
        levels = self._levels(self._first_down()[0](fine))
        return [self.ups[-1](levels[0], fine), *levels]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i)."""
        return self.head(self.features(x))
