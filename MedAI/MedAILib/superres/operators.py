"""What the scanner does along the slice axis, as a matrix, and the way back of its gradient."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .acquisition import Acquisition
from .profiles import cumulative
from .stack import Line, Stack

_UNSEEN = 1e-3
"""A slice of which the cells hold less than this share is not explained at all: its row is 0."""

_SLAB = 2**23
"""Values of a slab when a line operator is applied to a volume; bounds the copies that are made of it."""


@lru_cache(maxsize=16)
def slice_matrix(count_lr: int, increment: float, line: Line, thickness: float, profile: str) -> np.ndarray:
    """Weights (count_lr, line.count) float64, read-only, that turn fine cells into measured slices.

    Each weight is the integral of the slice profile over one cell, so no kernel is sampled; each row sums to 1. A row
    is 0 where the cells do not reach the slice.

    Args:
        count_lr: number of slices.
        increment: from slice center to slice center in mm.
        line: the fine cells.
        thickness: full width at half maximum of the profile in mm.
        profile: one of :data:`MedAILib.superres.profiles.PROFILES`.
    """
    centers = increment * np.arange(count_lr)
    weights = np.diff(cumulative(line.edges[None, :] - centers[:, None], thickness, profile), axis=1)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > _UNSEEN, weights / np.maximum(total, _UNSEEN), 0.0)
    weights.setflags(write=False)
    return weights


def matrix_of(stack: Stack, line: Line) -> np.ndarray:
    """:func:`slice_matrix` of a stack's own acquisition, (n, line.count)."""
    acquisition: Acquisition = stack.acquisition
    return slice_matrix(len(stack.array), stack.spacing[0], line, acquisition.thickness, acquisition.profile)


def along_slices(matrix: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Multiply each line across the slices: (a, b) times (b, y, x) gives (a, y, x), float32."""
    weights = np.asarray(matrix, np.float32)
    _, y, x = array.shape
    result = np.empty((len(weights), y, x), np.float32)
    rows = max(1, _SLAB // max(1, x * max(weights.shape)))
    for start in range(0, y, rows):
        part = array[:, start : start + rows].astype(np.float32, copy=False)
        result[:, start : start + rows] = np.tensordot(weights, part, axes=1)
    return result


def forward(matrix: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """The slices (n, y, x) float32 that the scanner would measure of fine cells (m, y, x); ``matrix`` is (n, m)."""
    return along_slices(matrix, fine)


def adjoint(matrix: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """The exact adjoint of :func:`forward`: slices (n, y, x) to cells (m, y, x) float32."""
    return along_slices(matrix.T, lr)
