"""Interpolation of one array, in voxel coordinates only: no affine, no world."""

from __future__ import annotations

import numpy as np

from .geometry import Shape

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
"""Full width at half maximum of a Gaussian in units of its standard deviation."""

_SLAB = 32
"""Layers that are smoothed at a time, see :func:`along_axis`."""


def is_axis_aligned(step: np.ndarray, shape: Shape) -> bool:
    """True if new voxel axes run along the old ones to within 1/1000 voxel over the whole grid.

    Args:
        step: (4, 4), new voxel (i, j, k) to old voxel (i, j, k).
        shape: new grid (k, j, i).
    """
    off = step[:3, :3] - np.diag(np.diag(step[:3, :3]))
    return bool((np.abs(off) @ np.array(shape[::-1], float)).max() < 1e-3)


def smoothing(step: np.ndarray) -> np.ndarray:
    """Standard deviations (old voxels; i, j, k) that prevent aliasing when the new grid is coarser.

    A Gaussian whose full width at half maximum, added in quadrature to one old voxel, gives one new voxel.
    """
    coarser = np.linalg.norm(step[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(coarser**2 - 1.0, 0.0)) / FWHM
    return np.where(coarser > 1.01, sigma, 0.0)


def _gaussian_rows(n: int, sigma: float) -> np.ndarray:
    """(n, n) matrix that smooths a line of n samples, its ends continued with the end values."""
    if sigma == 0.0:
        return np.eye(n)
    radius = int(np.ceil(3.0 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    rows = np.zeros((n, n))
    for shift, weight in zip(range(-radius, radius + 1), taps, strict=True):
        np.add.at(rows, (np.arange(n), np.clip(np.arange(n) + shift, 0, n - 1)), weight)
    return rows


def cubic_weights(n: int, position: np.ndarray) -> np.ndarray:
    """(m, n) weights of the cubic B-spline through n samples, its ends mirrored, at m positions within them.

    Source: M. Unser, "Splines: a perfect fit for signal and image processing", 1999.
    """
    if n == 1:
        return np.ones((len(position), 1))
    low = np.floor(position).astype(int)
    t = position - low
    taps = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4, t**3]) / 6
    basis, samples = np.zeros((len(position), n)), np.eye(n) * 4 / 6
    for shift, weight in zip(range(-1, 3), taps, strict=True):
        np.add.at(basis, (np.arange(len(position)), _mirrored(low + shift, n)), weight)
    for shift in (-1, 1):
        np.add.at(samples, (np.arange(n), _mirrored(np.arange(n) + shift, n)), 1 / 6)
    return np.linalg.solve(samples.T, basis.T).T


def _mirrored(index: np.ndarray, n: int) -> np.ndarray:
    """Indices beyond the ends, reflected at the first and the last sample."""
    index = np.abs(index) % (2 * (n - 1))
    return np.minimum(index, 2 * (n - 1) - index)


def _line_weights(
    n: int, m: int, scale: float, offset: float, sigma: float, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (m, n) that turn n old samples into m new ones at ``scale * index + offset``, and which are inside."""
    position = scale * np.arange(m) + offset
    inside = (position >= -0.5 - 1e-6) & (position <= n - 0.5 + 1e-6)
    if order == 3:
        weights = cubic_weights(n, np.clip(position, -0.5, n - 0.5))
        return (weights @ _gaussian_rows(n, sigma)).astype(np.float32), inside
    clipped = np.clip(position, 0.0, n - 1.0)
    low = np.minimum(np.floor(clipped).astype(int), max(0, n - 2))
    high = np.minimum(low + 1, n - 1)
    share = (clipped - low)[:, np.newaxis]
    rows = _gaussian_rows(n, sigma)
    return ((1.0 - share) * rows[low] + share * rows[high]).astype(np.float32), inside


def separable(
    array: np.ndarray, step: np.ndarray, shape: Shape, order: int, fill: float, antialias: bool = True
) -> np.ndarray:
    """Axis-aligned resampling: one small matrix per axis, which is the fastest way on a CPU.

    Args:
        array: (k, j, i).
        step: (4, 4) new to old voxel coordinates, diagonal.
        shape: new grid (k, j, i).
        order: 0 nearest, 1 linear or 3 cubic.
        fill: value outside the old grid.
        antialias: smooth along axes that get coarser (not for nearest).
    """
    scales, offsets = np.diag(step)[:3][::-1], step[:3, 3][::-1]
    if order == 0:
        picks = [s * np.arange(m) + o for s, o, m in zip(scales, offsets, shape, strict=True)]
        nearest = [np.floor(p + 0.5 + 1e-6).astype(int) for p in picks]
        inside = [(p >= 0) & (p < n) for p, n in zip(nearest, array.shape, strict=True)]
        nearest = [np.clip(p, 0, n - 1) for p, n in zip(nearest, array.shape, strict=True)]
        result = array[np.ix_(*nearest)]
    else:
        sigmas = smoothing(step)[::-1] if antialias else np.zeros(3)
        lines = [_line_weights(*each, order) for each in zip(array.shape, shape, scales, offsets, sigmas, strict=True)]
        inside = [line[1] for line in lines]
        result = array
        # The axis that shrinks most goes first, so that the later products are small.
        for axis in sorted(range(3), key=lambda a: shape[a] / array.shape[a]):
            result = along_axis(lines[axis][0], result, axis)
    for axis, kept in enumerate(inside):
        if not kept.all():
            result[(slice(None),) * axis + (~kept,)] = fill
    return result


def along_axis(weights: np.ndarray, array: np.ndarray, axis: int) -> np.ndarray:
    """Multiply each line of ``array`` along ``axis`` with ``weights`` (m, n), slab by slab.

    Slabs keep the float32 copy of an integer volume small.
    """
    shape = list(array.shape)
    shape[axis] = len(weights)
    result = np.empty(shape, np.float32)
    for start in range(0, array.shape[1 if axis == 0 else 0], _SLAB):
        slab = (slice(None), slice(start, start + _SLAB)) if axis == 0 else (slice(start, start + _SLAB),)
        part = array[slab].astype(np.float32, copy=False)
        if axis == 0:
            result[slab] = np.tensordot(weights, part, axes=1)
        elif axis == 1:
            np.matmul(weights, part, out=result[slab])
        else:
            np.matmul(part, weights.T, out=result[slab])
    return result


def interpolate(
    array: np.ndarray, step: np.ndarray, shape: Shape, order: int, fill: float, antialias: bool = True
) -> np.ndarray:
    """Resampling along any directions, by SimpleITK; arguments as in :func:`separable`."""
    import SimpleITK as sitk

    if order > 0:
        array = array.astype(np.float32, copy=False)
        if antialias:
            from scipy.ndimage import gaussian_filter1d

            for axis, sigma in enumerate(smoothing(step)[::-1]):
                if sigma > 0:
                    array = gaussian_filter1d(array, sigma, axis=axis, mode="nearest", truncate=3.0)
    # The SimpleITK image stands on the identity grid, so its "world" is our voxel coordinates: no LPS here.
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(step[:3, :3].ravel().tolist())
    transform.SetTranslation(step[:3, 3].tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in shape[::-1]])
    resampler.SetTransform(transform)
    resampler.SetInterpolator({0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline}[order])
    resampler.SetDefaultPixelValue(float(fill))
    return sitk.GetArrayFromImage(resampler.Execute(sitk.GetImageFromArray(array)))
