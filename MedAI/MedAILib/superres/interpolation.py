"""The classical interpolations along the slice axis, each as one small matrix (cells, slices)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..resampling import cubic_weights
from .stack import Line

_PADDING = 12
"""Slices by which the stack is continued with its end values before a spline is fitted."""

_LOBES = 5
"""Half width of the Lanczos kernel in slices."""


def nearest(line: Line, count: int, increment: float) -> np.ndarray:
    """The closest slice, (line.count, count)."""
    picked = np.clip(np.floor(line.centers / increment + 0.5 + 1e-6).astype(int), 0, count - 1)
    return np.eye(count)[picked]


def linear(line: Line, count: int, increment: float) -> np.ndarray:
    """Between the two neighboring slices, (line.count, count); constant beyond the outermost."""
    return _gather(line.centers / increment, count, 1, lambda t: np.maximum(0.0, 1.0 - np.abs(t)))


def lanczos(line: Line, count: int, increment: float) -> np.ndarray:
    """Windowed sinc of five lobes, (line.count, count); the stack continued with its end values."""
    return _gather(line.centers / increment, count, _LOBES, lambda t: np.sinc(t) * np.sinc(t / _LOBES))


def cubic(line: Line, count: int, increment: float) -> np.ndarray:
    """Interpolating cubic B-spline, (line.count, count); the stack continued with its end values."""
    padded = count + 2 * _PADDING
    continued = np.eye(count)[np.clip(np.arange(padded) - _PADDING, 0, count - 1)]
    position = np.clip(line.centers / increment, -_PADDING + 2.0, count + _PADDING - 3.0) + _PADDING
    return np.asarray(cubic_weights(padded, position) @ continued)


def _gather(position: np.ndarray, count: int, reach: int, kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Rows of kernel weights at fractional slice positions, normalized to 1."""
    near = np.floor(position).astype(int)[:, None] + np.arange(1 - reach, reach + 1)
    weights = kernel(position[:, None] - near)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.zeros((len(position), count))
    np.add.at(rows, (np.arange(len(position))[:, None], np.clip(near, 0, count - 1)), weights)
    return rows
