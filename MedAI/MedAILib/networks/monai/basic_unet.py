"""MONAI's BasicUNet: two convolutions at each of five levels (Falk et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..blocks.named import Spec, convolution
from .layers import Convolution, Upsample


class _Two(nn.Sequential):
    """Two convolutions."""

    def __init__(self, dims: int, inputs: int, outputs: int, **rest: Any) -> None:
        super().__init__()
        self.add_module("conv_0", Convolution(dims, inputs, outputs, **rest))
        self.add_module("conv_1", Convolution(dims, outputs, outputs, **rest))


class _Down(nn.Sequential):
    """The largest of eight voxels, then two convolutions."""

    def __init__(self, dims: int, inputs: int, outputs: int, **rest: Any) -> None:
        super().__init__()
        self.add_module("max_pooling", (nn.MaxPool2d, nn.MaxPool3d)[dims - 2](kernel_size=2))
        self.add_module("convs", _Two(dims, inputs, outputs, **rest))


class _Up(nn.Module):
    """Enlarges, joins what comes from the encoder, and two convolutions."""

    def __init__(
        self, dims: int, inputs: int, skip: int, outputs: int, upsample: str, halves: bool = True, **rest: Any
    ) -> None:
        super().__init__()
        width = inputs // 2 if halves else inputs
        self.upsample = Upsample(dims, inputs, width, upsample, aligned=True)
        self.convs = _Two(dims, skip + width, outputs, **rest)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.convs(torch.cat([skip, self.upsample(x)], dim=1))


class MonaiBasicUNet(nn.Module):
    """``monai.networks.nets.BasicUNet``.

    Args:
        inputs, classes: channels of image and answer.
        features: of the five levels, finest first, and after the last enlargement.
        act, norm: see :mod:`..blocks.named`.
        bias: whether convolutions have one.
        upsample: "deconv" or "nontrainable".
        dims: axes, 2 or 3.

    Attributes:
        multiple: 16, what the sides of a patch must be divisible by.
    """

    multiple = 16

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        features: Sequence[int] = (32, 32, 64, 128, 256, 32),
        act: Spec = ("leakyrelu", {"negative_slope": 0.1, "inplace": True}),
        norm: Spec = ("instance", {"affine": True}),
        bias: bool = True,
        upsample: str = "deconv",
        dims: int = 3,
    ) -> None:
        super().__init__()
        if len(features) != 6:
            raise ValueError(f"features has {len(features)} numbers, not 6")
        rest: dict[str, Any] = {"act": act, "norm": norm, "bias": bias}
        a, b, c, d, e, last = features
        self.conv_0 = _Two(dims, inputs, a, **rest)
        self.down_1 = _Down(dims, a, b, **rest)
        self.down_2 = _Down(dims, b, c, **rest)
        self.down_3 = _Down(dims, c, d, **rest)
        self.down_4 = _Down(dims, d, e, **rest)
        self.upcat_4 = _Up(dims, e, d, d, upsample, **rest)
        self.upcat_3 = _Up(dims, d, c, c, upsample, **rest)
        self.upcat_2 = _Up(dims, c, b, b, upsample, **rest)
        self.upcat_1 = _Up(dims, b, a, last, upsample, halves=False, **rest)
        self.final_conv = convolution(dims, last, classes, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i)."""
        skips = [self.conv_0(x)]
        for down in (self.down_1, self.down_2, self.down_3, self.down_4):
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in (self.upcat_4, self.upcat_3, self.upcat_2, self.upcat_1):
            x = up(x, skips.pop())
        return self.final_conv(x)
