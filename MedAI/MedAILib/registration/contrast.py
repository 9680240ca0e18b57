"""Whether two images show the same tissue with the same gray values, decided before they are aligned."""

from __future__ import annotations

import numpy as np

from ..image import Image
from ..resampling import interpolate
from ..spatial import rescale
from .foreground import foreground

_COARSE = 32
"""Voxels along the longest axis of the grids that are compared."""
_ALIKE = 0.45
_OPPOSITE = -0.1
_SAME_SHAPE = 0.07
_AIR = -300.0
"""Hounsfield units: no other modality stores such values for a part of the volume."""


def decide_contrast(fixed: Image, moving: Image) -> tuple[str, str]:
    """ "same" or "different", and why.

    Both subjects are thinned to about 32 voxels and laid over each other by their centers and extents, in the
    directions that the headers give. Two things are looked at inside both: how the gray values of the two go together
    from place to place (correlation), and how alike their distributions are (mean distance of their quantiles, after
    both were scaled to 0 … 1). Where the gray values go together, or the distributions agree and the gray values do
    not contradict, the contrast counts as the same. Two volumes in Hounsfield units have the same. It is a
    rule of thumb, which the user can overrule.

    Args:
        fixed, moving: (k, j, i), finite.

    Returns:
        The contrast and one sentence.
    """
    scales = [float(np.percentile(image.array, 1)) < _AIR for image in (fixed, moving)]
    if all(scales):
        return "same", "Both volumes hold CT numbers."
    one, two = _subject(fixed), _subject(moving)
    distance = float(np.abs(np.quantile(one[2], _QUANTILES) - np.quantile(two[2], _QUANTILES)).mean())
    together = _correlation(one, two)
    seen = f"correlation {together:.2f}, difference of their distributions {distance:.2f}"
    if together >= _ALIKE or (distance <= _SAME_SHAPE and together >= _OPPOSITE):
        return "same", f"The gray values of both volumes rise and fall together ({seen})."
    return "different", f"The gray values of the two volumes do not go together ({seen})."


_QUANTILES = np.linspace(0.02, 0.98, 25)
_Subject = tuple[Image, np.ndarray, np.ndarray]


def _subject(image: Image) -> _Subject:
    """The thinned image scaled to 0 … 1 inside its subject, the subject, and its gray values."""
    longest = max(n * s for n, s in zip(image.shape, image.spacing, strict=True))
    size = longest / _COARSE
    coarse = rescale(image, (max(size, image.spacing[0]), max(size, image.spacing[1]), max(size, image.spacing[2])))
    inside = foreground(coarse.array)
    low, high = np.percentile(coarse.array[inside], (2, 98))
    scaled = np.clip((coarse.array - low) / max(float(high - low), 1e-12), 0, 1).astype(np.float32)
    return coarse.with_array(scaled), inside, scaled[inside]


def _correlation(one: _Subject, two: _Subject) -> float:
    """Of the gray values inside both subjects, laid over each other by center and extent along each world axis."""
    fit = np.eye(4)
    middle, extent = _place(*one[:2])
    other_middle, other_extent = _place(*two[:2])
    scale = np.where((extent > 0) & (other_extent > 0), other_extent / np.maximum(extent, 1e-9), 1.0)
    fit[:3, :3] = np.diag(scale)
    fit[:3, 3] = other_middle - scale * middle
    step = np.linalg.inv(two[0].affine) @ fit @ one[0].affine
    values = interpolate(two[0].array, step, one[0].shape, 1, 0.0, antialias=False)
    both = one[1] & (interpolate(two[1].astype(np.uint8), step, one[0].shape, 0, 0) > 0)
    first, second = one[0].array[both], values[both]
    if both.sum() < 20 or first.std() < 1e-6 or second.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _place(image: Image, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Center and standard deviation of the subject along the world axes, mm."""
    at = np.argwhere(inside)[:, ::-1]
    world = at @ image.affine[:3, :3].T + image.affine[:3, 3]
    return world.mean(0), world.std(0)
