"""The linear transform that takes one list of points closest to another."""

from __future__ import annotations

import numpy as np

from .linear_solver import Kind

_FOR_AFFINE = 5
"""Points from which on shears are trusted; four would be met exactly, however badly they were set."""
_THICKEST = 0.1
"""Least extent of the points along their third direction, as a part of the first, for an affine fit."""


def fit_points(fixed: np.ndarray, moving: np.ndarray, kind: Kind) -> np.ndarray:
    """Least squares fit, fixed to moving.

    Rigid and similarity in closed form (Umeyama 1991, "Least-squares estimation of transformation parameters between
    two point patterns", Eq. 39 to 43); affine by linear least squares where there are enough points in all directions,
    else a similarity.

    Args:
        fixed, moving: (n, 3) RAS mm, n of 3 or more, corresponding in order.
        kind: what may change.

    Returns:
        (4, 4), fixed RAS mm to moving RAS mm.
    """
    from_middle, to_middle = fixed.mean(0), moving.mean(0)
    source, target = fixed - from_middle, moving - to_middle
    extents = np.linalg.svd(source, compute_uv=False)
    result = np.eye(4)
    if kind == "affine" and len(fixed) >= _FOR_AFFINE and extents[2] > _THICKEST * extents[0]:
        result[:3, :3] = np.linalg.lstsq(source, target, rcond=None)[0].T
    else:
        left, sizes, right = np.linalg.svd(target.T @ source)
        proper = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
        scale = 1.0 if kind == "rigid" else float((sizes * proper).sum() / max((source**2).sum(), 1e-12))
        result[:3, :3] = scale * left @ np.diag(proper) @ right
    result[:3, 3] = to_middle - result[:3, :3] @ from_middle
    return result
