"""Values of a result in the input's units, range and number type, and the figures that are taken from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..superres.consistency import residual, residual_psnr
from ..superres.problem import Problem
from ..superres.stack import Stack
from ..superres.summary import UncertaintyFigures

_MARGIN = 0.1
"""Of the range of the input's values; so far beyond it may a sharpened value lie."""
_BEYOND_NOISE = 3.0
"""Standard deviations of the noise by which a result may miss the measured slices, root mean square."""
_SAMPLE = 1_000_000
Sample = tuple[slice, slice, slice]
"""Which voxels of a volume (k, j, i)."""


@dataclass(frozen=True)
class ValueRange:
    """What values a result may have.

    Attributes:
        low, high: in the image's units.
        dtype: of the result.
    """

    low: float
    high: float
    dtype: np.dtype

    @classmethod
    def of(cls, array: np.ndarray) -> ValueRange:
        """From the input as it was read: integers stay integers, all else becomes float32.

        The margin lets edges regain their height on both sides. Values that only ring below 0 are cut off where the
        type has no sign; elsewhere they are needed to explain the measured slices.
        """
        low, high = float(array.min()), float(array.max())
        margin = _MARGIN * (high - low)
        bottom, top = low - margin, high + margin
        dtype = array.dtype
        if dtype.kind == "b":
            dtype = np.dtype(np.uint8)
        if dtype.kind not in "iu":
            return cls(bottom, top, np.dtype(np.float32))
        limits = np.iinfo(dtype)  # an unsigned type ends at 0 by itself
        return cls(max(np.floor(bottom), float(limits.min)), min(np.ceil(top), float(limits.max)), dtype)

    def put(self, array: np.ndarray) -> np.ndarray:
        """The values clipped, and rounded where the type holds whole numbers; ``array`` (float32) is changed."""
        np.clip(array, self.low, self.high, out=array)
        if self.dtype.kind == "f":
            return array
        return np.rint(array, out=array).astype(self.dtype)


@dataclass(frozen=True)
class Figures:
    """How a result compares with the measured slices and with the cubic interpolation.

    Attributes:
        decibels: peak signal-to-noise ratio of the explained slices, against the range of the measured ones; None
            where the result covers no slice.
        cubic_decibels: the same of the cubic interpolation.
        residual: root mean square of measured minus explained.
        change: root mean square of the result minus the cubic interpolation.
    """

    decibels: float | None
    cubic_decibels: float | None
    residual: float | None
    change: float

    @classmethod
    def of(cls, array: np.ndarray, cubic: np.ndarray, stack: Stack, matrix: np.ndarray) -> Figures:
        """Of a result and the cubic interpolation of the same slices, both (m, y, x)."""
        if not matrix.any():
            return cls.without_slices(array, cubic)
        change = _rms(np.subtract(array, cubic, dtype=np.float64))
        left = residual_of(array, stack, matrix)
        rms = _rms(left)
        full = float(np.ptp(stack.array))
        mine, other = (residual_psnr(one, stack.array, matrix, full) for one in (array, cubic))
        return cls(mine, other, rms, change)

    @classmethod
    def without_slices(cls, array: np.ndarray, cubic: np.ndarray) -> Figures:
        """Of a result that there are no measured slices to explain for; cubic interpolation on the scan's own grid is
        the scan itself."""
        return cls(None, None, None, _rms(np.subtract(array, cubic, dtype=np.float64)))

    def contradicts(self, noise: float) -> bool:
        """Whether the result strays from the measured slices, further than cubic interpolation and than their noise.

        Args:
            noise: its standard deviation, in the image's units.
        """
        if self.decibels is None or self.cubic_decibels is None or self.residual is None:
            return False
        return self.decibels < self.cubic_decibels and self.residual > _BEYOND_NOISE * noise


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def sampled(problem: Problem) -> tuple[Problem, Sample]:
    """The problem on some of the lines across the slices, enough for its figures, and which lines they are.

    All lines are alike to a closed form, so its result on them is the same as in the whole volume.
    """
    image, axis = problem.image, problem.axis
    step = max(1, round(np.sqrt(np.prod(problem.target.shape, dtype=float) / _SAMPLE)))
    k, j, i = (slice(None) if number == axis else slice(None, None, step) for number in range(3))
    part = replace(image, array=image.array[k, j, i])
    return replace(problem, image=part), (k, j, i)


def residual_of(array: np.ndarray, stack: Stack, matrix: np.ndarray) -> np.ndarray:
    """Measured minus explained (n, y, x) float32, of a result (m, y, x); 0 for slices that it does not cover."""
    left = residual(array, stack.array, matrix)
    left[matrix.sum(axis=1) <= 0.0] = 0.0
    return left


def uncertainty_figures(uncertainty: np.ndarray) -> UncertaintyFigures:
    """Of a map of half widths, from a sample of its voxels."""
    sample = uncertainty.ravel()[:: max(1, uncertainty.size // _SAMPLE)]
    return UncertaintyFigures(float(sample.mean()), float(np.median(sample)), float(np.percentile(sample, 95)))
