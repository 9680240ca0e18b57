"""The part of a volume that a prompt is about, on a grid that is coarse enough to answer at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ...geometry import Shape, Spacing
from ..marks import Box


@dataclass(frozen=True)
class Region:
    """A box and the grid on which it is worked on.

    Attributes:
        box: slices (k, j, i) of the volume.
        stride: voxels that become one, (k, j, i).
        spacing: mm of the working grid, (k, j, i).
        shape: of the working grid.
    """

    box: Box
    stride: tuple[int, int, int]
    spacing: Spacing
    shape: Shape

    @property
    def start(self) -> np.ndarray:
        """The first voxel (3,)."""
        return np.array([side.start for side in self.box])

    @property
    def size(self) -> Shape:
        """Voxels of the volume in the box, (k, j, i)."""
        k, j, i = (side.stop - side.start for side in self.box)
        return k, j, i

    def local(self, voxels: np.ndarray) -> np.ndarray:
        """Those (n, 3) of the volume's voxels that lie in the box, as indices into it."""
        at = voxels - self.start
        return at[((at >= 0) & (at < self.size)).all(axis=1)]

    def cells(self, at: np.ndarray) -> np.ndarray:
        """The cells (m, 3) of the working grid in which voxels (n, 3) of the box lie."""
        return np.unique(at // self.stride, axis=0) if len(at) else at

    def coarse(self, array: torch.Tensor) -> torch.Tensor:
        """An array of the box, averaged on the working grid; border voxels are repeated where it does not fit."""
        if self.stride == (1, 1, 1):
            return array
        beyond = [cells * step - side for cells, step, side in zip(self.shape, self.stride, self.size, strict=True)]
        padding = (0, beyond[2], 0, beyond[1], 0, beyond[0])
        padded = functional.pad(array[None, None], padding, mode="replicate")
        return functional.avg_pool3d(padded, self.stride)[0, 0]

    def fine(self, array: torch.Tensor) -> torch.Tensor:
        """An array of the working grid, interpolated on the voxels of the box."""
        if self.stride == (1, 1, 1):
            return array
        k, j, i = (cells * step for cells, step in zip(self.shape, self.stride, strict=True))
        large = functional.interpolate(array[None, None], (k, j, i), mode="trilinear", align_corners=False)[0, 0]
        return large[: self.size[0], : self.size[1], : self.size[2]]

    def touches(self, mask: np.ndarray, bounds: Box) -> int:
        """How many voxels of a mask of the box lie at a side of it behind which the bounds go on."""
        count = 0
        for axis, (side, limit) in enumerate(zip(self.box, bounds, strict=True)):
            faces = [0] * (side.start > limit.start) + [-1] * (side.stop < limit.stop)
            count += sum(int(np.count_nonzero(np.take(mask, face, axis))) for face in faces)
        return count


def region_around(low: np.ndarray, high: np.ndarray, margin: float, bounds: Box, spacing: Spacing, most: int) -> Region:
    """The region around voxels.

    Args:
        low, high: the first voxel (3,) and the one after the last.
        margin: mm on all sides.
        bounds: of what may be looked at.
        spacing: of the volume, mm, (k, j, i).
        most: cells of the working grid; the finest axes are made coarser first.
    """
    room = np.ceil(margin / np.array(spacing)).astype(int)
    first, end = np.array([[side.start, side.stop] for side in bounds]).T
    low, high = np.clip(low - room, first, end - 1), np.clip(high + room, first + 1, end)
    stride = np.ones(3, int)
    while np.prod(_cells(high - low, stride)) > most:
        # An axis that is one cell already gains nothing.
        sizes = np.where(stride < high - low, stride * np.array(spacing), np.inf)
        stride[int(np.argmin(sizes))] += 1
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    cells = _cells(high - low, stride)
    return Region(
        (k, j, i),
        (int(stride[0]), int(stride[1]), int(stride[2])),
        (spacing[0] * int(stride[0]), spacing[1] * int(stride[1]), spacing[2] * int(stride[2])),
        (int(cells[0]), int(cells[1]), int(cells[2])),
    )


def _cells(sides: Sequence[int] | np.ndarray, stride: np.ndarray) -> np.ndarray:
    return -(-np.asarray(sides) // stride)
