"""The inverse of a displacement field, node by node."""

from __future__ import annotations

import numpy as np

from ..image import Image
from .field import DisplacementField, to_voxels, world_layers
from .grid import Grid
from .sampling import in_pieces, trilinear, trilinear_with_gradient

TOLERANCE = 0.01
"""A node is found when it misses its place by less than this part of the lattice's finest spacing."""

_SIMPLE_STEPS = 4
_NEWTON_STEPS = 16
_LONGEST_STEP = 4.0
"""Of a Newton step, voxels."""
_FLATTEST = 0.1
"""Below this determinant a Newton step would lead anywhere."""


def invert(field: DisplacementField, grid: Grid | None = None) -> DisplacementField:
    """Solve x + d(x) = y for every node y of a lattice.

    First plain fixed-point steps (Chen et al. 2008, A simple fixed-point approach to invert a deformation field), then,
    for the nodes that are still off, Newton steps with the exact derivative of the linear interpolation, which also
    converge where the field compresses strongly. Where the field folds there is no inverse, or several: there the best
    point that was met is kept, and the residual tells.

    Args:
        field: d.
        grid: lattice of the result; by default that of the field with its margin.

    Returns:
        x - y at the nodes, RAS mm, with the largest |x + d(x) - y| of those for which x lies on the field's own lattice
        as ``residual_mm``.
    """
    wide = field.with_margin()
    grid = grid or wide.grid
    solver = _Solver(wide, field)
    result = np.empty((3, *grid.shape), np.float32)
    missed = np.zeros(grid.shape[0], np.float32)

    def fill(start: int, stop: int) -> None:
        points = world_layers(grid, start, stop)
        moved, miss = solver.solve(points.reshape(3, -1))
        result[:, start:stop] = moved.reshape(points.shape)
        missed[start] = miss

    in_pieces(fill, grid.shape[0], grid.shape[1] * grid.shape[2])
    image = Image(result, grid.affine, f"{field.image.name} inverse")
    return DisplacementField(image, float(missed.max(initial=0)))


class _Solver:
    """Works in the field's voxel coordinates, array order (k, j, i).

    Args:
        field: with its margin.
        judged: without it; only points found on this lattice count for the residual.
    """

    def __init__(self, field: DisplacementField, judged: DisplacementField) -> None:
        self._margins = [(n - m) // 2 for n, m in zip(field.image.shape, judged.image.shape, strict=True)]
        self._judged = judged.image.shape
        affine = field.image.affine
        self._from_world = np.linalg.inv(affine)
        self._to_world = affine[:3, 2::-1].astype(np.float32)
        turn = np.linalg.inv(affine[:3, :3])[::-1].astype(np.float32)
        array = field.image.array
        self._steps = np.empty_like(array)
        for layer in range(array.shape[1]):
            self._steps[:, layer] = (turn @ array[:, layer].reshape(3, -1)).reshape(array[:, layer].shape)
        self._tolerance = TOLERANCE * min(field.image.spacing)

    def solve(self, points: np.ndarray) -> tuple[np.ndarray, float]:
        """Displacements (3, n) in mm that lead back from world points (3, n), and the largest residual in mm."""
        target = to_voxels(self._from_world, points)
        found = target - trilinear(self._steps, target)
        best = found.copy()
        missed = np.full(target.shape[1], np.inf, np.float32)
        active = np.arange(target.shape[1])
        for step in range(_SIMPLE_STEPS + _NEWTON_STEPS):
            newton = step >= _SIMPLE_STEPS
            if newton:
                values, slopes = trilinear_with_gradient(self._steps, found)
            else:
                values, slopes = trilinear(self._steps, found), np.empty(0)
            off = found + values - target[:, active]
            miss = np.sqrt(((self._to_world @ off) ** 2).sum(axis=0))
            better = miss < missed[active]
            missed[active[better]] = miss[better]
            best[:, active[better]] = found[:, better]
            left = miss > self._tolerance
            if not left.any():
                break
            off = off[:, left]
            found = found[:, left] - (_newton_step(slopes[:, :, left], off) if newton else off)
            active = active[left]
        on_lattice = np.ones(missed.shape, bool)
        for coordinates, margin, n in zip(best, self._margins, self._judged, strict=True):
            on_lattice &= (coordinates >= margin) & (coordinates <= margin + n - 1)
        return self._to_world @ (best - target), float(missed[on_lattice].max(initial=0))


def _newton_step(slopes: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Solve (I + slopes) step = off for each point; where space is nearly folded, a cautious half step instead.

    Args:
        slopes: (3, 3, n), derivative of component c along axis a at [c, a].
        off: (3, n).
    """
    (a, b, c), (d, e, f), (g, h, i) = slopes
    a, e, i = a + 1, e + 1, i + 1
    row = e * i - f * h, f * g - d * i, d * h - e * g
    volume = a * row[0] + b * row[1] + c * row[2]
    steep = np.abs(volume) > _FLATTEST
    scale = 1 / np.where(steep, volume, 1)
    x, y, z = off
    step = np.stack(
        [
            (row[0] * x + (c * h - b * i) * y + (b * f - c * e) * z) * scale,
            (row[1] * x + (a * i - c * g) * y + (c * d - a * f) * z) * scale,
            (row[2] * x + (b * g - a * h) * y + (a * e - b * d) * z) * scale,
        ]
    )
    length = np.sqrt((step**2).sum(axis=0))
    step *= np.minimum(1, _LONGEST_STEP / np.maximum(length, 1e-6))
    return np.where(steep, step, 0.5 * off)
