"""Implicit U-Net: an encoder whose features one point-wise net reads at single voxels (Naval Marimont & Tarroni 2022).

"Implicit U-Net for volumetric medical image segmentation", MIUA 2022, doi 10.1007/978-3-031-12053-4_29, section 2: the
decoder of a U-Net gives way to eight fully connected layers that predict one point from the features of all levels at
its place. Points can be few: 30,000 of a patch in training (:mod:`MedAILib.training.cases.objectives.points`), those
near the boundary at inference (:mod:`.blocks.sparse_decoding`).

- *Encoder*: that of nnU-Net with blocks of 2, 2, 4 and 4 convolutions.
- *Gather*: the vector at (x // 2^b, y // 2^b, z // 2^b) of each level b, all concatenated.
- *Coordinates*: normalized to [-1, 1] in each patch, then sines and cosines of 2^l pi p for l = 0 to 9 (Mildenhall et
  al. 2020).
- *Decoder*: 512 units in each layer, rectifier, weight normalization (Salimans & Kingma 2016), dropout 0.2.

Left open by the text and chosen here: the text has four blocks whose deepest vectors cover 16 voxels along each axis,
and a first feature map with the image's own resolution (figure 1); both hold when each block begins with its stride and
one convolution at full resolution comes before them. There are eight hidden layers and then one that gives the classes;
dropout comes after each rectifier; the features come in once, not again in the middle as in DeepSDF (Park et al. 2019),
whose design the decoder follows; coordinates are those of voxel centers, and the encoding does not repeat them plainly;
two classes have a softmax as more have, where the paper has a sigmoid. The text has feature maps of W // 2^b voxels; at
odd sizes the gather would then reach beyond their end, and padded convolutions round the half up anyway. The authors'
repository holds no code.

The equal U-Net, which figures are compared with, is :class:`MedAILib.networks.nnunet.NNUNet` with the same encoder and
as many convolutions at each level of its decoder, without the paper's deep supervision, which would only cost it time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from ..geometry import Shape
from .blocks.sparse_decoding import SPACING, smoothed, sparse_then_fine
from .nnunet import Layer

WIDTHS = (32, 64, 128, 256, 320)
"""Channels of the levels, nnU-Net's."""
CONVOLUTIONS = (1, 2, 2, 4, 4)
_CHUNK = 16384
"""Points that go through the decoder at a time at inference."""


class Encoder(nn.Module):
    """Feature maps of an image, each with half the resolution of the one before (Isensee et al. 2021, nnU-Net).

    Args:
        inputs: channels of the image.
        widths: channels of each level, finest first.
        convolutions: number at each level; from the second level on, the first of them has stride 2.
    """

    def __init__(self, inputs: int, widths: Sequence[int] = WIDTHS, convolutions: Sequence[int] = CONVOLUTIONS) -> None:
        super().__init__()
        if len(widths) != len(convolutions) or len(widths) < 2 or min(*widths, *convolutions) < 1:
            raise ValueError("widths and convolutions need one whole number above 0 for each of two or more levels")
        self.levels = nn.ModuleList()
        for level, (width, count) in enumerate(zip(widths, convolutions, strict=True)):
            before = [widths[level - 1] if level else inputs, *[width] * (count - 1)]
            strides = [2 if level else 1, *[1] * (count - 1)]
            self.levels.append(nn.Sequential(*(_layer(a, width, b) for a, b in zip(before, strides, strict=True))))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps (n, widths[b], k / 2^b, j / 2^b, i / 2^b), sides rounded up, of an image (n, inputs, k, j, i)."""
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps


def _layer(inputs: int, outputs: int, stride: int) -> Layer:
    return Layer(inputs, outputs, [3] * 3, [stride] * 3, True, ("instance", {"affine": True}), "leakyrelu")


class ImplicitUNet(nn.Module):
    """The network.

    Args:
        inputs: channels of the image.
        classes: number of classes, background included.
        widths, convolutions: of the encoder.
        hidden, layers: units and number of the decoder's hidden layers.
        frequencies: of the encoding of coordinates.
        dropout: in each hidden layer.
        spacing: of the first stage's voxels at inference.

    Attributes:
        multiple: every side of an engine's patch must be divisible by this; the network itself takes any size.
        decoded: share of the voxels that the last prediction in evaluation mode went through the decoder with.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = WIDTHS,
        convolutions: Sequence[int] = CONVOLUTIONS,
        hidden: int = 512,
        layers: int = 8,
        frequencies: int = 10,
        dropout: float = 0.2,
        spacing: int = SPACING,
    ) -> None:
        super().__init__()
        self.inputs, self.multiple = inputs, 2 ** (len(widths) - 1)
        self.frequencies, self.spacing, self.decoded = frequencies, spacing, 0.0
        self.encoder = Encoder(inputs, widths, convolutions)
        units = [sum(widths) + 6 * frequencies, *[hidden] * layers]
        self.decoder = nn.Sequential()
        for n in range(layers):
            self.decoder.append(weight_norm(nn.Linear(units[n], units[n + 1])))
            self.decoder.append(nn.ReLU(inplace=True))
            self.decoder.append(nn.Dropout(dropout))
        self.decoder.append(weight_norm(nn.Linear(hidden, classes)))

    def forward(self, x: torch.Tensor, voxels: torch.Tensor | None = None) -> torch.Tensor:
        """Class logits of an image (n, inputs, k, j, i).

        Args:
            x: the image.
            voxels: (n, p) numbers of voxels in the order (k, j, i) of each image, or None for all.

        Returns:
            (n, classes, p), or (n, classes, k, j, i) if no voxels are given: in evaluation mode by the three stages.
        """
        maps = self.encoder(x)
        batch, shape = len(x), shape_of(x)
        if voxels is not None:
            return self.decode(maps, across(voxels, shape), shape).view(*voxels.shape, -1).transpose(1, 2)
        if self.training:
            return self.all_of(maps, batch, shape)
        with parametrize.cached():
            logits, self.decoded = sparse_then_fine(
                lambda index: self.chunks(maps, index, shape), batch, shape, self.spacing, margin=1
            )
        return smoothed(logits)

    def all_of(self, maps: Sequence[torch.Tensor], batch: int, shape: Shape) -> torch.Tensor:
        """Logits (n, classes, k, j, i) of every voxel for itself."""
        index = torch.arange(batch * math.prod(shape), device=maps[0].device)
        return self.chunks(maps, index, shape).view(batch, *shape, -1).movedim(-1, 1)

    def chunks(self, maps: Sequence[torch.Tensor], index: torch.Tensor, shape: Shape) -> torch.Tensor:
        """:meth:`decode`, with memory for some of the points at a time."""
        return torch.cat([self.decode(maps, part, shape) for part in index.to(maps[0].device).split(_CHUNK)])

    def decode(self, maps: Sequence[torch.Tensor], index: torch.Tensor, shape: Shape) -> torch.Tensor:
        """Logits (p, classes) of voxels.

        Args:
            maps: of the encoder.
            index: (p,) numbers of voxels in the order (n, k, j, i) of the batch.
            shape: (k, j, i) of the image.
        """
        features = gather(maps, index, shape)
        return self.decoder(torch.cat([features, encoded(index, shape, self.frequencies).to(features.dtype)], 1))


def shape_of(x: torch.Tensor) -> Shape:
    """(k, j, i) of a batch."""
    return x.shape[2], x.shape[3], x.shape[4]


def across(voxels: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Numbers (n * p,) in the order (n, k, j, i) of a batch, of numbers (n, p) within each of its images."""
    return (voxels + torch.arange(len(voxels), device=voxels.device)[:, None] * math.prod(shape)).flatten()


def places(index: torch.Tensor, shape: Shape) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image of the batch, k, j and i of numbered voxels."""
    _, j, i = shape
    rows, slices = index // i, index // (i * j)
    image = slices // shape[0]
    return image, slices - image * shape[0], rows - slices * j, index - rows * i


def gather(maps: Sequence[torch.Tensor], index: torch.Tensor, shape: Shape) -> torch.Tensor:
    """The vectors (p, channels of all maps) of voxels.

    Args:
        maps: (n, channels, k / 2^b, j / 2^b, i / 2^b), sides rounded up, for b = 0, 1, ….
        index: (p,) numbers of voxels in the order (n, k, j, i).
        shape: (k, j, i).
    """
    n, k, j, i = places(index, shape)
    found = []
    for b, each in enumerate(maps):
        rows = each.movedim(1, -1).reshape(-1, each.shape[1])
        row = ((n * each.shape[2] + (k >> b)) * each.shape[3] + (j >> b)) * each.shape[4] + (i >> b)
        found.append(rows.index_select(0, row))
    return torch.cat(found, 1)


def encoded(index: torch.Tensor, shape: Shape, frequencies: int) -> torch.Tensor:
    """Sines and cosines (p, 6 * frequencies) of the voxels' coordinates in the patch, -1 to 1 at its faces."""
    _, *parts = places(index, shape)
    size = torch.tensor(shape, device=index.device)
    points = (torch.stack(parts, 1) + 0.5) / size * 2.0 - 1.0
    angles = (points[..., None] * math.pi * 2.0 ** torch.arange(frequencies, device=index.device)).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], 1)
