"""The way back: labels drawn on a straightened volume, in the image that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import GeometryError
from ..image import Image, Kind
from .centerline import to_voxels, to_world
from .reformation import Reformation


@dataclass(frozen=True, eq=False)
class Restored:
    """Labels in native space.

    Attributes:
        labels: (k, j, i) on the native grid.
        crossings: voxels that several planes pass through.
    """

    labels: Image
    crossings: int


def restore(
    labels: Image,
    planes: Reformation,
    name: str | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Restored:
    """Labels of a straightened volume on the native grid.

    Each native voxel near the tube asks where it lies between two planes, so there are no holes. Where planes cross,
    as they do beyond the center of a bend, several pairs of planes answer; the one whose curve is nearest counts.
    A voxel gets the label whose share, interpolated linearly between the straightened voxels, is half or more.

    Args:
        labels: (k, j, i) on the planes' grid.
        planes: that the volume was made with.
        name: of the result.
        progress: called with the done share.

    Raises:
        GeometryError: the labels are not on the planes' grid.
    """
    from scipy.ndimage import map_coordinates

    if labels.shape != planes.grid:
        raise GeometryError(
            f"{labels.name} has {labels.shape[::-1]} voxels, the straightened volume {planes.grid[::-1]}. Choose "
            "labels that were drawn on that volume."
        )
    result = np.zeros(planes.shape, labels.array.dtype)
    where, at, crossings = _asked(labels.array != 0, planes, progress)
    if len(where[0]):
        for value in np.unique(labels.array[labels.array != 0]):
            share = map_coordinates((labels.array == value).astype(np.float32), at, order=1, mode="constant")
            chosen = share >= 0.5 - 1e-6
            result[tuple(axis[chosen] for axis in where)] = value
    place = Image(result, planes.affine, name or f"{labels.name} restored", Kind.LABEL)
    return Restored(place, crossings)


def _asked(
    drawn: np.ndarray, planes: Reformation, progress: Callable[[float], None]
) -> tuple[tuple[np.ndarray, ...], np.ndarray, int]:
    """Native voxels between planes near what is drawn, their places (3, m) in the stack, and how many had several."""
    centers, right, up, normals = _with_ends(planes)
    half, spacing = 0.5 * (planes.size - 1), planes.spacing
    reach = _reach(drawn, planes)
    nearest = np.full(planes.shape, np.inf, np.float32)
    places = np.zeros((3, *planes.shape), np.float32)
    times = np.zeros(planes.shape, np.uint8)
    for number in range(len(centers) - 1):
        progress(number / (len(centers) - 1))
        radius = reach[number]
        if radius <= 0.0:
            continue
        box = _box_around(centers[number : number + 2], radius + planes.step, planes)
        if box is None:
            continue
        grid = np.stack(np.meshgrid(*(np.arange(b.start, b.stop) for b in box), indexing="ij"), -1).reshape(-1, 3)
        points = to_world(planes.affine, grid)
        before, after = points - centers[number], points - centers[number + 1]
        low, high = before @ normals[number], after @ normals[number + 1]
        between = (low >= 0.0) & (high < 0.0)
        share = low / np.maximum(low - high, 1e-12)
        a = (1.0 - share) * (before @ right[number]) + share * (after @ right[number + 1])
        b = (1.0 - share) * (before @ up[number]) + share * (after @ up[number + 1])
        away = np.hypot(a, b)
        kept = between & (away <= radius)
        at: tuple[np.ndarray, ...] = tuple(grid[kept].T)
        times[at] = np.minimum(times[at] + 1, 200)
        closer = away[kept] < nearest[at]
        at = tuple(axis[closer] for axis in at)
        nearest[at] = away[kept][closer]
        stack = np.stack((number - 1 + share, b / spacing + half, a / spacing + half))
        places[:, at[0], at[1], at[2]] = stack[:, kept][:, closer]
    where = np.nonzero(np.isfinite(nearest))
    return where, places[:, where[0], where[1], where[2]], int(np.count_nonzero(times > 1))


def _with_ends(planes: Reformation) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The planes with one more at either end, for the half step that the first and the last voxel reach out."""
    normals = planes.normals
    centers = np.concatenate(
        (
            planes.centers[:1] - planes.step * normals[:1],
            planes.centers,
            planes.centers[-1:] + planes.step * normals[-1:],
        )
    )
    doubled = [np.concatenate((rows[:1], rows, rows[-1:])) for rows in (planes.right, planes.up, normals)]
    return centers, doubled[0], doubled[1], doubled[2]


def _reach(drawn: np.ndarray, planes: Reformation) -> np.ndarray:
    """For each pair of planes, how far (mm) from the curve something is drawn on one of them; 0 where nothing is."""
    offsets = (np.arange(planes.size) - 0.5 * (planes.size - 1)) * planes.spacing
    away = np.hypot(offsets[:, None], offsets)
    far = np.array([(away[plane].max() + planes.spacing) if plane.any() else 0.0 for plane in drawn])
    padded = np.concatenate(([0.0], far, [0.0]))
    return np.maximum(padded[:-1], padded[1:])


def _box_around(centers: np.ndarray, reach: float, planes: Reformation) -> tuple[slice, slice, slice] | None:
    voxels = to_voxels(planes.affine, centers)
    margin = reach / np.linalg.norm(planes.affine[:3, :3], axis=0)[::-1]
    low = np.maximum(np.floor(voxels.min(axis=0) - margin).astype(int), 0)
    high = np.minimum(np.ceil(voxels.max(axis=0) + margin).astype(int) + 1, planes.shape)
    if (high <= low).any():
        return None
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return k, j, i
