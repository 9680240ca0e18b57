"""The inverse of a displacement field, node by node."""

from __future__ import annotations

import numpy as np

from ..image import Image
from .field import DisplacementField, GridSampler, to_voxels, world_layers
from .grid import Grid
from .sampling import in_pieces, trilinear, trilinear_with_gradient

TOLERANCE = 0.01
"""A node is found when it misses its place by less than this part of the lattice's finest spacing."""

_SIMPLE_STEPS = 4
_NEWTON_STEPS = 60
_SHORTEST_SHARE = 1 / 512
"""Of a Newton step. A node that comes no closer even then stays where it is."""
_LONGEST_STEP = 4.0
"""Of a Newton step, voxels."""
_FLATTEST = 0.01
"""Below this determinant a Newton step would lead anywhere."""
_REFINED_NODES = 3_000_000
"""The lattice of the result is refined if it has no more nodes than this then."""


def invert(field: DisplacementField, grid: Grid | None = None) -> DisplacementField:
    """Solve x + d(x) = y for every node y of a lattice.

    First plain fixed-point steps (Chen et al. 2008, A simple fixed-point approach to invert a deformation field), then,
    for the nodes that are still off, Newton steps with the exact derivative of the linear interpolation, which also
    converge where the field compresses strongly. The derivative jumps from cell to cell, so that a full step may lead
    away or around in circles: a step is taken only if it leads closer, else it is halved. Where the field folds there
    is no inverse, or several: there the best point that was met is kept, and the residual tells.

    Where the field compresses space to a quarter, the inverse changes four times as fast, so that a lattice which is
    fine enough for the field is too coarse for the inverse between its nodes. It gets one of half the step where
    memory and time allow.

    Args:
        field: d.
        grid: lattice of the result; by default that of the field with its margin, and a node in the middle between
            any two neighbors if these are no more than 3 million nodes in all.

    Returns:
        x - y at the nodes, RAS mm, with the largest |x + d(x) - y| of those for which x lies on the field's own lattice
        as ``residual_mm``.
    """
    wide = field.with_margin()
    solver = _Solver(wide, field)
    result = _inverted(solver, grid or wide.grid, field.image.name)
    fine = wide.grid.refined()
    if grid is None and np.prod(fine.shape, dtype=float) <= _REFINED_NODES:
        result = _inverted(solver, fine, field.image.name, result)
    return result


def _inverted(solver: _Solver, grid: Grid, name: str, guess: DisplacementField | None = None) -> DisplacementField:
    """The inverse on a lattice; ``guess`` is about the same on another one, to start from."""
    sampler = guess and GridSampler(guess, grid)
    result = np.empty((3, *grid.shape), np.float32)
    missed = np.zeros(grid.shape[0], np.float32)

    def fill(start: int, stop: int) -> None:
        points = world_layers(grid, start, stop)
        begin = points + sampler.layers(start, stop) if sampler else points
        moved, miss = solver.solve(points.reshape(3, -1), begin.reshape(3, -1))
        result[:, start:stop] = moved.reshape(points.shape)
        missed[start] = miss

    in_pieces(fill, grid.shape[0], grid.shape[1] * grid.shape[2])
    return DisplacementField(Image(result, grid.affine, f"{name} inverse"), float(missed.max(initial=0)))


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

    def solve(self, points: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, float]:
        """Displacements (3, n) in mm that lead back from world points (3, n), and the largest residual in mm.

        Args:
            points: world points, RAS mm.
            begin: where to begin to look for what the field takes there; the points themselves or something better.
        """
        target = to_voxels(self._from_world, points)
        best = to_voxels(self._from_world, begin)
        missed = np.full(target.shape[1], np.inf, np.float32)
        active, found = np.arange(len(missed)), best
        for _ in range(_SIMPLE_STEPS + 1):
            off = found + trilinear(self._steps, found) - target[:, active]
            miss = self._length(off)
            better = miss < missed[active]
            missed[active[better]] = miss[better]
            best[:, active[better]] = found[:, better]
            left = miss > self._tolerance
            active, found = active[left], (found - off)[:, left]
            if not len(active):
                break
        active = np.flatnonzero(missed > self._tolerance)
        best[:, active], missed[active] = self._descend(target[:, active], best[:, active])
        on_lattice = np.ones(missed.shape, bool)
        for coordinates, margin, n in zip(best, self._margins, self._judged, strict=True):
            on_lattice &= (coordinates >= margin) & (coordinates <= margin + n - 1)
        return self._to_world @ (best - target), float(missed[on_lattice].max(initial=0))

    def _descend(self, target: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Newton steps, each shortened until it leads closer.

        Args:
            target: (3, n) voxels.
            begin: (3, n) voxels; where to start.

        Returns:
            The closest points that were met (3, n), and by how many mm (n,) they miss.
        """
        best, missed = begin.copy(), np.full(begin.shape[1], np.inf, np.float32)
        active, found = np.arange(len(missed)), begin
        steps, share = np.zeros_like(begin), np.ones(len(missed), np.float32)
        for _ in range(_NEWTON_STEPS):
            if not len(active):
                break
            values, slopes = trilinear_with_gradient(self._steps, found)
            off = found + values - target[:, active]
            miss = self._length(off)
            better = miss < missed[active]
            missed[active[better]] = miss[better]
            best[:, active[better]] = found[:, better]
            steps[:, better] = _newton_step(slopes[:, :, better], off[:, better])
            share = np.where(better, np.minimum(1, 2 * share), share / 2)
            left = (missed[active] > self._tolerance) & (share > _SHORTEST_SHARE)
            active, steps, share = active[left], steps[:, left], share[left]
            found = best[:, active] - share * steps
        return best, missed

    def _length(self, off: np.ndarray) -> np.ndarray:
        """Of voxel steps (3, n), in mm (n,)."""
        return np.sqrt(((self._to_world @ off) ** 2).sum(axis=0))


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
