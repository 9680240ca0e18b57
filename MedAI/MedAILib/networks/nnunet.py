"""The networks of nnU-Net, so that trained ones can be brought over weight by weight."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .blocks.named import Spec, activation, convolution, normalization, same

Steps = Sequence[Sequence[int]]


class Layer(nn.Module):
    """Convolution, normalization, and an activation unless there is none."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int], bias: bool, norm: Spec, act: Spec
    ) -> None:
        super().__init__()
        dims = len(kernel)
        settings = {"stride": tuple(stride), "padding": same(kernel), "bias": bias}
        self.conv = convolution(dims, inputs, outputs, kernel_size=tuple(kernel), **settings)
        self.norm = normalization(norm, dims, outputs)
        self.act = activation(act) if act is not None else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x)))


class Residual(nn.Module):
    """Two layers around a shortcut.

    Where size or width changes, the shortcut of kind "pooled" averages and then widens (ResNet-D, He et al. 2019; only
    where the width changes), that of kind "strided" is one strided 1x1x1 convolution.
    """

    def __init__(
        self,
        kind: str,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        bias: bool,
        norm: Spec,
        act: Spec,
    ) -> None:
        super().__init__()
        one = [1] * len(kernel)
        self.first = Layer(inputs, outputs, kernel, stride, bias, norm, act)
        self.second = Layer(outputs, outputs, kernel, one, bias, norm, None)
        pooled = kind == "pooled"
        self.stride = tuple(stride) if pooled and max(stride) > 1 else None
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or (max(stride) > 1 and not pooled):
            self.shortcut = Layer(inputs, outputs, one, one if pooled else stride, False, norm, None)
        self.act = activation(act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = functional.avg_pool3d if x.ndim == 5 else functional.avg_pool2d
        short = x if self.stride is None else pool(x, self.stride, self.stride)
        return self.act(self.second(self.first(x)) + self.shortcut(short))


class NNUNet(nn.Module):
    """The U-Nets that nnU-Net plans: plain convolutions, or a residual encoder (Isensee et al. 2021 and 2024).

    The topology is that of its PlainConvUNet and ResidualEncoderUNet, and of MONAI's DynUNet, without the outputs that
    only its training uses.

    Args:
        inputs: channels of the image.
        classes: number of classes, background included.
        features: channels of each level, finest first.
        kernels: kernel of each level, (k, j, i), or (j, i) for pictures.
        strides: how much each level is coarser than the one before, in the same order; the first is usually 1.
        layers: convolutions of each level of the encoder; blocks of two if ``residual``.
        up_layers: convolutions of each level of the decoder, coarsest first.
        residual: "pooled" or "strided" shortcuts in the encoder, see :class:`Residual`; None for none.
        stem: features of a convolution before the first level; None for no such convolution.
        bias, up_bias: whether convolutions, and those that enlarge, have a bias.
        norm, act: normalization and activation, see :mod:`.blocks.named`.

    Attributes:
        multiple: what the sides of a patch must be divisible by: one number for each axis of a volume, one for all axes
            of a picture.
        head: the last layer, a 1x1x1 convolution to the class logits.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        features: Sequence[int] = (32, 64, 128, 256, 320),
        kernels: Steps = ((3, 3, 3),) * 5,
        strides: Steps = ((1, 1, 1), *((2, 2, 2),) * 4),
        layers: Sequence[int] = (2,) * 5,
        up_layers: Sequence[int] = (2,) * 4,
        residual: str | None = None,
        stem: int | None = None,
        bias: bool = True,
        up_bias: bool = True,
        norm: Spec = ("instance", {"affine": True}),
        act: Spec = ("leakyrelu", {"inplace": True}),
    ) -> None:
        super().__init__()
        levels = len(features)
        if {len(kernels), len(strides), len(layers), len(up_layers) + 1} != {levels}:
            raise ValueError(f"kernels, strides, layers and up_layers do not fit {levels} levels")
        if residual not in (None, "pooled", "strided"):
            raise ValueError(f"residual is {residual!r}, not pooled or strided")
        dims = len(kernels[0])
        one = [1] * dims
        sides = [prod(stride[axis] for stride in strides) for axis in range(dims)]
        self.multiple: int | tuple[int, ...] = tuple(sides) if dims == 3 else max(sides)
        rest: tuple[Any, ...] = (bias, norm, act)
        self.stem = Layer(inputs, stem, kernels[0], one, *rest) if stem else nn.Identity()
        self.stages = nn.ModuleList()
        width = stem or inputs
        for outputs, kernel, stride, count in zip(features, kernels, strides, layers, strict=True):
            widths = [width] + [outputs] * (count - 1)
            steps = [stride] + [one] * (count - 1)
            pairs = zip(widths, steps, strict=True)
            if residual:
                parts: list[nn.Module] = [Residual(residual, w, outputs, kernel, step, *rest) for w, step in pairs]
            else:
                parts = [Layer(w, outputs, kernel, step, *rest) for w, step in pairs]
            self.stages.append(nn.Sequential(*parts))
            width = outputs
        self.enlarge, self.refine = nn.ModuleList(), nn.ModuleList()
        for level, count in zip(range(levels - 1, 0, -1), up_layers, strict=True):
            stride, fine = tuple(strides[level]), features[level - 1]
            settings = {"kernel_size": stride, "stride": stride, "bias": up_bias}
            self.enlarge.append(convolution(dims, features[level], fine, transposed=True, **settings))
            widths = [2 * fine] + [fine] * (count - 1)
            self.refine.append(nn.Sequential(*(Layer(w, fine, kernels[level - 1], one, *rest) for w in widths)))
        self.head = convolution(dims, features[0], classes, kernel_size=1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the head sees.

        Args:
            x: (n, inputs, k, j, i), sides divisible by ``multiple``; without k for pictures.

        Returns:
            (n, features[0], k, j, i).
        """
        x = self.stem(x)
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        skips.pop()
        for enlarge, refine in zip(self.enlarge, self.refine, strict=True):
            x = refine(torch.cat((enlarge(x), skips.pop()), 1))
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i)."""
        return self.head(self.features(x))
