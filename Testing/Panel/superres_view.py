"""A picture of a super-resolution: the thick slices, their cubic interpolation, the result, and its uncertainty."""

from __future__ import annotations

import numpy as np

from MedAILib.image import Image
from MedAILib.spatial import crop, reorient
from Panel.view_parts import gray, joined, view

WHOLE = (0.5, 0.5, 1.0)
DETAIL = (0.42, 0.36, 0.34)
"""What a row shows: the middle (up, towards the patient's right) and the size, as shares of the plane."""
STOPS = np.array([[0.0, 0.0, 0.0], [0.7, 0.0, 0.0], [1.0, 0.6, 0.0], [1.0, 1.0, 0.8]])
"""Colors of the uncertainty, from none to much."""


def superres_view(scan: Image, cubic: Image, result: Image, uncertainty: Image) -> np.ndarray:
    """The coronal plane through the middle, as a whole and below it a part of it.

    Args:
        scan: thick slices.
        cubic, result, uncertainty: on one grid.

    Returns:
        uint8 (rows, columns, 3).
    """
    images = [reorient(image, "RAS") for image in (scan, cubic, result, uncertainty)]
    planes = [_middle(image) for image in images]
    most = float(np.percentile(planes[3].array, 99))
    rows = []
    for up, right, size in (WHOLE, DETAIL):
        parts = [_part(plane, up, right, size) for plane in planes]
        low, high = np.percentile(parts[2].array, (1, 99.9))
        shown = [view(part, part.array, order) for part, order in zip(parts, (0, 1, 1, 1), strict=True)]
        width = min(one.shape[1] for one in shown)
        pictures = [*(gray(one, (low, high)) for one in shown[:3]), _heat(shown[3] / max(most, 1e-6))]
        rows.append(joined([picture[:, :width] for picture in pictures], 1))
    width = min(row.shape[1] for row in rows)
    return (joined([row[:, :width] for row in rows], 0) * 255).astype(np.uint8)


def _middle(image: Image) -> Image:
    k, j, i = image.shape
    return crop(image, (0, j // 2, 0), (k, 1, i))


def _part(plane: Image, up: float, right: float, size: float) -> Image:
    """About the same place in mm for planes of one volume."""
    ends = []
    for middle, count in ((up, plane.shape[0]), (right, plane.shape[2])):
        length = max(1, round(size * count))
        start = min(max(0, round((middle - size / 2) * count)), count - length)
        ends.append((start, length))
    (k, height), (i, width) = ends
    return crop(plane, (k, 0, i), (height, 1, width))


def _heat(share: np.ndarray) -> np.ndarray:
    at = np.clip(share, 0, 1)
    return np.stack([np.interp(at, np.linspace(0, 1, len(STOPS)), STOPS[:, channel]) for channel in range(3)], -1)
