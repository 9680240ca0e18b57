"""The voxel grid that a transform is sampled on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..geometry import Shape, centre_shift, check_affine
from ..image import Image


class Grid(NamedTuple):
    """Where the voxels of an image stand, without their values.

    Attributes:
        shape: number of voxels (k, j, i).
        affine: float64 (4, 4), IJK to RAS mm.
    """

    shape: Shape
    affine: np.ndarray

    def thinned(self, step: int) -> Grid:
        """Every ``step``-th voxel along each axis, voxel 0 among them."""
        k, j, i = (-(-n // step) for n in self.shape)
        affine = self.affine.copy()
        affine[:3, :3] *= step
        return Grid((k, j, i), affine)

    def refined(self) -> Grid:
        """The grid with one more voxel in the middle between any two neighbors; an axis with one voxel stays."""
        k, j, i = (2 * n - 1 for n in self.shape)
        affine = self.affine.copy()
        affine[:3, :3] /= [2 if n > 1 else 1 for n in self.shape[::-1]]
        return Grid((k, j, i), affine)

    def padded(self, before: Shape, after: Shape) -> Grid:
        """The grid with so many more voxels (k, j, i) before the first and after the last one."""
        k, j, i = (n + b + a for n, b, a in zip(self.shape, before, after, strict=True))
        return Grid((k, j, i), centre_shift(self.affine, (-before[0], -before[1], -before[2])))


Like = Image | tuple[Shape, np.ndarray]
"""What names a grid: an image that stands on it, a :class:`Grid`, or a plain (shape, affine) pair."""


def grid_of(like: Like) -> Grid:
    """The grid that ``like`` names.

    Raises:
        GeometryError: the affine is not finite or singular.
    """
    if isinstance(like, Image):
        return Grid(like.shape, like.affine)
    k, j, i = (int(n) for n in like[0])
    return Grid((k, j, i), check_affine(like[1], "the grid", allow_shear=True))
