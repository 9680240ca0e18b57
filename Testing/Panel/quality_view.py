"""A picture of what the comparison buttons show: one plane, before the registration and after it."""

from __future__ import annotations

import numpy as np

from MedAILib.image import Image
from MedAILib.spatial import crop, reorient
from MedAILib.transforms import IDENTITY, Transform, warp_image
from Panel.view_parts import gray, joined, view

LINE_MM = 10.0
"""Between two lines of the deformed grid."""
YELLOW, WHITE = np.array([1.0, 0.8, 0.1]), np.array([1.0, 1.0, 1.0])
RED, BLUE = np.array([0.8, 0.1, 0.1]), np.array([0.1, 0.2, 0.8])


def quality_view(fixed: Image, moving: Image, transform: Transform, jacobian: Image) -> np.ndarray:
    """The coronal plane through the middle of the fixed volume, in two rows.

    Above, before the registration: the moving volume, a checkerboard and the difference of both volumes; and the
    change of volume (red above 1, blue below). Below the same three afterwards, and the deformed grid.

    Returns:
        uint8 (rows, columns, 3).
    """
    plane = _middle(reorient(fixed, "RAS"))
    before = [*_compared(plane, warp_image(moving, plane, IDENTITY)), _volume_change(plane, jacobian)]
    after = [*_compared(plane, warp_image(moving, plane, transform)), _grid(plane, transform)]
    rows = [joined(before, 1), joined(after, 1)]
    return (joined(rows, 0) * 255).astype(np.uint8)


def _middle(image: Image) -> Image:
    """The coronal plane through the middle of a RAS volume."""
    k, j, i = image.shape
    return crop(image, (0, j // 2, 0), (k, 1, i))


def _compared(plane: Image, seen: Image) -> list[np.ndarray]:
    from MedAISlicer.compare import FULL, checkerboard, difference

    apart = view(plane, difference(plane, seen).array)
    return [
        gray(view(plane, seen.array)),
        gray(view(plane, checkerboard(plane, seen).array)),
        gray(apart, (-FULL, FULL)),
    ]


def _grid(plane: Image, transform: Transform) -> np.ndarray:
    """Where the lines of a regular grid in the moving volume come to lie, over the fixed volume."""
    k, j, i = np.indices(plane.shape, dtype=float)
    columns = np.stack([i.ravel(), j.ravel(), k.ravel()], -1)
    places = transform.points(columns @ plane.affine[:3, :3].T + plane.affine[:3, 3]).reshape(*plane.shape, 3)
    strength = np.zeros((*view(plane, plane.array).shape, 1))
    for axis in (0, 2):
        at = view(plane, places[..., axis])
        away = np.abs((at / LINE_MM + 0.5) % 1 - 0.5) * LINE_MM
        strength = np.maximum(strength, np.clip(1.2 - away, 0, 1)[..., np.newaxis])
    return gray(view(plane, plane.array)) * (1 - strength) + strength * YELLOW


def _volume_change(plane: Image, jacobian: Image) -> np.ndarray:
    seen = warp_image(jacobian, plane, IDENTITY, fill=1.0)
    change = np.log2(np.clip(view(plane, seen.array), 0.25, 4.0))[..., np.newaxis]
    share = np.clip(np.abs(change), 0, 1)
    colors = np.where(change > 0, RED, BLUE) * share + WHITE * (1 - share)
    return 0.55 * colors + 0.45 * gray(view(plane, plane.array))
