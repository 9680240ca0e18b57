"""How alike two images are that stand on the same grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image import Image
from .quality import check_same_grid

WINDOW = 7
"""Edge of the local correlation's windows, voxels."""
_STRIDE = 2
BINS = 48
"""Gray levels of the mutual information's histogram."""
_VOXELS = 2_500_000
"""Larger images are averaged over blocks of 2 x 2 x 2 voxels first, again and again until they are smaller."""


@dataclass(frozen=True)
class Similarity:
    """Larger is better.

    Attributes:
        local_correlation: mean squared correlation in windows of 7 x 7 x 7 voxels, 0 to 1; for images of the same
            contrast. Windows in which either image is flat are left out, those where only the warped one is flat
            count 0.
        mutual_information: normalized, 2 I(f; w) / (H(f) + H(w)), 0 to 1; for any two contrasts.
    """

    local_correlation: float
    mutual_information: float


def similarity(fixed: Image, warped: Image, mask: np.ndarray | None = None) -> Similarity:
    """Compare the fixed image with the warped moving one. Not finite voxels do not count.

    Args:
        fixed, warped: (k, j, i) on the same grid. Images above 2.5 million voxels are averaged over blocks of 2 x 2 x 2
            voxels first, so figures can be compared between results on the same grid only.
        mask: (k, j, i), only voxels that are not 0 count: where the moving image was seen, or a region of interest.

    Raises:
        GeometryError: the images are on different grids.
    """
    check_same_grid(fixed, warped)
    inside = np.isfinite(fixed.array) & np.isfinite(warped.array)
    if mask is not None:
        inside &= mask != 0
    a = np.where(inside, fixed.array, 0).astype(np.float32)
    b = np.where(inside, warped.array, 0).astype(np.float32)
    weights = inside.astype(np.float32)
    while weights.size > _VOXELS and max(weights.shape) > 1:
        a, b, weights = (_halved(each) for each in (a, b, weights))
    kept = weights > 0.5
    if not kept.any():
        return Similarity(0.0, 0.0)
    return Similarity(_local_correlation(a, b, kept), _mutual_information(a[kept], b[kept]))


def _halved(array: np.ndarray) -> np.ndarray:
    """Means over blocks of 2 voxels along each axis that has more than one; a last odd voxel is dropped."""
    for axis, n in enumerate(array.shape):
        if n > 1:
            moved = np.moveaxis(array, axis, 0)[: n // 2 * 2]
            array = np.moveaxis(0.5 * (moved[0::2] + moved[1::2]), 0, axis)
    return np.ascontiguousarray(array)


def _local_correlation(a: np.ndarray, b: np.ndarray, kept: np.ndarray) -> float:
    """Mean of cov(a, b)² / (var(a) var(b)) over windows centered at ``kept`` voxels (Avants et al. 2008).

    The windows overlap so much that every other one along each axis tells the same.
    """
    from scipy.ndimage import uniform_filter1d

    # Around a common level and of unit spread, so that the variances below do not drown in rounding.
    a, b = (((each - each[kept].mean()) / max(float(each[kept].std()), 1e-20)).astype(np.float32) for each in (a, b))

    def window(values: np.ndarray) -> np.ndarray:
        for axis, n in enumerate(values.shape):
            values = uniform_filter1d(values, WINDOW, axis, mode="nearest")
            values = values[(slice(None),) * axis + (slice(n // 2 % _STRIDE, None, _STRIDE),)]
        return values

    mean_a, mean_b = window(a), window(b)
    var_a = window(a * a) - mean_a * mean_a
    var_b = window(b * b) - mean_b * mean_b
    both = window(a * b) - mean_a * mean_b
    flat = 1e-4
    textured = kept[tuple(slice(n // 2 % _STRIDE, None, _STRIDE) for n in kept.shape)] & (var_a > flat)
    if not textured.any():
        return 0.0
    product = var_a * np.maximum(var_b, flat)
    return float(np.clip((both * both)[textured] / product[textured], 0, 1).mean(dtype=np.float64))


def _mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """From a joint histogram between the 0.5th and the 99.5th percentiles (Studholme et al. 1999)."""
    counts = np.bincount(_levels(a) * BINS + _levels(b), minlength=BINS * BINS).reshape(BINS, BINS)
    joint = counts / counts.sum()
    single = _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))
    return float(2.0 * (single - _entropy(joint)) / single) if single > 0 else 0.0


def _levels(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values[:: max(1, values.size // 200_000)], [0.5, 99.5])
    scale = BINS / max(float(high - low), 1e-20)
    return np.clip((values - low) * scale, 0, BINS - 1).astype(np.int32)


def _entropy(probabilities: np.ndarray) -> float:
    found = probabilities[probabilities > 0]
    return float(-(found * np.log(found)).sum())
