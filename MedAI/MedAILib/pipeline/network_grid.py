"""Ways to bring an image to the voxel size of a network, and labels back from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..geometry import Shape, Spacing, centre_shift
from ..image import Image
from ..inference.output import OutputMap
from ..resampling import along_axis, cubic_weights
from ..spatial import rescale

_EDGE = 12
"""Voxels by which a line is continued before a spline is put through it; what lies farther has no weight."""
_THICK = 3.0
"""nnU-Net treats the axis of the largest spacing for itself if it is more than this times the smallest."""


@dataclass(frozen=True, eq=False)
class NetworkGrid:
    """An image on a network's grid.

    Attributes:
        image: (k, j, i) or (c, k, j, i).
        thick: the axis (0, 1, 2 for k, j, i) along which nothing may be interpolated on the way back; None for none.
    """

    image: Image
    thick: int | None = None

    def output(self, region: Image) -> tuple[Shape, OutputMap]:
        """Grid and map for the engine's labels of ``region``, the image before; see :meth:`on_region`."""
        shape, mapping = list(region.shape), list(grid_map(region, self.image))
        if self.thick is not None:
            shape[self.thick], mapping[self.thick] = self.image.shape[self.thick], (1.0, 0.0)
        return (shape[0], shape[1], shape[2]), mapping

    def on_region(self, labels: np.ndarray, region: Image) -> np.ndarray:
        """The engine's labels on the grid of ``region``: along a thick axis each voxel takes the nearest."""
        if self.thick is None:
            return labels
        size, count = region.shape[self.thick], labels.shape[self.thick]
        return labels.take(_nearest(_centers(count, size), count), self.thick)


def grid_map(fine: Image, coarse: Image) -> OutputMap:
    """Per axis (k, j, i), (scale, offset) with coarse index = scale * fine index + offset, for parallel grids."""
    matrix = np.linalg.inv(coarse.affine) @ fine.affine
    i, j, k = ((float(matrix[axis, axis]), float(matrix[axis, 3])) for axis in range(3))
    return k, j, i


def smooth_grid(region: Image, spacing: Spacing) -> NetworkGrid:
    """MedAI's own way: the same box of space, linear, smoothed first where voxels get larger."""
    return NetworkGrid(rescale(region, spacing))


def nnunet_grid(region: Image, spacing: Spacing) -> NetworkGrid:
    """nnU-Net's way: the same box of space, cubic, without smoothing.

    Where one axis of the image, or else of the network, has voxels more than three times as long as the shortest,
    the image is not interpolated along it, but each layer is the nearest one; and so are labels on the way back, except
    that there the network's axis comes first. (Both are the same axis but for odd images.)
    """
    sizes = (s / w * n for s, w, n in zip(region.spacing, spacing, region.shape, strict=True))
    # To six digits, because a matrix tells spacings less exactly than a file, and half a voxel decides.
    shape = _three(max(1, round(round(size, 6))) for size in sizes)
    if shape == region.shape:
        return NetworkGrid(region)
    thick = _thick_axis(region.spacing, spacing)
    positions = [_centers(n, m) for n, m in zip(region.shape, shape, strict=True)]
    array = _each(region.array, lambda channel: _cubic(channel, positions, thick))
    factors = np.array(region.shape, float) / np.array(shape, float)
    return NetworkGrid(_on(region, array, (factors - 1.0) / 2.0, factors), _thick_axis(spacing, region.spacing))


def corner_grid(region: Image, spacing: Spacing) -> NetworkGrid:
    """MONAI's way: the first voxels lie on each other, linear, without smoothing."""
    factors = np.array([w / s for s, w in zip(region.spacing, spacing, strict=True)])
    shape = _three(int(np.round((n - 1) / f)) + 1 for n, f in zip(region.shape, factors, strict=True))
    positions = [f * np.arange(m) for f, m in zip(factors, shape, strict=True)]
    array = _each(region.array, lambda channel: _linear(channel, positions))
    return NetworkGrid(_on(region, array, np.zeros(3), factors))


GRIDS = {"smooth": smooth_grid, "nnunet": nnunet_grid, "corner": corner_grid}
"""What a model card's ``preparation.resampling`` may name; each takes an image and a spacing, (k, j, i) mm."""


def _three(sizes: Iterable[int]) -> Shape:
    k, j, i = sizes
    return k, j, i


def _each(array: np.ndarray, method: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return method(array) if array.ndim == 3 else np.stack([method(channel) for channel in array])


def _on(region: Image, array: np.ndarray, start: np.ndarray, factors: np.ndarray) -> Image:
    """The array as an image whose voxel 0 is at ``start`` of the region and whose voxels are ``factors`` as long."""
    affine = centre_shift(region.affine, (start[0], start[1], start[2]))
    affine[:3, :3] *= factors[::-1]
    return Image(array, affine, region.name)


def _thick_axis(first: Spacing, second: Spacing) -> int | None:
    """The axis of the largest spacing in the first grid where that is far above the smallest; None if it is not one."""
    for spacing in (first, second):
        largest = max(spacing)
        if largest / min(spacing) > _THICK:
            axes = [axis for axis in range(3) if spacing[axis] > largest * (1 - 1e-6)]
            return axes[0] if len(axes) == 1 else None
    return None


def _centers(n: int, m: int) -> np.ndarray:
    """Where the centers of m voxels lie among n that fill the same length."""
    return (np.arange(m) + 0.5) * (n / m) - 0.5


def _nearest(positions: np.ndarray, n: int) -> np.ndarray:
    return np.clip(np.floor(positions + 0.5).astype(int), 0, n - 1)


def _cubic(array: np.ndarray, positions: list[np.ndarray], thick: int | None) -> np.ndarray:
    """Cubic interpolation, clipped to the range of the array, or, with a thick axis, of each layer."""
    axes = [axis for axis in range(3) if axis != thick]
    values = np.asarray(array, np.float32)
    low, high = (limit(values, axis=tuple(axes), keepdims=True) for limit in (np.min, np.max))
    for axis in sorted(axes, key=lambda a: len(positions[a]) / array.shape[a]):
        values = along_axis(_spline(array.shape[axis], positions[axis]), values, axis)
    np.clip(values, low, high, out=values)
    if thick is not None:
        values = values.take(_nearest(positions[thick], array.shape[thick]), thick)
    return values


def _spline(n: int, positions: np.ndarray) -> np.ndarray:
    """Weights (m, n) of the cubic B-spline through a line that goes on with its end values."""
    wide = cubic_weights(n + 2 * _EDGE, positions + _EDGE)
    weights = wide[:, _EDGE : _EDGE + n].copy()
    weights[:, 0] += wide[:, :_EDGE].sum(axis=1)
    weights[:, -1] += wide[:, _EDGE + n :].sum(axis=1)
    return weights.astype(np.float32)


def _linear(array: np.ndarray, positions: list[np.ndarray]) -> np.ndarray:
    values = np.asarray(array, np.float32)
    for axis in sorted(range(3), key=lambda a: len(positions[a]) / array.shape[a]):
        n = array.shape[axis]
        place = np.clip(positions[axis], 0, n - 1)
        low = np.minimum(np.floor(place).astype(int), max(0, n - 2))
        weights = np.zeros((len(place), n), np.float32)
        rows = np.arange(len(place))
        weights[rows, np.minimum(low + 1, n - 1)] = place - low
        weights[rows, low] += 1.0 - (place - low)
        values = along_axis(weights, values, axis)
    return values
