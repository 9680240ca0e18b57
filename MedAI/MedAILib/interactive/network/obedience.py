"""From the network's opinion to an answer that obeys: every mark holds, and changes stay near the newest prompt."""

from __future__ import annotations

import numpy as np

from ...geometry import Spacing
from ..marks import Box, Marks

_WIDER = 1.25
"""Changes reach so much farther from the newest prompt than what it asked for."""


def obeying(likely: np.ndarray, box: Box, marks: Marks, before: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The object in a box.

    Args:
        likely: float32 of the box's shape, 0 to 1.
        box: in the volume; it holds the mask before and all marks that belong to the object.
        marks: all.
        before: bool of the box's shape, the mask before.
        spacing: mm, (k, j, i).

    Returns:
        bool of the box's shape.
    """
    start = np.array([side.start for side in box])
    newest, inside, outside = (
        _within(part - start, likely.shape) for part in (marks.newest, marks.inside, marks.outside)
    )
    found = _forced(likely > 0.5, box, marks, inside, outside)
    if before.any():
        found = _near(found, before, newest, marks.positive, spacing)
        found = _forced(found, box, marks, inside, outside)
    seeds = before.copy()
    seeds[tuple(inside.T)] = True
    return _connected(found, seeds) if seeds.any() else found


def _within(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return voxels[((voxels >= 0) & (voxels < shape)).all(1)]


def _forced(found: np.ndarray, box: Box, marks: Marks, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """With what the user said."""
    result = found.copy()
    if marks.frame is not None:
        for axis, (side, frame) in enumerate(zip(box, marks.frame, strict=True)):
            at = np.arange(side.start, side.stop)
            beyond = (at < frame.start) | (at >= frame.stop)
            result[(slice(None),) * axis + (beyond,)] = False
    result[tuple(inside.T)] = True
    result[tuple(outside.T)] = False
    return result


def _near(found: np.ndarray, before: np.ndarray, newest: np.ndarray, positive: bool, spacing: Spacing) -> np.ndarray:
    """Only the changes around the newest prompt: what it asked for, which hangs together with it, and what else is to
    be changed as near."""

    if not len(newest):  # a box; all of it is new
        return found
    asked = _connected((found != before) & (found == positive), _mask(newest, found.shape))
    if not asked.any():
        return before.copy()
    distance = _distance(newest, found.shape, spacing)
    reach = _WIDER * float(distance[asked].max())
    return np.where(distance <= reach, found, before)


def _mask(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    result = np.zeros(shape, bool)
    result[tuple(voxels.T)] = True
    return result


def _distance(voxels: np.ndarray, shape: tuple[int, ...], spacing: Spacing) -> np.ndarray:
    """mm to the nearest of some voxels."""
    from scipy import ndimage

    return ndimage.distance_transform_edt(~_mask(voxels, shape), sampling=spacing)


def _connected(mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The components of a mask, voxels touching by faces, that hold a seed."""
    from scipy import ndimage

    parts, count = ndimage.label(mask)
    kept = np.zeros(count + 1, bool)
    kept[parts[seeds & mask]] = True
    kept[0] = False
    return kept[parts]
