"""A curve in space as a row of points, in millimeters."""

from __future__ import annotations

import numpy as np


def arc_lengths(points: np.ndarray) -> np.ndarray:
    """(n,) mm along the row of points (n, 3), from 0."""
    return np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))))


def at_lengths(values: np.ndarray, lengths: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values (n, 3) known at ``lengths`` (n,), linear between them, at ``wanted`` (m,)."""
    return np.stack([np.interp(wanted, lengths, column) for column in values.T], axis=1)


def resampled(points: np.ndarray, step: float) -> np.ndarray:
    """The same curve with points about ``step`` mm apart; both ends stay, and there are at least two points."""
    lengths = arc_lengths(points)
    count = max(2, round(lengths[-1] / step) + 1)
    return at_lengths(points, lengths, np.linspace(0.0, lengths[-1], count))


def smoothed(points: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian along the curve, applied to it and again to what it took away, so that bends hardly shrink.

    Args:
        points: (n, 3), evenly apart.
        sigma: standard deviation in points. Beyond an end the curve goes on, mirrored at the end point, which stays.
    """
    first = _gaussian(points, sigma)
    return first + _gaussian(points - first, sigma)


def _gaussian(points: np.ndarray, sigma: float) -> np.ndarray:
    reach = min(int(np.ceil(3.0 * sigma)), len(points) - 1)
    if sigma <= 0.0 or reach < 1:
        return points
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    before = 2.0 * points[0] - points[reach:0:-1]
    after = 2.0 * points[-1] - points[-2 : -reach - 2 : -1]
    longer = np.concatenate((before, points, after))
    return np.stack([np.convolve(column, taps, "valid") for column in longer.T], axis=1)


def tangents(points: np.ndarray) -> np.ndarray:
    """(n, 3) unit directions of a curve at its points (n, 3)."""
    steps = np.gradient(points, axis=0)
    return steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-12)


def smallest_bend(points: np.ndarray, over: float = 10.0) -> float:
    """The smallest radius of curvature in mm, measured between chords of ``over`` mm; infinite for a straight line.

    Args:
        points: (n, 3), evenly apart.
    """
    lengths = arc_lengths(points)
    reach = max(1, round(over * (len(points) - 1) / max(float(lengths[-1]), 1e-9)))
    if len(points) < 2 * reach + 1:
        return float("inf")
    chords = points[reach:] - points[:-reach]
    sizes = np.linalg.norm(chords, axis=1)
    before, after = chords[:-reach], chords[reach:]
    cosines = (before * after).sum(axis=1) / np.maximum(sizes[:-reach] * sizes[reach:], 1e-12)
    sharpest = float(np.arccos(np.clip(cosines, -1.0, 1.0)).max())
    return float(sizes.mean()) / sharpest if sharpest > 0.01 else float("inf")
