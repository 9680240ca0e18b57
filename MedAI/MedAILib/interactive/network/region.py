"""A cube of a volume, resampled for the network, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...geometry import Shape, Spacing, closest_axes
from ...resampling import separable
from ..marks import Box

_SAMPLES = 2.0
"""Voxels of the volume along the side of one of the cube that are enough for its mean; of more, every n-th is taken."""


@dataclass(frozen=True)
class Region:
    """A cube along the volume's axes, in which the network works.

    Attributes:
        center: voxel coordinates (k, j, i) of its middle.
        voxel: side of its voxels, mm.
        count: its voxels along each axis.
    """

    center: tuple[float, float, float]
    voxel: float
    count: int

    @property
    def side(self) -> float:
        """mm."""
        return self.voxel * self.count

    def limits(self, spacing: Spacing) -> tuple[np.ndarray, np.ndarray]:
        """Voxel coordinates (k, j, i) of the outer faces, low and high."""
        half = 0.5 * self.side / np.array(spacing)
        return np.array(self.center) - half, np.array(self.center) + half

    def box(self, shape: Shape, spacing: Spacing) -> Box:
        """The voxels of the volume whose centers lie in it."""
        low, high = self.limits(spacing)
        first = np.clip(np.ceil(low - 1e-6), 0, shape).astype(int)
        last = np.clip(np.floor(high + 1e-6) + 1, first, shape).astype(int)
        k, j, i = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        return k, j, i

    def positions(self, voxels: np.ndarray, spacing: Spacing) -> np.ndarray:
        """(n, 3) voxels of the volume as voxel coordinates of the cube."""
        low, _ = self.limits(spacing)
        return (voxels - low) * np.array(spacing) / self.voxel - 0.5

    def sample(self, array: np.ndarray, spacing: Spacing, fill: float = np.nan) -> np.ndarray:
        """(count, count, count) float32: a volume in the cube, smoothed where the cube is coarser; ``fill`` beyond."""
        wide = _wider(self, array.shape, spacing)
        start = np.array([part.start for part in wide])
        low, _ = self.limits(spacing)
        scale = self.voxel / np.array(spacing)
        every = np.maximum(1, np.floor(scale / _SAMPLES)).astype(int)
        step = _step(scale / every, (low + 0.5 * scale - start) / every)
        shape = (self.count, self.count, self.count)
        part = array[tuple(slice(side.start, side.stop, n) for side, n in zip(wide, every, strict=True))]
        if part.size == 0:
            return np.full(shape, fill, np.float32)
        return separable(part, step, shape, 1, fill)

    def back(self, values: np.ndarray, box: Box, spacing: Spacing, fill: float = 0.0) -> np.ndarray:
        """float32 values of the cube in a box of the volume; ``fill`` beyond the cube."""
        low, _ = self.limits(spacing)
        scale = np.array(spacing) / self.voxel
        start = np.array([part.start for part in box])
        k, j, i = (part.stop - part.start for part in box)
        return separable(values.astype(np.float32), _step(scale, (start - low) * scale - 0.5), (k, j, i), 1, fill)


def _step(scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(4, 4) matrix of scales and offsets (k, j, i), as resampling takes it, in (i, j, k) order."""
    step = np.diag([*scale[::-1], 1.0])
    step[:3, 3] = offset[::-1]
    return step


def _wider(region: Region, shape: Sequence[int], spacing: Spacing) -> Box:
    """The voxels that have a share in a region, with those that smoothing reaches."""
    low, high = region.limits(spacing)
    reach = np.ceil(2.0 * region.voxel / np.array(spacing)) + 1
    first = np.clip(np.floor(low - reach), 0, shape).astype(int)
    last = np.clip(np.ceil(high + reach) + 1, first, shape).astype(int)
    k, j, i = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return k, j, i


class Turn:
    """Between the axes of a volume and those of its patient: the network learned with R, A, S along i, j, k.

    Args:
        affine: of the volume, IJK to RAS mm. Oblique axes count as those that they follow most closely.
    """

    def __init__(self, affine: np.ndarray) -> None:
        order, signs = closest_axes(affine)  # of i, j, k
        #: Axis of the volume, (k, j, i), for each of the turned ones.
        self.axes = [2 - order.index(2 - axis) for axis in range(3)]
        #: Turned axes that run the other way.
        self.flips = tuple(axis for axis in range(3) if signs[2 - self.axes[axis]] < 0)

    def to(self, cube: np.ndarray) -> np.ndarray:
        """(k, j, i) with the volume's axes to the patient's."""
        return np.ascontiguousarray(np.flip(cube.transpose(self.axes), self.flips))

    def back(self, cube: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`to`."""
        return np.ascontiguousarray(np.flip(cube, self.flips).transpose(np.argsort(self.axes)))

    def points(self, voxels: np.ndarray, count: int) -> np.ndarray:
        """(n, 3) voxel coordinates of a cube of ``count`` voxels, turned like the cube."""
        turned = voxels[:, self.axes].astype(np.float64)
        for axis in self.flips:
            turned[:, axis] = count - 1 - turned[:, axis]
        return turned
