"""The grid of a result: where its cells lie along the slice axis, and the affine that says so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..geometry import Shape, centre_shift
from ..image import Image
from .acquisition import Acquisition
from .stack import Line

_TOLERANCE = 1e-3
"""How far a grid may be off, in mm at its farthest corner, and still count as the same."""


@dataclass(frozen=True, eq=False)
class Target:
    """A grid.

    Attributes:
        shape: number of voxels (k, j, i).
        affine: (4, 4) float64, IJK to RAS mm.
    """

    shape: Shape
    affine: np.ndarray


def target_grid(image: Image, axis: int, acquisition: Acquisition, spacing: float | None = None) -> tuple[Target, Line]:
    """The image's own grid with finer cells along the slice axis.

    The cells begin at the outer face of the first slice (half a thickness before its center) and cover what the
    slices saw, so that the result is as long as what was measured and no cell is half outside.

    Args:
        image: (k, j, i), the thick slices.
        axis: array axis of the slices.
        acquisition: of the slices.
        spacing: size of the cells along the slice axis in mm; None: the smaller spacing within the slices.

    Raises:
        UsageError: the spacing is not above 0 mm.
    """
    step = min(size for other, size in enumerate(image.spacing) if other != axis) if spacing is None else spacing
    if not 0.0 < step < float("inf"):
        raise UsageError(f"The target spacing must be a number of mm above 0, not {step:g}.")
    length = (image.shape[axis] - 1) * image.spacing[axis] + acquisition.thickness
    line = Line(0.5 * (step - acquisition.thickness), step, max(1, round(length / step)))
    return Target(*with_line(image, axis, line)), line


def with_line(image: Image, axis: int, line: Line) -> tuple[Shape, np.ndarray]:
    """Shape and affine of the image's grid with ``line`` along array axis ``axis``."""
    scale = line.step / image.spacing[axis]
    start = [0.0, 0.0, 0.0]
    start[axis] = line.start / image.spacing[axis]
    affine = centre_shift(image.affine, (start[0], start[1], start[2]))
    affine[:3, 2 - axis] *= scale
    shape = list(image.shape)
    shape[axis] = line.count
    return (shape[0], shape[1], shape[2]), affine


def line_of(image: Image, axis: int, like_shape: Shape, like_affine: np.ndarray) -> Line | None:
    """The line that puts the image on a given grid, or None where that takes more than a change along the slices.

    Args:
        image: (k, j, i), the thick slices.
        axis: array axis of the slices.
        like_shape: (k, j, i) of the given grid.
        like_affine: (4, 4) of the given grid; its axes must run the same way as the image's.
    """
    like = np.asarray(like_affine, float)
    column = 2 - axis
    direction = image.affine[:3, column] / image.spacing[axis]
    line = Line(
        float(direction @ (like[:3, 3] - image.affine[:3, 3])), float(direction @ like[:3, column]), like_shape[axis]
    )
    if line.step <= 0.0:
        return None
    shape, affine = with_line(image, axis, line)
    if shape != tuple(like_shape):
        return None
    corners = np.array(
        [
            (*(float(i > 0) * (n - 1) for i, n in zip(bits, shape[::-1], strict=True)), 1.0)
            for bits in np.ndindex(2, 2, 2)
        ]
    )
    off = np.abs(corners @ (affine - like).T).max()
    return line if off < _TOLERANCE else None
