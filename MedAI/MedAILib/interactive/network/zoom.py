"""Where the network may look: cubes around what is known, from near to far."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ...geometry import Shape, Spacing
from ..marks import Box, Marks
from .region import Region

COUNT = 48
"""Voxels along a side of the cube, as trained."""
NEAREST = 16
"""Voxels of the volume along the side of the smallest cube."""
FARTHER = 1.5
"""Side of a cube over that of the one before."""
MARGIN = 1.4
"""Side of the first cube over that of a mask or a box, which tell about how large the object is."""
KNOWN, UNKNOWN = 3, 8
"""Cubes at most, where the size is about known and where it is not."""


def regions(marks: Marks, current: Box | None, spacing: Spacing, shape: Shape) -> list[Region]:
    """The cubes that come into question, smallest first. Each holds the mask and all marks of the object.

    Args:
        marks: not empty, or there is a mask.
        current: box around the mask; None where there is none.
        spacing, shape: of the volume.
    """
    boxes = [box for box in (current, marks.frame) if box is not None]
    corners = [np.array([[side.start, side.stop - 1] for side in box]).T for box in boxes]
    corners += [part for part in (marks.inside, marks.newest if boxes else marks.inside) if len(part)]
    low, high = np.concatenate(corners).min(0), np.concatenate(corners).max(0)
    extent = float(((high - low + 1) * np.array(spacing)).max())
    native = float(np.sort(spacing)[:2].mean())  # of thick slices the pixels count
    smallest = max(NEAREST * native, MARGIN * extent if boxes else 1.1 * extent)
    longest = 1.2 * float((np.array(shape) * np.array(spacing)).max())
    sides = smallest * FARTHER ** np.arange(KNOWN if boxes else UNKNOWN)
    k, j, i = (float(value) for value in (low + high) / 2)
    kept = [sides[0], *(b for a, b in pairwise(sides) if a < longest)]
    return [Region((k, j, i), float(side) / COUNT, COUNT) for side in kept]


def bounds(mask: np.ndarray) -> Box | None:
    """The box around a mask; None where it is empty."""
    slices = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
    if not len(slices):
        return None
    first, last = int(slices[0]), int(slices[-1]) + 1
    plane: np.ndarray = np.logical_or.reduce(mask[first:last])
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    return slice(first, last), slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
