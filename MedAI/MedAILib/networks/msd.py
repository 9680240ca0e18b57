"""The mixed-scale dense network (Pelt & Sethian, PNAS 2018) that the SR4ZCT paper uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class MixedScaleDense(nn.Module):
    """Every layer sees the input and all earlier layers, through a dilated 3x3 convolution with one output channel.

    As in the paper's system: 100 layers of width 1, dilations 1 to 10 in turn, reflected borders, a 1x1 convolution
    over everything at the end. The paper does not name the initialization; kernels are drawn as Pelt and Sethian do,
    and the last layer begins at 0.

    Args:
        depth: number of layers.
        dilations: taken in turn.

    Attributes:
        mean, scale: of the pictures, see :meth:`normalize`.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, depth: int = 100, dilations: Sequence[int] = tuple(range(1, 11))) -> None:
        super().__init__()
        if depth < 1 or not dilations or min(dilations) < 1:
            raise ValueError("depth and dilations must be 1 or more")
        self.dilations = [int(dilations[layer % len(dilations)]) for layer in range(depth)]
        self.layers = nn.ModuleList(nn.Conv2d(1 + layer, 1, 3) for layer in range(depth))
        self.last = nn.Conv2d(1 + depth, 1, 1)
        spread = (2.0 / (9.0 * (depth + 2))) ** 0.5
        for parameter in self.layers.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=spread)
            else:
                nn.init.zeros_(parameter)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("scale", torch.ones(2))

    def normalize(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Fix mean and standard deviation of the training pictures, which the layers work in, before training."""
        for number, pictures in enumerate((inputs, targets)):
            self.mean[number] = pictures.mean()
            self.scale[number] = pictures.std().clamp_min(1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, 1, y, x) degraded pictures to (b, 1, y, x) sharp ones; sides of 11 pixels or more."""
        known = (x - self.mean[0]) / self.scale[0]
        for layer, dilation in zip(self.layers, self.dilations, strict=True):
            assert isinstance(layer, nn.Conv2d)
            padded = functional.pad(known, (dilation,) * 4, mode="reflect")
            fresh = functional.relu(functional.conv2d(padded, layer.weight, layer.bias, dilation=dilation))
            known = torch.cat([known, fresh], dim=1)
        result: torch.Tensor = self.last(known) * self.scale[1] + self.mean[1]
        return result
