"""TM-DCA: two transformer encoders that look at each other, and a convolutional decoder that gives a displacement.

Chen et al. 2023, "Deformable Cross-Attention Transformer for Medical Image Registration" (MLMI 2023); encoder blocks as
in Swin (Liu et al. 2021), decoder as in TransMorph (Chen et al. 2022, Medical Image Analysis 82). One path has the
moving image as base and the fixed one as reference, the other the reverse; features of both are added at each stage and
passed to the decoder. The paper gives no sizes; those of :data:`FULL` are the authors' public configuration (three
stages, windows of 1/32 of the image's side, kernels of the offset networks 7, 5 and 3), :data:`SMALL` is half as wide,
which is how TransMorph defines its small variant. Differences:

- The decoder gives the displacement itself, or, with ``squarings``, a stationary velocity that is integrated. The
  authors' runs use TransMorph's other two heads: a time-varying velocity at half the resolution (OASIS) and a B-spline
  lattice (IXI).
- The two paths have weights of their own, as in the authors' code; the paper does not say.

There are no trained weights of it here, and untrained it is of no use: see :mod:`MedAILib.registration.trained`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from ..geometry import Shape
from .cross_attention import DeformableCrossAttention
from .warping import halve, integrate

FULL: dict[str, Any] = {"channels": 96, "depths": (4, 4, 5), "heads": (8, 8, 8)}
SMALL: dict[str, Any] = {"channels": 48, "depths": (4, 4, 5), "heads": (4, 4, 4)}
PATCH = 4


class DropPath(nn.Module):
    """Leaves a residual branch out with some probability, for each sample by itself (Huang et al. 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.probability == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.probability
        return x * kept.to(x.dtype) / (1 - self.probability)


class DualBlock(nn.Module):
    """One deformable cross-attention module of both paths.

    Args:
        channels, heads, window, kernel: see :class:`DeformableCrossAttention`.
        drop: probability of leaving a branch out.
        shifted: the windows are shifted.
    """

    def __init__(self, channels: int, heads: int, window: Shape, kernel: int, drop: float, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.drop = DropPath(drop)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.attentions = nn.ModuleList(DeformableCrossAttention(channels, heads, window, kernel) for _ in range(2))
        self.perceptrons = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
            )
            for _ in range(2)
        )

    def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        normal = [norm(tokens) for norm, tokens in zip(self.norms, pair, strict=True)]
        result = []
        for path, (base, attention, perceptron) in enumerate(zip(pair, self.attentions, self.perceptrons, strict=True)):
            base = base + self.drop(attention(normal[path], normal[1 - path], self.shifted))
            result.append(base + self.drop(perceptron(base)))
        return result[0], result[1]


class Merge(nn.Module):
    """Joins 2x2x2 tokens to one of twice the width (Swin's patch merging)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8 * channels)
        self.reduce = nn.Linear(8 * channels, 2 * channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, k, j, i, channels = x.shape
        x = x.view(n, k // 2, 2, j // 2, 2, i // 2, 2, channels).permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4)
        return self.reduce(self.norm(x))


class Encoder(nn.Module):
    """Both paths, from the images to one sum of features per stage.

    Args:
        channels: of the tokens of the first stage; doubled from stage to stage.
        depths: k, blocks of each stage.
        heads, kernels: of each stage.
        window: of all stages.
        drop: probability of leaving a branch out in the last block; rises to it from 0.
    """

    def __init__(
        self,
        channels: int,
        depths: Sequence[int],
        heads: Sequence[int],
        kernels: Sequence[int],
        window: Shape,
        drop: float,
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Conv3d(1, channels, PATCH, PATCH) for _ in range(2))
        self.first_norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.stages, self.merges, self.norms = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        total, number = sum(depths), 0
        for stage, depth in enumerate(depths):
            width = channels * 2**stage
            if stage:
                self.merges.append(nn.ModuleList(Merge(width // 2) for _ in range(2)))
            blocks = nn.ModuleList()
            for block in range(depth):
                rate = drop * number / max(1, total - 1)
                blocks.append(DualBlock(width, heads[stage], window, kernels[stage], rate, block % 2 == 1))
                number += 1
            self.stages.append(blocks)
            self.norms.append(nn.ModuleList(nn.LayerNorm(width) for _ in range(2)))

    def forward(self, moving: torch.Tensor, fixed: torch.Tensor) -> list[torch.Tensor]:
        """(n, c, k, j, i) features of each stage, finest first."""
        tokens = [embed(x).movedim(1, -1) for embed, x in zip(self.embeddings, (moving, fixed), strict=True)]
        pair = [norm(x) for norm, x in zip(self.first_norms, tokens, strict=True)]
        features = []
        for stage, blocks in enumerate(self.stages):
            if stage:
                merges = cast(nn.ModuleList, self.merges[stage - 1])
                pair = [merge(x) for merge, x in zip(merges, pair, strict=True)]
            for block in cast(nn.ModuleList, blocks):
                pair = list(block((pair[0], pair[1])))
            norms = cast(nn.ModuleList, self.norms[stage])
            both = [norm(x) for norm, x in zip(norms, pair, strict=True)]
            features.append((both[0] + both[1]).movedim(-1, 1))
        return features


class ConvBlock(nn.Sequential):
    """3x3x3 convolution, instance normalization and leaky rectifier, as TransMorph's decoder has them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, padding=1, bias=False), nn.InstanceNorm3d(outputs), nn.LeakyReLU(inplace=True)
        )


class UpBlock(nn.Module):
    """Doubles the resolution, joins the skip connection, and convolves twice."""

    def __init__(self, inputs: int, outputs: int, skip: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(inputs + skip, outputs), ConvBlock(outputs, outputs))

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = functional.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)
        return self.body(torch.cat([x, skip], 1))


class TMDCA(nn.Module):
    """The network.

    Args:
        channels, depths, heads: see :class:`Encoder`; the defaults are :data:`FULL`.
        kernels: sides of the offset networks' depth-wise convolutions.
        window: side of the attention windows, tokens of 4 voxels; 1/32 of the image's side in the authors' runs, here
            for 160x192x224 voxels.
        head_channels: features before the last convolution.
        drop: see :class:`Encoder`.
        squarings: 0: the last convolution gives the displacement; else a velocity, integrated in so many squarings.

    Attributes:
        multiple: every side of an image must be divisible by this.
    """

    def __init__(
        self,
        channels: int = 96,
        depths: Sequence[int] = (4, 4, 5),
        heads: Sequence[int] = (8, 8, 8),
        kernels: Sequence[int] = (7, 5, 3),
        window: Sequence[int] = (5, 6, 7),
        head_channels: int = 16,
        drop: float = 0.3,
        squarings: int = 0,
    ) -> None:
        super().__init__()
        stages = len(depths)
        if stages < 2 or not stages == len(heads) == len(kernels) or channels % 2:
            raise ValueError("as many heads and kernels as depths are needed, two stages at least, and even channels")
        self.multiple, self.squarings = PATCH * 2 ** (stages - 1), squarings
        k, j, i = window
        self.encoder = Encoder(channels, depths, heads, kernels, (k, j, i), drop)
        widths = [channels * 2**stage for stage in range(stages)]
        self.ups = nn.ModuleList(UpBlock(w, w // 2, w // 2) for w in reversed(widths[1:]))
        self.half_skip = ConvBlock(2, channels // 2)
        self.full_skip = ConvBlock(2, head_channels)
        self.ups.append(UpBlock(channels, channels // 2, channels // 2))
        self.ups.append(UpBlock(channels // 2, head_channels, head_channels))
        self.head = nn.Conv3d(head_channels, 3, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-5)
        nn.init.zeros_(cast(torch.Tensor, self.head.bias))

    def forward(self, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """Displacement (n, 3, k, j, i) in voxels, for two images (n, 1, k, j, i), 0 to 1."""
        both = torch.cat([moving, fixed], 1)
        *skips, x = self.encoder(moving, fixed)
        skips = [self.full_skip(both), self.half_skip(halve(both)), *skips]
        for up in self.ups:
            x = up(x, skips.pop())
        displacement = self.head(x)
        return integrate(displacement, self.squarings) if self.squarings else displacement
