"""Planes as pictures, and pictures in rows."""

from __future__ import annotations

import numpy as np
from skimage.transform import resize

from MedAILib.image import Image

HEIGHT = 320
"""Of each view in pixels."""
GAP = 8


def view(plane: Image, array: np.ndarray, order: int = 1) -> np.ndarray:
    """A coronal plane of a RAS volume as it is looked at, the patient's right on the left, at the height of a view.

    Args:
        plane: the place, one voxel along j.
        array: (k, 1, i) values.
        order: of the interpolation; 0 shows the voxels themselves.
    """
    k_mm, _j_mm, i_mm = plane.spacing
    width = round(HEIGHT * plane.shape[2] * i_mm / (plane.shape[0] * k_mm))
    return resize(array[::-1, 0, ::-1].astype(float), (HEIGHT, width), order=order, preserve_range=True)


def gray(values: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
    """(rows, columns, 3), 0 to 1, of (rows, columns) values; the window is (black, white)."""
    low, high = window or np.percentile(values, (1, 99.5))
    shades = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat(shades[..., np.newaxis], 3, axis=2)


def joined(views: list[np.ndarray], axis: int) -> np.ndarray:
    """Pictures below each other (axis 0) or beside each other (axis 1), with white between them."""
    shape = list(views[0].shape)
    shape[axis] = GAP
    parts = [part for one in views for part in (one, np.ones(shape))]
    return np.concatenate(parts[:-1], axis=axis)
