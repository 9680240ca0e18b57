"""Remove what cannot be right in a label map: parts away from the organ, and crumbs of a label inside another."""

from __future__ import annotations

import numpy as np

from ..region import Box

_CRUMB_SHARE = 0.05
_RIM = 3


def keep_largest(labels: np.ndarray) -> int:
    """Clear, in place, all foreground that is not connected (26 neighbors) to its largest part.

    Args:
        labels: (k, j, i) class indices, 0 = background.

    Returns:
        Number of voxels cleared.
    """
    from scipy import ndimage

    box = _occupied(labels)
    if box is None:
        return 0
    inside = labels[box]
    parts, count = ndimage.label(inside, structure=np.ones((3, 3, 3), bool))
    if count < 2:
        return 0
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    away = (parts != int(sizes.argmax())) & (inside != 0)
    inside[away] = 0
    return int(away.sum())


def remove_crumbs(labels: np.ndarray, share: float = _CRUMB_SHARE) -> int:
    """Give, in place, each part of a label below ``share`` of that label's largest part to the nearest other label.

    Crumbs that touch only background become background.

    Args:
        labels: (k, j, i) class indices, 0 = background.
        share: of the voxels of the label's largest part, 0 to 1.

    Returns:
        Number of voxels changed.
    """
    from scipy import ndimage

    changed = 0
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        parts, count = ndimage.label(labels[box] == index, structure=np.ones((3, 3, 3), bool))
        if count < 2:
            continue
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        crumbs = np.flatnonzero((sizes < share * sizes.max()) & (sizes > 0))
        places = ndimage.find_objects(parts)
        for crumb in crumbs:
            changed += _reassign(labels, box, parts, int(crumb), places[crumb - 1])
    return changed


def _reassign(labels: np.ndarray, box: Box, parts: np.ndarray, crumb: int, place: Box) -> int:
    """Fill one connected part from the voxels around it."""
    from scipy import ndimage

    outer = tuple(
        slice(max(0, side.start + piece.start - _RIM), min(length, side.start + piece.stop + _RIM))
        for side, piece, length in zip(box, place, labels.shape, strict=True)
    )
    mask = np.zeros([side.stop - side.start for side in outer], bool)
    inner = tuple(
        slice(side.start + piece.start - rim.start, side.start + piece.stop - rim.start)
        for side, piece, rim in zip(box, place, outer, strict=True)
    )
    mask[inner] = parts[place] == crumb
    around = labels[outer]
    nearest = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    around[mask] = around[tuple(nearest[:, mask])]
    return int(mask.sum())


def _occupied(labels: np.ndarray) -> Box | None:
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(labels.any(axis=others))
        if not where.size:
            return None
        sides.append(slice(int(where[0]), int(where[-1]) + 1))
    return sides[0], sides[1], sides[2]
