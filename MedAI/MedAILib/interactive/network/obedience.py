"""From the network's opinion to an answer that obeys: all marks hold, nothing changes but what the newest one asks."""

from __future__ import annotations

import numpy as np

from ...geometry import Spacing
from ..marks import Box, Marks

_PERSUASION = 2.5
"""Voxels around a mark in which a network that says otherwise is persuaded, standard deviation."""
_FAR = 4.0
"""Standard deviations beyond which nobody is persuaded."""
_SURE = 6.0
"""Largest logit that is argued with."""


def agrees(marks: Marks, current: np.ndarray) -> bool:
    """Whether a mask obeys all that was said about it."""
    if not bool(current[tuple(marks.inside.T)].all()) or bool(current[tuple(marks.outside.T)].any()):
        return False
    return marks.frame is None or np.count_nonzero(current) == np.count_nonzero(current[marks.frame])


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
    found = _persuaded(likely, newest, marks.positive, spacing) > 0.0
    _force(found, box, marks, inside, outside)
    if before.any():
        found = _asked(found, before, newest, marks.positive)
        _force(found, box, marks, inside, outside)
    seeds = before.copy()
    seeds[tuple(inside.T)] = True
    return connected(found, seeds) if seeds.any() else found


def _within(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return voxels[((voxels >= 0) & (voxels < shape)).all(1)]


def _persuaded(likely: np.ndarray, newest: np.ndarray, positive: bool, spacing: Spacing) -> np.ndarray:
    """Logits, raised or lowered around the newest prompt as far as they contradict it: not only the marked voxels
    follow it, but also those around that the network was not much surer of."""
    likely = np.clip(likely, 1e-4, 1.0 - 1e-4)
    logits: np.ndarray = np.clip(np.log(likely / (1.0 - likely)), -_SURE, _SURE)
    sign = 1.0 if positive else -1.0
    missing = 1.0 - sign * logits[tuple(newest.T)]
    if not len(newest) or missing.max() <= 1.0:
        return logits
    sigma = _PERSUASION * float(np.sort(spacing)[:2].mean())
    reach = np.ceil(_FAR * sigma / np.array(spacing)).astype(int)
    low = np.maximum(newest.min(0) - reach, 0)
    near = tuple(slice(a, b) for a, b in zip(low, newest.max(0) + reach + 1, strict=True))
    distance = _distance(newest - low, logits[near].shape, spacing)
    logits[near] += sign * float(missing.max()) * np.exp(-0.5 * np.square(distance / sigma))
    return logits


def _force(found: np.ndarray, box: Box, marks: Marks, inside: np.ndarray, outside: np.ndarray) -> None:
    """Write what the user said into an answer."""
    if marks.frame is not None:
        for axis, (side, frame) in enumerate(zip(box, marks.frame, strict=True)):
            at = np.arange(side.start, side.stop)
            beyond = (at < frame.start) | (at >= frame.stop)
            found[(slice(None),) * axis + (beyond,)] = False
    found[tuple(inside.T)] = True
    found[tuple(outside.T)] = False


def _asked(found: np.ndarray, before: np.ndarray, newest: np.ndarray, positive: bool) -> np.ndarray:
    """Only the changes that the newest prompt asks for: what it adds, or takes away, in one piece with it.

    What else the network would change stays: it often is no better than the mask before, which somebody has seen.
    """
    if not len(newest):  # a box; all of it is new
        return found
    asked = connected((found != before) & (found == positive), _mask(newest, found.shape))
    return np.where(asked, found, before)


def _mask(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    result = np.zeros(shape, bool)
    result[tuple(voxels.T)] = True
    return result


def _distance(voxels: np.ndarray, shape: tuple[int, ...], spacing: Spacing) -> np.ndarray:
    """mm to the nearest of some voxels."""
    from scipy import ndimage

    distance: np.ndarray = ndimage.distance_transform_edt(~_mask(voxels, shape), sampling=spacing)
    return distance


def connected(mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The components of a mask, voxels touching by faces, that hold a seed."""
    from scipy import ndimage

    parts, count = ndimage.label(mask)
    kept = np.zeros(count + 1, bool)
    kept[parts[seeds & mask]] = True
    kept[0] = False
    return kept[parts]
