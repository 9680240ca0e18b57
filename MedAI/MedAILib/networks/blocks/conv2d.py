"""Convolutions of pictures (n, c, j, i)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_GROUPS = 8


def group_norm(channels: int) -> nn.GroupNorm:
    """Eight groups, or as many as divide the channels: unlike batch normalization, it works on single pictures and
    gives the same in training and afterwards."""
    groups = next(number for number in range(min(_GROUPS, channels), 0, -1) if channels % number == 0)
    return nn.GroupNorm(groups, channels)


class ConvNorm2d(nn.Sequential):
    """Convolution without bias, group normalization, and a rectifier unless ``last``."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, last: bool = False) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            group_norm(outputs),
        ]
        if not last:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Residual2d(nn.Module):
    """Two 3x3 convolutions around an identity, or around a 1x1 convolution where size or width change (He et al. 2016,
    "basic block")."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNorm2d(inputs, outputs, stride=stride), ConvNorm2d(outputs, outputs, last=True))
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm2d(inputs, outputs, 1, stride, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.shortcut(x) + self.body(x), inplace=True)


def enlarged(x: torch.Tensor, size: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Bilinear interpolation to ``size`` (j, i)."""
    return functional.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
