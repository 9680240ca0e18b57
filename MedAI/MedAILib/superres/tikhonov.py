"""The best linear deconvolution along the slice axis, in closed form.

Tikhonov regularization whose roughness is weighted as the slices themselves say: the prior is the spectral density
that :mod:`MedAILib.superres.prior` learns within the slices, so that no weight is left to choose but the noise, and
that is measured. This makes it the Wiener filter of the stack. It runs in two steps: the slices without their noise,
which leaves room to treat quiet and lively regions differently; and from them the cells, by one (m, n) matrix, which is
all there is to do where there is no noise.
"""

from __future__ import annotations

import numpy as np

from .operators import along_slices, matrix_of
from .prior import Prior, learn_prior, occupied
from .stack import Line, Stack

_BANDS = 32
"""Frequencies within the slices at which the filters are computed; between them they are interpolated."""

_PADDING = 12
"""Pixels by which the slices are mirrored beyond their borders; the filters reach less far."""

_QUIET, _LIVELY = 10.0, 0.5
"""How much more noise than there is the filters for quiet and for lively regions suppose."""

_REACH = 4
"""Pixels to each side over which a region's liveliness is measured."""

_SINGULAR = 1e-6
"""Relative to the mean eigenvalue; keeps overlapping slices from blowing up rounding errors."""


def tikhonov(stack: Stack, line: Line, noise: float) -> np.ndarray:
    """The most likely cells (m, y, x), float32.

    Args:
        stack: (n, y, x), the slices.
        line: the m cells.
        noise: standard deviation of the slices' noise, at most.
    """
    prior = learn_prior(stack, noise)
    mean = stack.array.mean(dtype=np.float64).astype(np.float32)
    slices = stack.array - mean
    if prior.noise > 0.0:
        slices = _without_noise(slices, stack, prior)
    result = along_slices(_deconvolution(stack, line, prior), slices)
    result += mean
    return result


def denoised(stack: Stack, noise: float) -> np.ndarray:
    """The slices (n, y, x) without what noise of this standard deviation put into them, float32."""
    prior = learn_prior(stack, noise)
    mean = stack.array.mean(dtype=np.float64).astype(np.float32)
    if prior.noise <= 0.0:
        return stack.array
    return _without_noise(stack.array - mean, stack, prior) + mean


def _without_noise(slices: np.ndarray, stack: Stack, prior: Prior) -> np.ndarray:
    """All that is known of the slices before they are sharpened, (n, y, x).

    Two Wiener filters of all three directions: one for quiet regions, where detail is mostly noise, one for lively
    ones. How much of their difference is kept is decided at each place by how far its energy there exceeds what the
    noise alone would give (a local Wiener filter; Lee, IEEE PAMI 1980).
    """
    (n, y, x), (increment, sy, sx) = slices.shape, stack.spacing
    margins = [(min(_PADDING, size - 1),) * 2 for size in (y, x)]
    rows, columns = (size + 2 * before for size, (before, _) in zip((y, x), margins, strict=True))
    inner = tuple(slice(before, before + size) for size, (before, _) in zip((y, x), margins, strict=True))
    radius = np.hypot(np.fft.fftfreq(rows, sy)[:, None], np.fft.rfftfreq(columns, sx)).astype(np.float32)
    quiet, detail, expected = _filters(stack, prior, np.arange(n) / (2.0 * n * increment), float(radius.max()))
    grid = radius / radius.max() * (_BANDS - 1)
    below = np.minimum(grid.astype(int), _BANDS - 2)
    share = grid - below
    result = along_slices(_cosines(n), slices)
    difference = np.empty_like(result)
    # One after another: the waves of all would take as much memory again as everything else.
    for k in range(n):
        wave = np.fft.rfft2(np.pad(result[k], margins, mode="reflect"))
        for gains, into in ((quiet[k], result), (detail[k], difference)):
            gain = gains[below] + share * (gains[below + 1] - gains[below])
            into[k] = np.fft.irfft2(gain * wave, (rows, columns))[inner]
    result = along_slices(_cosines(n).T, result)
    difference = along_slices(_cosines(n).T, difference)
    reach = int(np.ceil(stack.acquisition.thickness / increment))
    energy = _local_mean(np.square(difference), (reach, _REACH, _REACH))
    np.divide(np.float32(expected), np.maximum(energy, np.float32(1e-30), out=energy), out=energy)
    difference *= np.maximum(0.0, np.subtract(1.0, energy, out=energy), out=energy)
    result += difference
    return result


def _filters(stack: Stack, prior: Prior, through: np.ndarray, highest: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Gains of the filter for quiet regions, what the one for lively regions adds, and the energy noise has in that.

    Args:
        through: (n,) frequencies across the slices in cycles per mm.
        highest: frequency within the slices (cycles per mm) of the last of the bands.

    Returns:
        Two (n, _BANDS) float32, and a variance in the image's units.
    """
    radius = np.linspace(0.0, highest, _BANDS)
    signal = prior.of_slices(radius[:, None], through, stack.acquisition).T
    # The spectrum is that of the whole volume; the filters are for the part of it where there is something.
    noise = prior.noise**2 * float(np.prod(stack.spacing)) * occupied(stack, prior.noise)
    quiet, lively = (signal / (signal + noise * times) for times in (_QUIET, _LIVELY))
    detail = lively - quiet
    # There are as many waves of a length as its frequency is high.
    energy = np.average(np.square(detail).mean(axis=0), weights=radius)
    return quiet.astype(np.float32), detail.astype(np.float32), prior.noise**2 * float(energy)


def _cosines(n: int) -> np.ndarray:
    """(n, n), the orthogonal cosine transform: waves along a line that is mirrored at its ends."""
    waves = np.cos(np.pi / n * np.outer(np.arange(n), np.arange(n) + 0.5)) * np.sqrt(2.0 / n)
    waves[0] *= np.sqrt(0.5)
    return np.asarray(waves)


def _local_mean(array: np.ndarray, reach: tuple[int, int, int]) -> np.ndarray:
    """Means over boxes of ``2 * reach + 1`` samples (k, j, i), the array mirrored at its borders."""
    for axis, width in enumerate(reach):
        width = min(width, array.shape[axis] - 1)
        margins = [(0, 0)] * 3
        margins[axis] = (width + 1, width)
        total = np.cumsum(np.pad(array, margins, mode="symmetric"), axis=axis, dtype=np.float32)
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(2 * width + 1, None), slice(None, -2 * width - 1)
        array = total[tuple(ahead)] - total[tuple(behind)]
        array /= np.float32(2 * width + 1)
    return array


def _deconvolution(stack: Stack, line: Line, prior: Prior) -> np.ndarray:
    """(m, n): noise-free slices to the cells that are most likely to have given them."""
    measured = matrix_of(stack, line)
    period = 2.0 * (line.count * line.step + 4.0 * stack.acquisition.thickness)
    through = np.arange(int(period / line.step) + 1) / period
    radius = (np.arange(_BANDS) + 0.5) / _BANDS * 0.7 / min(stack.spacing[1:])
    density = radius @ prior.at(radius[:, None], through)
    density[0] *= 0.5
    steps = np.arange(line.count)
    covariance = density @ np.cos(2.0 * np.pi * line.step * np.outer(through, steps))
    joint = covariance[np.abs(steps[:, None] - steps)] @ measured.T
    gram = measured @ joint
    return np.linalg.solve(gram + _SINGULAR * np.trace(gram) / len(gram) * np.eye(len(gram)), joint.T).T
