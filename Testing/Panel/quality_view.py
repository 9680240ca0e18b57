"""A picture of what the comparison buttons show: one plane, before the registration and after it."""

from __future__ import annotations

import numpy as np
from skimage.transform import resize

from MedAILib.image import Image
from MedAILib.spatial import crop, reorient
from MedAILib.transforms import IDENTITY, Transform, warp_image

HEIGHT = 320
"""Of each view in pixels."""
GAP = 8
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
    rows = [_joined(before, 1), _joined(after, 1)]
    return (_joined(rows, 0) * 255).astype(np.uint8)


def _middle(image: Image) -> Image:
    """The coronal plane through the middle of a RAS volume."""
    k, j, i = image.shape
    return crop(image, (0, j // 2, 0), (k, 1, i))


def _compared(plane: Image, seen: Image) -> list[np.ndarray]:
    from MedAISlicer.registration.compare import FULL, checkerboard, difference

    apart = _view(plane, difference(plane, seen).array)
    return [
        _gray(_view(plane, seen.array)),
        _gray(_view(plane, checkerboard(plane, seen).array)),
        _gray(apart, (-FULL, FULL)),
    ]


def _view(plane: Image, array: np.ndarray) -> np.ndarray:
    """A plane as it is looked at, the patient's right on the left, at the height of a view."""
    k_mm, _j_mm, i_mm = plane.spacing
    width = round(HEIGHT * plane.shape[2] * i_mm / (plane.shape[0] * k_mm))
    return resize(array[::-1, 0, ::-1].astype(float), (HEIGHT, width), order=1, preserve_range=True)


def _gray(view: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
    low, high = window or np.percentile(view, (1, 99.5))
    gray = np.clip((view - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat(gray[..., np.newaxis], 3, axis=2)


def _grid(plane: Image, transform: Transform) -> np.ndarray:
    """Where the lines of a regular grid in the moving volume come to lie, over the fixed volume."""
    k, j, i = np.indices(plane.shape, dtype=float)
    columns = np.stack([i.ravel(), j.ravel(), k.ravel()], -1)
    places = transform.points(columns @ plane.affine[:3, :3].T + plane.affine[:3, 3]).reshape(*plane.shape, 3)
    strength = np.zeros((*_view(plane, plane.array).shape, 1))
    for axis in (0, 2):
        at = _view(plane, places[..., axis])
        away = np.abs((at / LINE_MM + 0.5) % 1 - 0.5) * LINE_MM
        strength = np.maximum(strength, np.clip(1.2 - away, 0, 1)[..., np.newaxis])
    return _gray(_view(plane, plane.array)) * (1 - strength) + strength * YELLOW


def _volume_change(plane: Image, jacobian: Image) -> np.ndarray:
    seen = warp_image(jacobian, plane, IDENTITY, fill=1.0)
    change = np.log2(np.clip(_view(plane, seen.array), 0.25, 4.0))[..., np.newaxis]
    share = np.clip(np.abs(change), 0, 1)
    colors = np.where(change > 0, RED, BLUE) * share + WHITE * (1 - share)
    return 0.55 * colors + 0.45 * _gray(_view(plane, plane.array))


def _joined(views: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(views[0].shape)
    shape[axis] = GAP
    parts = [part for view in views for part in (view, np.ones(shape))]
    return np.concatenate(parts[:-1], axis=axis)
