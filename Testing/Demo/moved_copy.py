"""A pair that needs no download: an image, and a copy of it that was moved, warped and given another contrast."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from MedAILib.image import Image
from MedAILib.transforms import AffineTransform, DisplacementField, Transform, warp_image

TURN_DEGREES = 12.0
SHIFT_MM = (14.0, -9.0, 11.0)
WARP_MM = 6.0
"""Largest displacement of the warp."""
LATTICE_MM = 8.0
SMOOTH_NODES = 2.5


def moved_copy(image: Image, seed: int = 1, other_contrast: bool = True) -> tuple[Image, Transform]:
    """The copy, on the image's own grid, and what takes the image's world points to those of the copy.

    Args:
        image: scalar volume with an empty margin.
        seed: of the random warp.
        other_contrast: let bright and dark change places.
    """
    middle = image.affine @ [*((np.array(image.shape[::-1]) - 1) / 2), 1.0]
    angle = np.radians(TURN_DEGREES)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = middle[:3] - turn[:3, :3] @ middle[:3] + SHIFT_MM
    truth = Transform((_warp(image, seed), AffineTransform(turn)))
    copy = warp_image(image, image, truth.inverse())
    array = copy.array
    if other_contrast:
        top = float(np.percentile(image.array, 99.5))
        inside = np.clip(array / (0.1 * top), 0, 1)
        array = inside * (1.1 * top - np.clip(array, 0, top))
    return copy.with_array(array.astype(np.float32), name="moved copy"), truth


def _warp(image: Image, seed: int) -> DisplacementField:
    """Smooth random displacements on a coarse lattice over the image."""
    step = LATTICE_MM / np.array(image.spacing)
    shape = tuple(int(np.ceil((n - 1) / s)) + 1 for n, s in zip(image.shape, step, strict=True))
    affine = image.affine.copy()
    affine[:3, :3] *= step[::-1]
    noise = np.random.default_rng(seed).normal(size=(3, *shape))
    array = np.stack([gaussian_filter(part, SMOOTH_NODES) for part in noise])
    array *= WARP_MM / np.linalg.norm(array, axis=0).max()
    return DisplacementField(Image(array.astype(np.float32), affine, "warp"))
