"""One encoder for each of several volumes, one decoder for all: 3DDOSPyResidualUSENet (prostate, MLMI 2023).

Shanmugalingam et al., "Prostate Segmentation Using Multiparametric and Multiplanar Magnetic Resonance Images", section
3.2, from axial, sagittal and coronal T2, ADC and the last frame of a dynamic series: five encoders and a single decoder
of four stages; residual blocks; squeeze and excitation over channels and voxels after every residual block and every
transposed convolution; cascaded pyramid pooling in 2D; deep output supervision at all four resolutions (96, 48, 24 and
12 voxels).

The text tells no widths, no loss and no weights of the outputs, and leaves the pooling to an earlier paper. Chosen
here: four stages above a bottleneck; the encoders' features are joined by concatenation and a 1x1x1 convolution;
strided convolutions between them, as they learn what to keep; group statistics of single channels as normalization; the
pooling at the bottleneck, over squares of 1, 2, 3 and 6 parts of each slice, each of which sees what the one before
found. The volumes must show the same field of view, which the pipeline sees to by resampling them onto the first one
(linear, where the paper takes the nearest neighbor).

Measured in ``Testing/Benchmarks/sequences.md`` on sequences that are simulated from label maps, after 200 steps: a mean
Dice of 0.49 with one seed and 0.24 with another, where a plain residual U-Net with the volumes as its channels has 0.40
with both. It does join what the volumes show: where each shows one side of a phantom, it is better than with any one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from .blocks.squeeze import SpatialChannelGate3d
from .unet import ConvNorm, Residual

PARTS = (1, 2, 3, 6)


class GatedResidual(nn.Sequential):
    """To another width, a residual block, and the gate."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            ConvNorm(inputs, outputs, 0, stride=stride), Residual(outputs, 0), SpatialChannelGate3d(outputs)
        )


class Encoder(nn.Module):
    """What one volume holds at each resolution.

    Args:
        widths: channels, finest first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList([GatedResidual(1, widths[0])])
        self.stages.extend(GatedResidual(fine, coarse, stride=2) for fine, coarse in pairwise(widths))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features (n, widths[level], k / 2^level, ...) of a volume (n, 1, k, j, i)."""
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class CascadedPyramid(nn.Module):
    """Means over squares of each slice, from the whole to small parts, each added before the next is taken.

    Args:
        channels: of the features.
        parts: number of squares along a side.
    """

    def __init__(self, channels: int, parts: Sequence[int] = PARTS) -> None:
        super().__init__()
        self.parts = tuple(parts)
        self.layers = nn.ModuleList(nn.Conv3d(channels, channels, 1) for _ in parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, k, j, i) of the same."""
        n, channels, k, j, i = x.shape
        for parts, layer in zip(self.parts, self.layers, strict=True):
            slices = x.transpose(1, 2).reshape(n * k, channels, j, i)
            means = functional.adaptive_avg_pool2d(slices, (min(parts, j), min(parts, i)))
            spread = functional.interpolate(means, (j, i), mode="bilinear", align_corners=False)
            x = x + layer(spread.view(n, k, channels, j, i).transpose(1, 2))
        return x


class MultiEncoderUNet(nn.Module):
    """The network.

    Args:
        inputs: number of volumes, each with an encoder of its own.
        classes: number of classes, background included.
        widths: channels of the four stages and of the bottleneck, finest first.

    Attributes:
        multiple: every side of an input must be divisible by this.
        subsets: all the volumes are needed.
    """

    subsets = False

    def __init__(self, inputs: int = 5, classes: int = 2, widths: Sequence[int] = (16, 32, 64, 128, 256)) -> None:
        super().__init__()
        self.inputs, self.multiple = inputs, 2 ** (len(widths) - 1)
        self.encoders = nn.ModuleList(Encoder(widths) for _ in range(inputs))
        self.merges = nn.ModuleList(nn.Conv3d(inputs * width, width, 1) for width in widths)
        self.pyramid = CascadedPyramid(widths[-1])
        down = list(reversed(widths))
        self.ups = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose3d(coarse, fine, 2, stride=2), SpatialChannelGate3d(fine))
            for coarse, fine in pairwise(down)
        )
        self.joins = nn.ModuleList(GatedResidual(2 * fine, fine) for fine in down[1:])
        self.heads = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in down[1:])

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Class logits (n, classes, k, j, i) of volumes (n, inputs, k, j, i); in training those of all four stages,
        finest first.

        Raises:
            ValueError: a volume is missing (NaN everywhere).
        """
        if bool(x[:, :, 0, 0, 0].isnan().any()):
            raise ValueError("one of the volumes is missing, and this network needs all of them")
        levels: list[list[torch.Tensor]] = []
        for number, encoder in enumerate(self.encoders):
            levels.append(encoder(x[:, number, None]))
        merged = [merge(torch.cat(each, 1)) for merge, each in zip(self.merges, zip(*levels, strict=True), strict=True)]
        y = self.pyramid(merged.pop())
        outputs = []
        for up, join, head in zip(self.ups, self.joins, self.heads, strict=True):
            y = join(torch.cat([up(y), merged.pop()], 1))
            outputs.append(head(y))
        return outputs[::-1] if self.training else outputs[-1]
