"""Where the network looks: a cube around what is known, that grows while the answer touches its sides."""

from __future__ import annotations

import numpy as np

from ...geometry import Shape, Spacing
from ..marks import Box, Marks
from .region import Region

FEWEST, MOST, STEP = 48, 96, 16
"""Voxels along a side of the cube; finer than the volume is no use, and more than 96 takes too long."""
_GROWTH = 1.6
_MARGIN = 1.4
"""Side of the cube over that of the object."""
_SMALLEST = 16
"""Voxels of the volume along the side of the smallest cube."""
_TOUCHED = 0.004
"""Share of a side of the cube that the answer covers where it goes on beyond."""


def first_region(marks: Marks, current: Box | None, spacing: Spacing, shape: Shape) -> tuple[Region, bool]:
    """The cube to begin with, and whether the object's size is known, so that it need not be looked for.

    Args:
        marks: not empty, or there is a mask.
        current: box around the mask; None where there is none.
        spacing, shape: of the volume.
    """
    boxes = [box for box in (current, marks.frame) if box is not None]
    lows = [[side.start for side in box] for box in boxes]
    highs = [[side.stop - 1 for side in box] for box in boxes]
    points = [part for part in (marks.inside, marks.newest if boxes else marks.inside) if len(part)]
    lows += [part.min(0).tolist() for part in points]
    highs += [part.max(0).tolist() for part in points]
    low, high = np.min(lows, 0), np.max(highs, 0)
    extent = float(((high - low + 1) * np.array(spacing)).max())
    known = bool(boxes)
    side = _MARGIN * extent if known else max(FEWEST * _native(spacing), 2.0 * extent)
    return region_of((low + high) / 2, side, spacing, shape), known


def fitted(found: np.ndarray, points: np.ndarray, box: Box, spacing: Spacing, shape: Shape) -> Region:
    """The cube around an answer, which is not empty, found in a box of the volume, and around voxels (n, 3)."""
    low, high = bounds(found)
    start = np.array([side.start for side in box])
    low, high = np.vstack([low + start, points]).min(0), np.vstack([high + start, points + 1]).max(0)
    extent = float(((high - low) * np.array(spacing)).max())
    return region_of((low + high - 1) / 2, _MARGIN * extent, spacing, shape)


def grown(region: Region, spacing: Spacing, shape: Shape) -> Region | None:
    """A larger cube around the same middle; None where all of the volume is in the cube already."""
    low, high = region.limits(spacing)
    if (low <= 0).all() and (high >= np.array(shape) - 1).all():
        return None
    return region_of(np.array(region.center), _GROWTH * region.side, spacing, shape)


def region_of(center: np.ndarray, side: float, spacing: Spacing, shape: Shape) -> Region:
    """A cube of about ``side`` mm, not smaller than is useful, nor larger than the volume."""
    native = _native(spacing)
    longest = 1.1 * float((np.array(shape) * np.array(spacing)).max())
    side = float(np.clip(side, _SMALLEST * native, max(longest, _SMALLEST * native)))
    count = int(np.clip(STEP * np.ceil(side / native / STEP - 1e-6), FEWEST, MOST))
    k, j, i = (float(value) for value in center)
    return Region((k, j, i), side / count, count)


def touches(found: np.ndarray, region: Region, spacing: Spacing, shape: Shape) -> bool:
    """Whether an answer (count, count, count) goes on beyond a side of its cube, where the volume does, too."""
    low, high = region.limits(spacing)
    for axis in range(3):
        for end, inner in ((0, low[axis] > 0), (-1, high[axis] < shape[axis] - 1)):
            if inner and np.take(found, end, axis).mean() > _TOUCHED:
                return True
    return False


def bounds(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First voxel of a mask that is not empty along each axis, and the one after the last."""
    low, high = [], []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        low.append(int(line[0]))
        high.append(int(line[-1]) + 1)
    return np.array(low), np.array(high)


def box_between(low: np.ndarray, high: np.ndarray) -> Box:
    """From the first voxel to before the last one."""
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return k, j, i


def _native(spacing: Spacing) -> float:
    """mm; of thick slices the pixels count."""
    return float(np.sort(spacing)[:2].mean())
