"""Images seen through a transform."""

from __future__ import annotations

import numpy as np

from ..image import Image
from .chain import PositionSampler, Transform
from .grid import Like, grid_of
from .sampling import in_pieces


def warp_image(image: Image, like: Like, transform: Transform, order: int | None = None, fill: float = 0) -> Image:
    """The moving image on the grid of the fixed one: ``warped(x) = moving(T(x))``.

    Args:
        image: (k, j, i) or (c, k, j, i), standing in moving space.
        like: the grid of the result, in fixed space: an image, or (shape, affine).
        transform: fixed RAS mm to moving RAS mm.
        order: 0 nearest, 1 linear (default for intensities), 3 cubic B-spline. Labels are always taken from the
            nearest voxel.
        fill: value of voxels that come from more than half a voxel outside the image.

    Returns:
        Labels keep their type; linear and cubic results are float32.

    Raises:
        ValueError: ``order`` is none of these, or not 0 for a label map.
    """
    if order is None:
        order = 0 if image.is_label else 1
    if order not in (0, 1, 3) or (image.is_label and order != 0):
        raise ValueError(f"{image.name}: interpolation order {order} is not possible for {image.kind.value} images.")
    grid = grid_of(like)
    sampler = PositionSampler(transform, grid, then=np.linalg.inv(image.affine))
    channels = image.array[np.newaxis] if image.array.ndim == 3 else image.array
    sources = [_prepared(channel, order) for channel in channels]
    result = np.empty((len(channels), *grid.shape), channels.dtype if order == 0 else np.float32)

    def fill_layers(start: int, stop: int) -> None:
        at = sampler.layers(start, stop)[::-1]
        outside = np.zeros(at.shape[1:], bool)
        for coordinates, n in zip(at, image.shape, strict=True):
            outside |= coordinates < -0.5
            outside |= coordinates > n - 0.5
        for source, moved in zip(sources, result, strict=True):
            _interpolate(source, at, order, moved[start:stop])
            if outside.any():
                moved[start:stop][outside] = fill

    in_pieces(fill_layers, grid.shape[0], grid.shape[1] * grid.shape[2])
    array = result[0] if image.array.ndim == 3 else result
    return Image(array, grid.affine, image.name, image.kind)


def warp_labels(labels: Image, like: Like, transform: Transform) -> Image:
    """A label map of the moving image on the grid of the fixed one, each voxel from the nearest one; outside 0.

    Raises:
        ValueError: ``labels`` is no label map.
    """
    if not labels.is_label:
        raise ValueError(f"{labels.name} is no label map.")
    return warp_image(labels, like, transform, 0)


def _prepared(channel: np.ndarray, order: int) -> np.ndarray:
    """The array that is interpolated: spline coefficients for cubic interpolation."""
    if order == 0:
        return np.ascontiguousarray(channel)
    if order == 1:
        return np.ascontiguousarray(channel, np.float32)
    from scipy.ndimage import spline_filter

    return spline_filter(channel.astype(np.float32, copy=False), 3, np.float32, mode="mirror")


def _interpolate(source: np.ndarray, at: np.ndarray, order: int, result: np.ndarray) -> None:
    """Fill ``result`` (k, j, i) from voxel coordinates (3, k, j, i); outside the nearest voxel's value."""
    if order == 0:
        index = np.zeros(at.shape[1:], np.int64)
        for coordinates, n in zip(at, source.shape, strict=True):
            index *= n
            index += np.clip(np.floor(coordinates + 0.5), 0, n - 1).astype(np.int64)
        source.reshape(-1).take(index, out=result)
    elif order == 1:
        from .sampling import trilinear

        result[...] = trilinear(source[np.newaxis], at)[0]
    else:
        from scipy.ndimage import map_coordinates

        map_coordinates(source, at, result, order=3, mode="mirror", prefilter=False)
