"""MONAI's UNet: residual units, strided convolutions down and transposed ones up (Kerfoot et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import nn

from ..blocks.named import Size, Spec, convolution, same
from .layers import Convolution, Skip


class _Unit(nn.Module):
    """Convolutions and a shortcut, added; the shortcut is a convolution where size or width change."""

    def __init__(
        self, dims: int, inputs: int, outputs: int, kernel: Size, stride: Size, count: int, last_bare: bool, rest: Any
    ) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        width, step = inputs, stride
        for number in range(max(1, count)):
            bare = last_bare and number == max(1, count) - 1
            unit = Convolution(dims, width, outputs, kernel=kernel, stride=step, bare=bare, **rest)
            self.conv.add_module(f"unit{number}", unit)
            width, step = outputs, 1
        strided = (stride if isinstance(stride, int) else prod(stride)) != 1
        self.residual: nn.Module = nn.Identity()
        if strided or inputs != outputs:
            size = kernel if strided else 1
            settings = {"kernel_size": size, "stride": stride, "padding": same(size), "bias": rest["bias"]}
            self.residual = convolution(dims, inputs, outputs, **settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.residual(x)


class MonaiUNet(nn.Module):
    """``monai.networks.nets.UNet``.

    Args:
        inputs, classes: channels of image and answer.
        channels: of each level, finest first.
        strides: between the levels, one number or one for each axis.
        kernel, up_kernel: sides of the kernels down and up, odd.
        units: convolutions of each residual unit; 0 for plain convolutions.
        act, norm: see :mod:`..blocks.named`.
        bias: whether convolutions have one.
        dims: axes, 2 or 3.

    Attributes:
        multiple: what the sides of a patch must be divisible by.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        strides: Sequence[Size] = (2, 2, 2, 2),
        kernel: Size = 3,
        up_kernel: Size = 3,
        units: int = 2,
        act: Spec = "prelu",
        norm: Spec = "instance",
        bias: bool = True,
        dims: int = 3,
    ) -> None:
        super().__init__()
        if len(channels) < 2 or len(strides) < len(channels) - 1:
            raise ValueError(f"{len(strides)} strides do not fit {len(channels)} levels")
        steps = [(step,) * dims if isinstance(step, int) else tuple(step) for step in strides[: len(channels) - 1]]
        sides = [prod(step[axis] for step in steps) for axis in range(dims)]
        self.multiple: int | tuple[int, ...] = tuple(sides) if dims == 3 else max(sides)
        self._dims, self._kernel, self._up_kernel, self._units = dims, kernel, up_kernel, units
        self._rest: dict[str, Any] = {"act": act, "norm": norm, "bias": bias}
        self.model = self._level(inputs, classes, tuple(channels), steps, top=True)

    def _level(
        self, inputs: int, outputs: int, channels: Sequence[int], steps: Sequence[Size], top: bool
    ) -> nn.Sequential:
        """One level with all below it."""
        width = channels[0]
        if len(channels) > 2:
            below: nn.Module = self._level(width, width, channels[1:], steps[1:], top=False)
            joined = 2 * width
        else:
            below = self._down(width, channels[1], 1)
            joined = width + channels[1]
        up = self._up(joined, outputs, steps[0], top)
        return nn.Sequential(self._down(inputs, width, steps[0]), Skip(below), up)

    def _down(self, inputs: int, outputs: int, stride: Size) -> nn.Module:
        if self._units:
            return _Unit(self._dims, inputs, outputs, self._kernel, stride, self._units, False, self._rest)
        return Convolution(self._dims, inputs, outputs, kernel=self._kernel, stride=stride, **self._rest)

    def _up(self, inputs: int, outputs: int, stride: Size, top: bool) -> nn.Module:
        settings: dict[str, Any] = {"kernel": self._up_kernel, "stride": stride, "transposed": True, **self._rest}
        enlarge = Convolution(self._dims, inputs, outputs, bare=top and not self._units, **settings)
        if not self._units:
            return enlarge
        unit = _Unit(self._dims, outputs, outputs, self._kernel, 1, 1, top, self._rest)
        return nn.Sequential(enlarge, unit)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i)."""
        return self.model(x)
