"""A faster descendant of Implicit U-Net: projections before the gather, a small decoder, no step at the cells' borders.

The plan stays (:mod:`.implicit_unet`): features of all levels at a voxel's place, a point-wise net, few points. What is
new:

- *Projections before the gather.* The decoder's first layer is linear in the concatenated features, so each level may
  be projected to its width before, where that level has few voxels, and the first layer becomes a sum. The sum of all
  levels but the finest is itself a map of half the resolution; a point reads that one map and its own vector of the
  finest level, which alone is projected at the points.
- *Trilinear gather.* The paper's floor makes all points of a cell of 16 voxels share their deepest vector, and the
  borders of the cells show as straight edges ("patchy artefacts"). Linear interpolation has no such edges, and the
  place within the cell is in the features; coordinates are not needed, so that a prediction does not depend on where
  a window lies.
- *A small decoder*, for which a point costs about as much as what has to be read for it.
- *All voxels at once* where that is cheaper: the projections enlarged twofold, and 1x1x1 convolutions. So predictions
  of large organs, with boundaries everywhere, are not slower than those of the U-Net with the same encoder.

Both ways give the same logits. Dropout, weight normalization, coordinates and the smoothing at the end, which was to
hide the patches, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from ..geometry import Shape
from .blocks.sparse_decoding import SPACING, sparse_then_fine
from .implicit_unet import CONVOLUTIONS, Encoder, across, places, shape_of

BREAK_EVEN = 0.5
"""Share of voxels from which on all at once are cheaper; by Testing/Benchmarks/implicit.md it is 0.4 to 0.6."""


class FastImplicitUNet(nn.Module):
    """The network.

    Args:
        inputs: channels of the image.
        classes: number of classes, background included.
        widths, convolutions: of the encoder.
        hidden: units of each hidden layer of the decoder.
        spacing: of the first stage's voxels at inference.
        break_even: share of voxels from which on all are predicted at once.

    Attributes:
        multiple: every side of an input must be divisible by this.
        decoded: share of the voxels that the last prediction in evaluation mode went through the decoder with.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = (16, 32, 64, 128, 128),
        convolutions: Sequence[int] = CONVOLUTIONS,
        hidden: Sequence[int] = (32, 32),
        spacing: int = SPACING,
        break_even: float = BREAK_EVEN,
    ) -> None:
        super().__init__()
        self.inputs, self.multiple = inputs, 2 ** (len(widths) - 1)
        self.spacing, self.break_even, self.decoded = spacing, break_even, 0.0
        self.encoder = Encoder(inputs, widths, convolutions)
        self.fine = nn.Linear(widths[0], hidden[0])
        self.projections = nn.ModuleList(nn.Linear(width, hidden[0], bias=False) for width in widths[1:])
        units = [*hidden, classes]
        self.decoder = nn.Sequential()
        for n in range(len(hidden)):
            self.decoder.append(nn.ReLU(inplace=True))
            self.decoder.append(nn.Linear(units[n], units[n + 1]))

    def forward(self, x: torch.Tensor, voxels: torch.Tensor | None = None) -> torch.Tensor:
        """Class logits of an image (n, inputs, k, j, i).

        Args:
            x: the image.
            voxels: (n, p) numbers of voxels in the order (k, j, i) of each image, or None for all.

        Returns:
            (n, classes, p), or (n, classes, k, j, i) if no voxels are given: in evaluation mode by the three stages.
        """
        fine, *maps = self.encoder(x)
        coarse, shape = self.projected(maps), shape_of(x)
        if voxels is not None:
            return self.decode(fine, coarse, across(voxels, shape), shape).view(*voxels.shape, -1).transpose(1, 2)
        if self.training:
            return self.dense(fine, coarse)
        logits, self.decoded = sparse_then_fine(
            lambda index: self.decode(fine, coarse, index.to(x.device), shape),
            len(x),
            shape,
            self.spacing,
            dense=lambda: self.dense(fine, coarse),
            break_even=self.break_even,
        )
        return logits

    def projected(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """What all levels but the finest add to the first layer, (n, k / 2, j / 2, i / 2, hidden[0])."""
        total = self.projections[-1](maps[-1].movedim(1, -1))
        for project, each in zip(self.projections[-2::-1], maps[-2::-1], strict=True):
            total = project(each.movedim(1, -1)) + enlarged(total)
        return total

    def decode(self, fine: torch.Tensor, coarse: torch.Tensor, index: torch.Tensor, shape: Shape) -> torch.Tensor:
        """Logits (p, classes) of voxels.

        Args:
            fine: (n, widths[0], k, j, i) of the encoder.
            coarse: of :meth:`projected`.
            index: (p,) numbers of voxels in the order (n, k, j, i) of the batch.
            shape: (k, j, i) of the image.
        """
        own = fine.movedim(1, -1).reshape(-1, fine.shape[1]).index_select(0, index)
        return self.decoder(self.fine(own) + between(coarse, index, shape))

    def dense(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes, k, j, i) of all voxels."""
        return self.decoder(self.fine(fine.movedim(1, -1)) + enlarged(coarse)).movedim(-1, 1)


def enlarged(x: torch.Tensor) -> torch.Tensor:
    """Maps (n, k, j, i, channels) twofold, between voxels linear."""
    # In this order of memory it is several times faster; autocast would do it in single precision.
    with torch.autocast(x.device.type, enabled=False):
        found = functional.interpolate(x.movedim(-1, 1), scale_factor=2.0, mode="trilinear", align_corners=False)
    return found.movedim(1, -1)


def between(coarse: torch.Tensor, index: torch.Tensor, shape: Shape) -> torch.Tensor:
    """What :func:`enlarged` has at single voxels, (p, channels).

    One weighted sum of rows of memory per point, for which there is a fast kernel on CPUs: a bag of embeddings.

    Args:
        coarse: (n, k / 2, j / 2, i / 2, channels).
        index: (p,) numbers of voxels in the order (n, k, j, i).
        shape: (k, j, i).
    """
    n, *parts = places(index, shape)
    row, weight = n[:, None], torch.ones(1, 1, device=coarse.device)
    for at, size in zip(parts, coarse.shape[1:4], strict=True):
        # An even voxel's center lies a quarter below its parent's, an odd one's a quarter above.
        near = at >> 1
        pair = torch.stack([near, (near + 2 * (at & 1) - 1).clamp(0, size - 1)], 1)
        row = (row[:, :, None] * size + pair[:, None]).flatten(1)
        weight = (weight[:, :, None] * torch.tensor([0.75, 0.25], device=coarse.device)).flatten(1)
    rows = coarse.reshape(-1, coarse.shape[-1]).float()
    return functional.embedding_bag(row, rows, mode="sum", per_sample_weights=weight.expand(len(row), -1).contiguous())
