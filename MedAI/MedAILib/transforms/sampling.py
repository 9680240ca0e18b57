"""Linear interpolation between the nodes of a lattice, in its voxel coordinates only.

Coordinates are float arrays (3, ...) in array order (k, j, i). Everything is float32 and worked on in pieces that fit
into the processor's cache, so neither time nor memory grows with temporary arrays.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..geometry import Shape

PIECE = 1 << 16
"""Points that are worked on at a time."""


def in_pieces(function: Callable[[int, int], None], length: int, voxels_each: int = 1) -> None:
    """Call ``function(start, stop)`` for consecutive pieces of ``range(length)``, on a few threads.

    Args:
        function: does its piece; pieces must not depend on each other.
        length: how many layers (or points) there are.
        voxels_each: voxels in one of them.
    """
    size = max(1, PIECE // max(1, voxels_each))
    starts = range(0, length, size)
    if len(starts) < 2:
        for start in starts:
            function(start, min(length, start + size))
        return
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for _ in pool.map(lambda start: function(start, min(length, start + size)), starts):
            pass


def nearest_cells(at: np.ndarray, shape: Shape) -> tuple[np.ndarray, tuple[int, int, int], np.ndarray]:
    """The lattice cell of each point, the closest one for points outside.

    Returns:
        Flat index of the cell's first node; how far the next node along k, j, i is in flat indices; position in the
        cell (3, ...), 0 to 1.
    """
    strides = (shape[1] * shape[2], shape[2], 1)
    index = np.zeros(at.shape[1:], np.int32 if shape[0] * strides[0] < 1 << 31 else np.int64)
    share = np.empty(at.shape, np.float32)
    for axis, (n, stride) in enumerate(zip(shape, strides, strict=True)):
        inside = np.clip(at[axis], 0, n - 1)
        low = np.minimum(inside.astype(index.dtype), max(0, n - 2))
        np.subtract(inside, low, out=share[axis])
        index += low * stride
    steps = [stride if n > 1 else 0 for n, stride in zip(shape, strides, strict=True)]
    return index, (steps[0], steps[1], steps[2]), share


def _lerp(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    """``low + share * (high - low)``, in the memory of ``high``."""
    high -= low
    high *= share
    high += low
    return high


def trilinear(channels: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values between nodes; outside the lattice those of the closest point on its surface.

    Args:
        channels: (c, k, j, i) float32.
        at: (3, ...) voxel coordinates (k, j, i).

    Returns:
        (c, ...) float32.
    """
    index, (sk, sj, si), (wk, wj, wi) = nearest_cells(at, (channels.shape[1], channels.shape[2], channels.shape[3]))
    result = np.empty((len(channels), *index.shape), np.float32)
    for values, flat in zip(result, channels.reshape(len(channels), -1), strict=True):
        layers = []
        for step in (0, sk):
            rows = [_lerp(flat.take(index + (step + s)), flat.take(index + (step + s + si)), wi) for s in (0, sj)]
            layers.append(_lerp(rows[0], rows[1], wj))
        values[...] = _lerp(layers[0], layers[1], wk)
    return result


def trilinear_with_gradient(channels: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`trilinear`, and the exact derivatives inside the cell.

    Returns:
        Values (c, ...) and derivatives (c, 3, ...) along k, j, i per voxel; both float32.
    """
    index, (sk, sj, si), (wk, wj, wi) = nearest_cells(at, (channels.shape[1], channels.shape[2], channels.shape[3]))
    values = np.empty((len(channels), *index.shape), np.float32)
    slopes = np.empty((len(channels), 3, *index.shape), np.float32)
    for c, flat in enumerate(channels.reshape(len(channels), -1)):
        layers, along_j, along_i = [], [], []
        for step in (0, sk):
            rows, row_slopes = [], []
            for s in (0, sj):
                low = flat.take(index + (step + s))
                slope = flat.take(index + (step + s + si)) - low
                rows.append(low + wi * slope)
                row_slopes.append(slope)
            along_i.append(_lerp(row_slopes[0], row_slopes[1], wj))
            along_j.append(rows[1] - rows[0])
            layers.append(rows[0] + wj * along_j[-1])
        slopes[c, 0] = layers[1] - layers[0]
        slopes[c, 1] = _lerp(along_j[0], along_j[1], wk)
        slopes[c, 2] = _lerp(along_i[0], along_i[1], wk)
        values[c] = layers[0] + wk * slopes[c, 0]
    return values, slopes


def fade_weights(at: np.ndarray, length: int, fade: float) -> np.ndarray:
    """Weight of a lattice's outermost value for points along one axis: 1 inside, smoothly to 0 at ``fade`` outside.

    Linear between nodes that would follow outside, so that a lattice with these nodes added is exactly the same.

    Args:
        at: coordinates along the axis, voxels.
        length: nodes along the axis.
        fade: voxels.
    """
    nodes = np.arange(int(np.ceil(fade)) + 1)
    share = np.clip(1 - nodes / max(fade, 1e-6), 0, 1)
    outside = np.maximum(-at, at - (length - 1))
    return np.interp(outside, nodes, share * share * (3 - 2 * share)).astype(np.float32)


def along_axis(array: np.ndarray, axis: int, at: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Interpolate every line of an array along one axis at the same coordinates.

    Args:
        array: (c, k, j, i) float32.
        axis: 1, 2 or 3.
        at: (m,) voxel coordinates along it; beyond the ends the end values are taken.
        weights: (m,) factors for the results.

    Returns:
        The array with ``m`` nodes along the axis; the array itself where nothing changes.
    """
    n = array.shape[axis]
    if len(at) == n and np.abs(at - np.arange(n)).max() < 1e-6 and weights is None:
        return array
    at = np.clip(at, 0, n - 1)
    low = np.minimum(at.astype(int), max(0, n - 2))
    form = [1, 1, 1, 1]
    form[axis] = len(at)
    share = (at - low).astype(np.float32).reshape(form)
    result = _lerp(array.take(low, axis), array.take(np.minimum(low + 1, n - 1), axis), share)
    if weights is not None:
        result *= weights.astype(np.float32).reshape(form)
    return result
