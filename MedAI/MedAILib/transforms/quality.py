"""How good a registration is, in figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import GeometryError, UsageError
from ..image import Image
from ..label_boxes import label_boxes
from .chain import PositionSampler, Transform, moved_by
from .field import world_layers
from .grid import Like, grid_of
from .sampling import in_pieces

_POINTS = 1.5e6
"""About how many points measure the inverse consistency."""


@dataclass(frozen=True)
class LabelOverlap:
    """How well one structure agrees.

    Attributes:
        value: its label.
        dice: 0 to 1; 0 if it vanished from one of the two maps.
        hd95_mm: the larger of the two directed 95th percentiles of surface distance; NaN if it vanished.
    """

    value: int
    dice: float
    hd95_mm: float


def overlap(fixed: Image, warped: Image, values: Iterable[int] | None = None) -> list[LabelOverlap]:
    """Dice and Hausdorff distance of each structure (definitions of the Learn2Reg evaluation).

    Args:
        fixed, warped: label maps on the same grid.
        values: which labels; by default all but 0 that both maps hold. Name those of the fixed and the unwarped moving
            map, else a structure that the transform pushed out of sight would not count.

    Returns:
        In ascending order of the labels.

    Raises:
        GeometryError: the maps are on different grids.
    """
    check_same_grid(fixed, warped)
    first, second = label_boxes(fixed.array), label_boxes(warped.array)
    chosen = sorted(first.keys() & second.keys()) if values is None else sorted({int(v) for v in values} - {0})
    rows = []
    for value in chosen:
        if value not in first or value not in second:
            absent = value not in first and value not in second
            rows.append(LabelOverlap(value, float("nan") if absent else 0.0, float("nan")))
            continue
        box = tuple(
            slice(max(0, min(a.start, b.start) - 2), max(a.stop, b.stop) + 2)
            for a, b in zip(first[value], second[value], strict=True)
        )
        a, b = fixed.array[box] == value, warped.array[box] == value
        dice = 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
        rows.append(LabelOverlap(value, float(dice), _hd95(a, b, fixed.spacing)))
    return rows


def _surface(mask: np.ndarray) -> np.ndarray:
    """The mask's voxels with a face neighbor outside it; outside the array counts as outside.

    Across a single slice there are no neighbors, so in two dimensions the surface is the outline.
    """
    inner = mask.copy()
    for axis in range(3):
        if mask.shape[axis] == 1:
            continue
        view, moved = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        view[1:] &= moved[:-1]
        view[:-1] &= moved[1:]
        view[0] = False
        view[-1] = False
    return mask & ~inner


def _hd95(a: np.ndarray, b: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Distances to the other surface by nearest-neighbor search among its voxels, which visits far fewer voxels than a
    distance map of the whole box. Voxels that both surfaces share have distance 0 and are not searched."""
    from scipy.spatial import cKDTree

    surfaces = _surface(a), _surface(b)
    places = [np.argwhere(surface) * np.asarray(spacing) for surface in surfaces]
    percentiles = []
    for own, other, place, target in ((0, 1, places[0], places[1]), (1, 0, places[1], places[0])):
        apart = ~surfaces[other][surfaces[own]]
        distances = np.zeros(len(place))
        if apart.any():
            distances[apart] = cKDTree(target, balanced_tree=False, compact_nodes=False).query(place[apart])[0]
        percentiles.append(np.percentile(distances, 95))
    return float(max(percentiles))


def check_same_grid(first: Image, second: Image) -> None:
    """Raises GeometryError unless both images stand on the same voxels (to 1/100 voxel)."""
    step = np.linalg.inv(first.affine) @ second.affine
    off = np.abs((step - np.eye(4))[:3] @ [*first.shape[::-1], 1.0]).max() if first.shape == second.shape else np.inf
    if off > 1e-2:
        raise GeometryError(f"{first.name} and {second.name} are not on the same grid. Resample one like the other.")


def landmark_errors(fixed: np.ndarray, moving: np.ndarray, transform: Transform) -> np.ndarray:
    """Distance in mm (n,) between each fixed point taken along and its moving partner.

    Args:
        fixed, moving: (n, 3) RAS mm, in the same order.

    Raises:
        UsageError: not as many points on either side.
    """
    fixed, moving = np.asarray(fixed, float).reshape(-1, 3), np.asarray(moving, float).reshape(-1, 3)
    if len(fixed) != len(moving):
        raise UsageError(
            f"There are {len(fixed)} fixed and {len(moving)} moving landmarks. Place the same points in both images."
        )
    return np.linalg.norm(transform.points(fixed) - moving, axis=1)


def inverse_consistency(transform: Transform, inverse: Transform, like: Like) -> tuple[float, float]:
    """How far the voxels of a grid end from where they were, taken there and back.

    Of a large grid every second or third voxel is taken along each axis, so that about a million are.

    Returns:
        Mean and maximum in mm.
    """
    grid = grid_of(like)
    step = max(1, round((np.prod(grid.shape, dtype=float) / _POINTS) ** (1 / 3)))
    grid = grid.thinned(step)
    there = PositionSampler(transform, grid)
    back = inverse.simplified()
    sums, largest = np.zeros(grid.shape[0]), np.zeros(grid.shape[0])

    def measure(start: int, stop: int) -> None:
        points = moved_by(back.parts, there.layers(start, stop))
        points -= world_layers(grid, start, stop)
        points *= points
        distances = np.sqrt(points.sum(axis=0))
        sums[start], largest[start] = distances.sum(dtype=np.float64), distances.max()

    in_pieces(measure, grid.shape[0], grid.shape[1] * grid.shape[2])
    return float(sums.sum() / np.prod(grid.shape)), float(largest.max())
