"""Res-UNet-R and Res-UNet-H: objects and their boundaries in volumes of thick slices (Li et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from .unet import normalization


class Conv(nn.Sequential):
    """Convolution with odd ``kernel`` (k, j, i), normalization, and ELU unless ``last``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Sequence[int], groups: int, stride: int = 1, last: bool = False
    ) -> None:
        k, j, i = kernel
        layers: list[nn.Module] = [
            nn.Conv3d(inputs, outputs, (k, j, i), (1, stride, stride), (k // 2, j // 2, i // 2), bias=False),
            normalization(outputs, groups),
        ]
        super().__init__(*layers, *([] if last else [nn.ELU()]))


class Anisotropic(nn.Module):
    """The paper's anisotropic convolution block: within slices first, then across them.

    A 1x3x3 convolution, then two of 3x3x3 with a skip connection around both; ELU after each, the last one after the
    addition.
    """

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.within = Conv(inputs, outputs, (1, 3, 3), groups)
        self.across = nn.Sequential(
            Conv(outputs, outputs, (3, 3, 3), groups), Conv(outputs, outputs, (3, 3, 3), groups, last=True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.within(x)
        return functional.elu(x + self.across(x))


class Encoder(nn.Module):
    """A 1x5x5 embedding, an anisotropic block at each level, and 1x3x3 convolutions of stride 2 in the slice between.

    Args:
        inputs: channels of the image.
        widths: channels of each level, finest first.
        groups: of the normalization.
    """

    def __init__(self, inputs: int, widths: Sequence[int], groups: int) -> None:
        super().__init__()
        self.embedding = Conv(inputs, widths[0], (1, 5, 5), groups)
        self.blocks = nn.ModuleList([Anisotropic(widths[0], widths[0], groups)])
        self.downs = nn.ModuleList()
        for fine, coarse in pairwise(widths):
            self.downs.append(Conv(fine, fine, (1, 3, 3), groups, stride=2))
            self.blocks.append(Anisotropic(fine, coarse, groups))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of each level, finest first; level n has (n, widths[n], k, j / 2^n, i / 2^n)."""
        found = [self.blocks[0](self.embedding(x))]
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            found.append(block(down(found[-1])))
        return found


class Decoder(nn.Module):
    """Narrows, enlarges by trilinear interpolation, adds the encoder's features, and refines, level by level.

    Args:
        outputs: channels of the answer.
        widths, groups: of the encoder.
    """

    def __init__(self, outputs: int, widths: Sequence[int], groups: int) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(
            Conv(coarse, fine, (1, 1, 1), groups) for fine, coarse in reversed(list(pairwise(widths)))
        )
        self.blocks = nn.ModuleList(Anisotropic(width, width, groups) for width in reversed(widths[:-1]))
        self.output = nn.Conv3d(widths[0], outputs, (1, 5, 5), padding=(0, 2, 2))

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """(n, outputs, k, j, i) from the encoder's features."""
        x = levels[-1]
        for narrow, block, skip in zip(self.narrow, self.blocks, reversed(levels[:-1]), strict=True):
            x = functional.interpolate(narrow(x), scale_factor=(1.0, 2.0, 2.0), mode="trilinear") + skip
            x = block(x)
        return self.output(x)


class ResUNetR(nn.Module):
    """One decoder gives the mask and the boundary of the objects together.

    The text gives the kernels and their order; widths, the addition of skip connections and the 1x5x5 convolution at
    the end are those of the authors' published code.

    Deviations: the mask is a softmax over ``classes``, so that ordinary label maps can be learned too, with the
    boundary as an additional task; of two classes it is the paper's sigmoid of the difference. The normalization is by
    groups of channels, where the published code has batches, as these are of two patches. Upsampled features are added
    to those of the way down as they are, which the published code passes through one more convolution at the finest
    level. Two steps around the network are left out. The slices are not denoised first: of the interpolation network
    (two neighbors of a noisy slice give two kernels, and the sum of both convolutions replaces it) the text tells
    neither layers nor size of the kernels nor how a noisy slice is recognized. There is one size of patches, not a
    second training with larger ones (320 pixels; the text and the published code differ in the number of slices, 26
    and 36).

    Args:
        inputs: channels of the image.
        classes: background included.
        widths: channels of each level, finest first.
        groups: of the normalization, see :func:`~MedAILib.networks.unet.normalization`.

    Attributes:
        multiple: what the sides of an input must be divisible by, (k, j, i): slices are never thinned out.
    """

    def __init__(
        self, inputs: int = 1, classes: int = 2, widths: Sequence[int] = (28, 36, 48, 64, 80), groups: int = 4
    ) -> None:
        super().__init__()
        side = 2 ** (len(widths) - 1)
        self.classes, self.multiple = classes, (1, side, side)
        self.encoder = Encoder(inputs, widths, groups)
        self.decoders = self._decoders(widths, groups)

    def _decoders(self, widths: Sequence[int], groups: int) -> nn.ModuleList:
        return nn.ModuleList([Decoder(self.classes + 1, widths, groups)])

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits and, as one more channel, the boundary's logit: (n, classes + 1, k, j, i)."""
        levels = self.encoder(x)
        return torch.cat([decoder(levels) for decoder in self.decoders], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i).

        In training mode a list of them and the boundary's logit (n, 1, k, j, i).
        """
        if self.training:
            return list(self.scores(x).split([self.classes, 1], 1))
        return self.decoders[0](self.encoder(x))[:, : self.classes]


class ResUNetH(ResUNetR):
    """Res-UNet-R with a decoder each for mask and boundary, so that noise in one disturbs the other less."""

    def _decoders(self, widths: Sequence[int], groups: int) -> nn.ModuleList:
        return nn.ModuleList([Decoder(self.classes, widths, groups), Decoder(1, widths, groups)])
