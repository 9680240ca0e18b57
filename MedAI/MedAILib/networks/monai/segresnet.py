"""MONAI's SegResNet: a wide residual encoder and a narrow decoder (Myronenko 2018, without the autoencoder)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..blocks.named import Spec, activation, normalization
from .layers import Convolution, Upsample


def _convolution(dims: int, inputs: int, outputs: int, **settings: Any) -> Convolution:
    return Convolution(dims, inputs, outputs, None, None, bare=True, **{"bias": False, **settings})


class _Block(nn.Module):
    """Normalization, activation, convolution, twice, around an identity."""

    def __init__(self, dims: int, channels: int, norm: Spec, act: Spec) -> None:
        super().__init__()
        self.norm1 = normalization(norm, dims, channels)
        self.norm2 = normalization(norm, dims, channels)
        self.act = activation(act)
        self.conv1 = _convolution(dims, channels, channels)
        self.conv2 = _convolution(dims, channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(self.act(self.norm1(x)))
        return x + self.conv2(self.act(self.norm2(inner)))


class MonaiSegResNet(nn.Module):
    """``monai.networks.nets.SegResNet``.

    Args:
        inputs, classes: channels of image and answer.
        filters: of the finest level; they double with each level.
        blocks_down, blocks_up: residual blocks of each level.
        act, norm: see :mod:`..blocks.named`.
        upsample: "nontrainable" or "deconv".
        dims: axes, 2 or 3.

    Attributes:
        multiple: what the sides of a patch must be divisible by.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        filters: int = 8,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        blocks_up: Sequence[int] = (1, 1, 1),
        act: Spec = ("relu", {"inplace": True}),
        norm: Spec = ("group", {"num_groups": 8}),
        upsample: str = "nontrainable",
        dims: int = 3,
    ) -> None:
        super().__init__()
        if len(blocks_up) != len(blocks_down) - 1:
            raise ValueError(f"{len(blocks_up)} levels up do not fit {len(blocks_down)} levels down")
        self.multiple = 2 ** (len(blocks_down) - 1)
        self.convInit = _convolution(dims, inputs, filters)
        self.down_layers, self.up_layers, self.up_samples = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, count in enumerate(blocks_down):
            width = filters * 2**level
            smaller = _convolution(dims, width // 2, width, stride=2) if level else nn.Identity()
            self.down_layers.append(nn.Sequential(smaller, *(_Block(dims, width, norm, act) for _ in range(count))))
        for level, count in zip(range(len(blocks_up), 0, -1), blocks_up, strict=True):
            width = filters * 2 ** (level - 1)
            self.up_layers.append(nn.Sequential(*(_Block(dims, width, norm, act) for _ in range(count))))
            narrower = _convolution(dims, 2 * width, width, kernel=1)
            self.up_samples.append(nn.Sequential(narrower, Upsample(dims, width, width, upsample, aligned=False)))
        head = _convolution(dims, filters, classes, kernel=1, bias=True)
        self.conv_final = nn.Sequential(normalization(norm, dims, filters), activation(act), head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i)."""
        x = self.convInit(x)
        skips = []
        for down in self.down_layers:
            x = down(x)
            skips.append(x)
        skips.pop()
        for sample, up in zip(self.up_samples, self.up_layers, strict=True):
            x = up(sample(x) + skips.pop())
        return self.conv_final(x)
