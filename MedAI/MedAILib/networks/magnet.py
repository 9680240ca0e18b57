"""MagNET: a segmentation from whichever sequences there are (Konwer et al., MLMI 2023).

"MagNET: Modality-Agnostic Network for Brain Tumor Segmentation and Characterization with Missing Modalities", sections
2.1 to 2.4; the prediction of MGMT is no part of it here. One encoder, shared by all sequences, sees each sequence that
is there; what is missing is not seen at all, not even as zeros. At five levels the features are added up and weighed by
channel attention (equations 1, 2), and one decoder makes the segmentation (UNETR, Hatamizadeh et al. 2022). In
training, a discriminator tells from the fused bottleneck which sequences there were, and the encoder learns to have it
see all (equations 3, 4); the bottlenecks of each two sequences are made alike (equation 5). See
:mod:`MedAILib.training.cases.objectives.sequences`.

The paper calls its encoders independent in one place and shared in another, its features concatenated and added; shared
and added are what its equations fit. As added features grow with their number, the sum is kept, not a mean.

What differs from the paper: its batch is one volume, for which batch normalization in equation 1 and the correlation
over a batch in equation 5 have no meaning. The normalization is over the channels here, and the correlation is taken
over the tokens of all volumes of the batch, so the projection has no global pooling before it. The discriminator's
width and the reduction of the attention are not told; a half and a quarter of the bottleneck's width are chosen. The
highest level is a residual block on each sequence, as in UNETR; all five are fused before the decoder's layers. The
places of tokens are interpolated where a window differs from the size that they were learned for.

Measured in ``Testing/Benchmarks/sequences.md`` on sequences that are simulated from label maps, after 200 steps: a
plain residual U-Net that is trained with sequences left out, zeros in their place, is better with any subset. Shared
encoders and a sum do not tell the decoder which sequence a feature is from, and only the residual block of the highest
level sees less than a block of voxels; that either is the reason was not measured, and neither were longer trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import nn
from torch.func import functional_call

from .blocks.transformer import VolumeTransformer
from .unet import ConvNorm, Residual


class Lesson(NamedTuple):
    """What MagNET gives in training.

    Attributes:
        logits: (n, classes, k, j, i).
        told: (n, inputs) logits of the discriminator on features that pass no gradient on: what it learns by.
        fooled: the same from features that do, through a discriminator that learns nothing: what the encoder learns by.
        projections: (volume and token, width) for each sequence, with the numbers of the volumes that have it.
    """

    logits: torch.Tensor
    told: torch.Tensor
    fooled: torch.Tensor
    projections: list[tuple[torch.Tensor, torch.Tensor]]


class Fusion(nn.Module):
    """Sum over the sequences, each channel weighed by what the sum holds on the whole (equations 1, 2).

    Args:
        channels: of the features.
        reduction: channels / hidden channels.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.weigh = nn.Sequential(
            nn.Linear(channels, hidden), nn.LayerNorm(hidden), nn.ReLU(),
            nn.Linear(hidden, channels), nn.LayerNorm(channels), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, total: torch.Tensor) -> torch.Tensor:
        """(n, channels, k, j, i) of the features' sum of that shape."""
        return total * self.weigh(total.flatten(2).mean(2))[:, :, None, None, None]


class Enlarge(nn.Sequential):
    """A transposed convolution that doubles the resolution, and a residual block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.ConvTranspose3d(inputs, outputs, 2, stride=2), Residual(outputs, 0))


class Join(nn.Module):
    """Doubles the coarse features' resolution and joins them with the finer ones."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose3d(coarse, fine, 2, stride=2)
        self.mix = nn.Sequential(ConvNorm(2 * fine, fine, 0), Residual(fine, 0))

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.mix(torch.cat([self.enlarge(x), skip], 1))


class MagNET(nn.Module):
    """The network.

    Args:
        inputs: number of sequences.
        classes: number of classes, background included.
        size: (k, j, i) of the volumes that the places of tokens are learned for; 128 voxels in the paper.
        block: side of a token's block of voxels; must be 16 (five levels that halve the resolution four times).
        width, heads, layers: of the transformer; 768, 12, 12 in the paper. Tokens are taken at each quarter.
        features: channels at the highest level.
        projection: width of what is correlated.

    Attributes:
        multiple: every side of an input must be divisible by this.
        subsets: a channel may be missing, that is, NaN everywhere.
    """

    subsets = True

    def __init__(
        self,
        inputs: int = 4,
        classes: int = 2,
        size: Sequence[int] = (128, 128, 128),
        block: int = 16,
        width: int = 768,
        heads: int = 12,
        layers: int = 12,
        features: int = 16,
        projection: int = 128,
    ) -> None:
        super().__init__()
        if block != 16 or layers % 4 or any(side % block for side in size):
            raise ValueError("blocks have 16 voxels, layers come in fours, and sizes are multiples of a block")
        self.inputs, self.multiple = inputs, block
        grid = [side // block for side in size]
        taken = [layers // 4 * quarter for quarter in range(1, 5)]
        self.transformer = VolumeTransformer(1, block, grid, width, heads, layers, taken)
        self.stem = nn.Sequential(ConvNorm(1, features, 0), Residual(features, 0))
        self.fusions = nn.ModuleList(Fusion(channels) for channels in (features, width, width, width, width))
        widths = [features * 2**level for level in range(4)]
        self.raise_ = nn.ModuleList(
            nn.Sequential(*(Enlarge(width if n == 0 else goal, goal) for n in range(times)))
            for goal, times in zip(widths[1:], (3, 2, 1), strict=True)
        )
        self.joins = nn.ModuleList(
            Join(coarse, fine) for coarse, fine in zip([width, *widths[:0:-1]], widths[::-1], strict=True)
        )
        self.head = nn.Conv3d(features, classes, 1)
        self.discriminator = nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, inputs))
        self.projector = nn.Sequential(
            nn.Linear(width, projection), nn.ReLU(), nn.LayerNorm(projection),
            nn.Linear(projection, projection), nn.ReLU(), nn.LayerNorm(projection),
            nn.Linear(projection, projection),
        )  # fmt: skip

    def encode(self, x: torch.Tensor, present: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Fused features of the five levels, finest first, and the bottleneck of each sequence.

        Args:
            x: (n, inputs, k, j, i); what is not present is not looked at.
            present: (n, inputs) bool; each row has a True.
        """
        totals: list[torch.Tensor] = []
        bottlenecks = []
        for sequence in range(self.inputs):
            here = present[:, sequence].nonzero()[:, 0]
            if not len(here):
                bottlenecks.append(x.new_zeros(0))
                continue
            seen = x[here, sequence, None]
            maps = [self.stem(seen), *self.transformer(seen)]
            bottlenecks.append(maps[-1])
            if not totals:
                totals = [each.new_zeros(len(x), *each.shape[1:]) for each in maps]
            totals = [total.index_add(0, here, each) for total, each in zip(totals, maps, strict=True)]
        return [fusion(total) for fusion, total in zip(self.fusions, totals, strict=True)], bottlenecks

    def decode(self, fused: Sequence[torch.Tensor]) -> torch.Tensor:
        """Class logits of the five levels' fused features."""
        skips = [fused[0], *(part(each) for part, each in zip(self.raise_, fused[1:4], strict=True))]
        x = fused[4]
        for join in self.joins:
            x = join(x, skips.pop())
        return self.head(x)

    def forward(self, x: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor | Lesson:
        """Class logits (n, classes, k, j, i), or in training with ``present`` given, a :class:`Lesson`.

        Args:
            x: (n, inputs, k, j, i); a missing sequence is NaN everywhere.
            present: (n, inputs) bool: the sequences that count; all that there are, if not given.

        Raises:
            ValueError: a volume has no sequence at all.
        """
        there = ~x[:, :, 0, 0, 0].isnan()
        chosen = there if present is None else there & present
        if not bool(chosen.any(1).all()):
            raise ValueError("none of the sequences is there")
        fused, bottlenecks = self.encode(x, chosen)
        logits = self.decode(fused)
        if present is None or not self.training:
            return logits
        means = fused[4].flatten(2).mean(2)
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        projections = [
            (self.projector(each.flatten(2).transpose(1, 2)), chosen[:, sequence].nonzero()[:, 0])
            for sequence, each in enumerate(bottlenecks)
            if len(each)
        ]
        return Lesson(
            logits,
            self.discriminator(means.detach()),
            functional_call(self.discriminator, frozen, (means,)),
            projections,
        )


def correlation_loss(one: torch.Tensor, other: torch.Tensor, redundancy: float = 0.2) -> torch.Tensor:
    """How far two sequences' projections are from one and the same set of independent numbers (equation 5).

    Args:
        one, other: (samples, width), of the same samples.
        redundancy: lambda of the equation.

    Returns:
        The equation's sums divided by the width, float32. Columns are centered first, as in Barlow Twins (Zbontar et
        al. 2021), which the equation is from but does not print.
    """
    first, second = (each.float() - each.float().mean(0) for each in (one, other))
    norms = first.norm(dim=0)[:, None] * second.norm(dim=0)[None]
    correlation = first.T @ second / norms.clamp_min(1e-6)
    diagonal = correlation.diagonal()
    off = correlation.square().sum() - diagonal.square().sum()
    return ((1 - diagonal).square().sum() + redundancy * off) / len(diagonal)


def drawn_subset(inputs: int, full: float, generator: torch.Generator) -> list[bool]:
    """Which sequences a training volume keeps: all with a chance of ``full`` (.4 in the paper), else one of the smaller
    numbers, each as likely (.2 for each of three in the paper), and of that number any."""
    device = generator.device
    if inputs == 1 or float(torch.rand((), generator=generator, device=device)) < full:
        return [True] * inputs
    count = 1 + int(torch.randint(inputs - 1, (), generator=generator, device=device))
    subsets = list(combinations(range(inputs), count))
    kept = subsets[int(torch.randint(len(subsets), (), generator=generator, device=device))]
    return [sequence in kept for sequence in range(inputs)]
