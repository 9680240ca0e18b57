"""Thick slices as an array whose first axis counts them, and the line of cells that is to replace them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry import Spacing
from ..image import Image
from .acquisition import Acquisition


def slice_axis(image: Image) -> int:
    """The array axis (0, 1 or 2) across the slices: the one with the largest spacing, the first of equal ones."""
    return int(np.argmax(np.round(image.spacing, 4)))


@dataclass(frozen=True)
class Line:
    """Cells along the slice axis, ``step`` mm wide each and without gaps.

    Attributes:
        start: center of the first cell in mm from the center of the first measured slice.
        step: from center to center in mm, above 0.
        count: number of cells.
    """

    start: float
    step: float
    count: int

    @property
    def centers(self) -> np.ndarray:
        """(count,) mm from the center of the first measured slice."""
        return self.start + self.step * np.arange(self.count)

    @property
    def edges(self) -> np.ndarray:
        """(count + 1,) mm from the center of the first measured slice."""
        return self.start + self.step * (np.arange(self.count + 1) - 0.5)


@dataclass(frozen=True, eq=False)
class Stack:
    """Measured slices.

    Attributes:
        array: (n, y, x) float32; slices along the first axis, the other two in the volume's order.
        spacing: (increment, sy, sx) in mm.
        acquisition: thickness, increment and profile of the slices.
    """

    array: np.ndarray
    spacing: Spacing
    acquisition: Acquisition

    @classmethod
    def of(cls, image: Image, axis: int, acquisition: Acquisition) -> Stack:
        """The slices of a volume along its array axis ``axis``; a view of its values where they are float32.

        Raises:
            ValueError: the acquisition's increment is not the volume's spacing.
        """
        increment = image.spacing[axis]
        if abs(increment - acquisition.increment) > 1e-2 * increment:
            raise ValueError(
                f"{image.name}: the slices are {increment:g} mm apart, the acquisition says {acquisition.increment:g}."
            )
        array = np.moveaxis(image.array, axis, 0).astype(np.float32, copy=False)
        y, x = (size for other, size in enumerate(image.spacing) if other != axis)
        return cls(array, (increment, y, x), acquisition)


def as_volume(fine: np.ndarray, axis: int) -> np.ndarray:
    """Slices-first (m, y, x) back in the volume's (k, j, i) order, C-contiguous."""
    return np.ascontiguousarray(np.moveaxis(fine, 0, axis))


def levels(array: np.ndarray) -> tuple[float, float]:
    """What becomes 0 in a volume's slices (n, y, x) for a network, and the distance from there to what becomes 1."""
    low, high = float(array.min()), float(np.quantile(array[:: max(1, len(array) // 50)], 0.999))
    return low, max(high - low, 1e-6)
