"""A displacement of world points that lives on a lattice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import ContentError
from ..geometry import Shape
from ..image import Image, Kind
from ..resampling import is_axis_aligned
from .grid import Grid
from .sampling import PIECE, along_axis, fade_weights, in_pieces, trilinear

FADE = 2.0
"""Least width of the fade outside the lattice, in units of the largest displacement on its surface. The slope of the
fade is then at most 0.75, so that it cannot fold space by itself."""

FADE_NODES = 4
"""Least width in steps of the lattice, so that the fade is smooth on it."""

FADE_EXTENT = 0.25
"""Largest width in units of the lattice's mean edge: a field that would need more is no deformation of what lies in it,
and a lattice with such a margin would fill the memory."""

_ZERO_MM = 1e-3
"""A displacement on the surface below this is as good as none."""


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """Moves a world point x to x + d(x).

    Between the nodes d is interpolated linearly. Outside the lattice it is the value at the closest point of the
    lattice's surface, smoothly faded to zero (see :attr:`fade_mm`); :meth:`with_margin` makes the fade part of the
    lattice, for programs that know nothing of it.

    Attributes:
        image: (3, k, j, i) float32, components R, A, S in mm. The lattice may be coarser than the fixed image.
        residual_mm: for a field that was found as an inverse: largest distance by which a node, taken there and back,
            misses its place. None for any other field.

    Raises:
        ContentError: not three components, or values that are not finite.
    """

    image: Image
    residual_mm: float | None = None

    def __post_init__(self) -> None:
        array = self.image.array
        if array.ndim != 4 or array.shape[0] != 3 or array.dtype.kind not in "iuf":
            raise ContentError(f"{self.image.name} is no displacement field: it needs three numbers (mm) per voxel.")
        if not np.isfinite(array).all():
            raise ContentError(f"{self.image.name} is no usable displacement field: it holds NaN or infinite values.")
        array = np.ascontiguousarray(array, np.float32)
        object.__setattr__(self, "image", self.image.with_array(array, kind=Kind.INTENSITY))

    @property
    def grid(self) -> Grid:
        """The lattice."""
        return Grid(self.image.shape, self.image.affine)

    @cached_property
    def fade_mm(self) -> float:
        """How far outside the lattice the displacement fades to zero; 0 if it is zero on the surface already.

        It is zero at the first node that would follow at or behind this distance.
        An axis with a single node has no surface: the displacement goes on unchanged along it.
        """
        largest = 0.0
        for axis, n in enumerate(self.image.shape, start=1):
            if n > 1:
                faces = self.image.array.take([0, n - 1], axis)
                largest = max(largest, float(np.sqrt((faces**2).sum(axis=0).max())))
        if largest < _ZERO_MM:
            return 0.0
        axes = [(n, s) for n, s in zip(self.image.shape, self.image.spacing, strict=True) if n > 1]
        most = FADE_EXTENT * sum((n - 1) * s for n, s in axes) / len(axes)
        return max(min(FADE * largest, most), FADE_NODES * max(s for _, s in axes))

    @cached_property
    def largest_mm(self) -> float:
        """The longest displacement of a node."""
        layers = (np.einsum("ckj,ckj->kj", part, part).max() for part in np.moveaxis(self.image.array, 1, 0))
        return float(np.sqrt(max(layers, default=0.0)))

    def _fade_voxels(self) -> tuple[float, float, float]:
        """Per axis (k, j, i); 0 where nothing fades."""
        fade = [self.fade_mm / s if n > 1 else 0.0 for n, s in zip(self.image.shape, self.image.spacing, strict=True)]
        return fade[0], fade[1], fade[2]

    def at_voxels(self, at: np.ndarray) -> np.ndarray:
        """Displacement (3, ...) in RAS mm, float32, at lattice coordinates (3, ...) in array order (k, j, i)."""
        result = trilinear(self.image.array, at)
        for coordinates, n, fade in zip(at, self.image.shape, self._fade_voxels(), strict=True):
            if fade > 0 and (coordinates.min(initial=0) < 0 or coordinates.max(initial=0) > n - 1):
                result *= fade_weights(coordinates, n, fade)
        return result

    def at_points(self, points: np.ndarray) -> np.ndarray:
        """Displacement (3, ...) in RAS mm, float32, at world points (3, ...) in RAS mm."""
        return self.at_voxels(to_voxels(np.linalg.inv(self.image.affine), points))

    def points(self, points: np.ndarray) -> np.ndarray:
        """x + d(x) of world points (n, 3), RAS mm, float64."""
        points = np.asarray(points, np.float64)
        result = points.copy()
        for start in range(0, len(points), PIECE):
            piece = slice(start, start + PIECE)
            result[piece] += self.at_points(points[piece].T).T
        return result

    def on_grid(self, shape: Shape, affine: np.ndarray) -> DisplacementField:
        """The same displacement sampled on another lattice."""
        sampler = GridSampler(self, Grid(shape, affine))
        array = np.empty((3, *shape), np.float32)

        def fill(start: int, stop: int) -> None:
            array[:, start:stop] = sampler.layers(start, stop)

        in_pieces(fill, shape[0], shape[1] * shape[2])
        return DisplacementField(Image(array, affine, self.image.name), self.residual_mm)

    def with_margin(self) -> DisplacementField:
        """The same displacement on a lattice that is larger by the fade, so that it is zero on its surface."""
        k, j, i = (int(np.ceil(fade)) for fade in self._fade_voxels())
        if max(k, j, i) == 0:
            return self
        return self.on_grid(*self.grid.padded((k, j, i), (k, j, i)))

    def compose(self, second: DisplacementField, like: Grid | None = None) -> DisplacementField:
        """The displacement of going through this field and then through ``second``, on ``like`` (or this lattice)."""
        from .chain import Transform

        return Transform((self, second)).displacements(*(like or self.grid))

    def inverse(self, shape: Shape | None = None, affine: np.ndarray | None = None) -> DisplacementField:
        """The displacement that leads back: ``inverse.points(field.points(x))`` is x.

        Args:
            shape, affine: lattice of the result; by default this one with the margin in which it fades, with half the
                steps unless it has many nodes.

        Returns:
            A field with :attr:`residual_mm`. A large one (more than a tenth of a millimeter) means that this field
            folds space, where no inverse exists; the result is then the closest that was found.
        """
        from .inversion import invert

        return invert(self, None if shape is None or affine is None else Grid(shape, affine))


def to_voxels(voxels_from_world: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World points (3, ...) in voxel coordinates (3, ...), array order (k, j, i), float32.

    Args:
        voxels_from_world: inverse of an affine, (4, 4).
        points: RAS mm.
    """
    rows = voxels_from_world[2::-1]
    if points.dtype == np.float32:
        moved = rows[:, :3].astype(np.float32) @ points.reshape(3, -1)
        moved += rows[:, 3:].astype(np.float32)
    else:
        moved = (rows[:, :3] @ points.reshape(3, -1) + rows[:, 3:]).astype(np.float32)
    return moved.reshape(points.shape)


def world_layers(grid: Grid, start: int, stop: int) -> np.ndarray:
    """RAS mm (3, k, j, i), float32, of the voxels in the layers ``start`` to ``stop``."""
    k, j, i = np.arange(start, stop), np.arange(grid.shape[1]), np.arange(grid.shape[2])
    result = np.empty((3, len(k), len(j), len(i)), np.float32)
    for component, (step_i, step_j, step_k, origin) in zip(result, grid.affine[:3], strict=True):
        layer = (step_k * k + origin)[:, None, None] + (step_j * j)[:, None]
        np.add(layer.astype(np.float32), (step_i * i).astype(np.float32), out=component)
    return result


class GridSampler:
    """A field's displacement at the voxels of a grid, layer by layer.

    Where the grid runs along the lattice, which is usual, lines are interpolated instead of points, several times as
    fast.

    Args:
        field: what is sampled.
        grid: where. Its affine may be any matrix from voxels to the field's world.
    """

    def __init__(self, field: DisplacementField, grid: Grid) -> None:
        self._field, self._grid = field, grid
        step = np.linalg.inv(field.image.affine) @ grid.affine
        self._lines: np.ndarray | None = None
        if is_axis_aligned(step, grid.shape):
            scales, offsets = np.diag(step)[2::-1], step[2::-1, 3]
            at = [s * np.arange(n) + o for s, o, n in zip(scales, offsets, grid.shape, strict=True)]
            fades = field._fade_voxels()
            weights = [
                fade_weights(a, n, fade) if fade > 0 and (a.min() < 0 or a.max() > n - 1) else None
                for a, n, fade in zip(at, field.image.shape, fades, strict=True)
            ]
            self._at, self._weights = at[0], weights[0]
            self._lines = along_axis(along_axis(field.image.array, 3, at[2], weights[2]), 2, at[1], weights[1])

    def layers(self, start: int, stop: int) -> np.ndarray:
        """Displacement (3, k, j, i) in the layers ``start`` to ``stop``, RAS mm, float32. May be a view."""
        if self._lines is None:
            return self._field.at_points(world_layers(self._grid, start, stop))
        at, weights = self._at[start:stop], None if self._weights is None else self._weights[start:stop]
        first = int(np.clip(at.min(), 0, self._lines.shape[1] - 1))
        last = int(np.clip(np.ceil(at.max()), 0, self._lines.shape[1] - 1))
        return along_axis(self._lines[:, first : last + 1], 1, at - first, weights)
