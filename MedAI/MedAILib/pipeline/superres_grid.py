"""Which grid a result gets, and how it comes there when more changes than the spacing across the slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import GeometryError, UsageError
from ..geometry import Spacing, centre_shift
from ..image import Image
from ..spatial import resample
from ..superres.acquisition import Acquisition
from ..superres.request import SuperresRequest
from ..superres.stack import Line
from ..superres.target import Target, line_of, target_grid

_SAME = 1e-3
_LARGEST = 2**31
"""Voxels; a mistyped spacing must not fill the memory."""


@dataclass(frozen=True, eq=False)
class Grids:
    """Where a method works, and where the result goes.

    Attributes:
        working: the scan's own grid with other cells across the slices.
        line: those cells.
        final: the grid of the result; None where it is the working grid.
    """

    working: Target
    line: Line
    final: Target | None = None


def wanted_step(image: Image, axis: int, request: SuperresRequest, like: Target | None) -> float:
    """The spacing across the slices that is wanted, mm; never coarser than the slices where a grid is given."""
    if like is not None:
        direction = image.affine[:3, 2 - axis] / image.spacing[axis]
        columns = np.asarray(like.affine, float)[:3, :3]
        lengths = np.linalg.norm(columns, axis=0)
        nearest = int(np.argmax(np.abs(direction @ columns) / lengths))
        return float(min(lengths[nearest], image.spacing[axis]))
    if request.spacing is not None:
        return float(request.spacing)
    return min(size for other, size in enumerate(image.spacing) if other != axis)


def grids_of(image: Image, axis: int, acquisition: Acquisition, request: SuperresRequest, like: Target | None) -> Grids:
    """The grids of a run.

    Raises:
        GeometryError: the given grid does not overlap with the scan.
        UsageError: the result would have an absurd number of voxels.
    """
    if like is not None:
        line = line_of(image, axis, like.shape, like.affine)
        if line is not None:
            _refuse_apart(image, like)
            return Grids(_refuse_huge(like), line)
    working, line = target_grid(image, axis, acquisition, wanted_step(image, axis, request, like))
    _refuse_huge(working)
    if like is not None:
        _refuse_apart(image, like)
        return Grids(working, line, _refuse_huge(like))
    spacing = Image(np.broadcast_to(np.float32(0), working.shape), working.affine).spacing
    if request.isotropic and max(abs(size - line.step) for size in spacing) > _SAME * line.step:
        return Grids(working, line, _refuse_huge(_at_spacing(working, spacing, line.step)))
    return Grids(working, line)


def same_grid(image: Image, axis: int) -> Grids:
    """The scan's own grid."""
    return Grids(Target(image.shape, image.affine), Line(0.0, image.spacing[axis], image.shape[axis]))


def onto(image: Image, target: Target, fill: float) -> Image:
    """An image on another grid: cubic, smoothed first along axes that get coarser; ``fill`` where it ends."""
    return resample(image, target.shape, target.affine, order=3, fill=fill)


def _at_spacing(target: Target, spacing: Spacing, step: float) -> Target:
    """Cells of exactly ``step`` mm along all axes, over the same box as nearly as possible and with the same center."""
    shape = [max(1, round(count * size / step)) for count, size in zip(target.shape, spacing, strict=True)]
    factors = [step / size for size in spacing]
    start = [
        (old - 1) / 2 - factor * (new - 1) / 2 for old, new, factor in zip(target.shape, shape, factors, strict=True)
    ]
    affine = centre_shift(target.affine, (start[0], start[1], start[2]))
    affine[:3, :3] *= np.array(factors[::-1])
    return Target((shape[0], shape[1], shape[2]), affine)


def _refuse_huge(target: Target) -> Target:
    if np.prod(target.shape, dtype=float) > _LARGEST:
        raise UsageError(
            f"The result would have {' x '.join(map(str, target.shape[::-1]))} voxels. Choose a larger spacing."
        )
    return target


def _refuse_apart(image: Image, like: Target) -> None:
    from ..registration.checks import overlap_share
    from ..transforms import IDENTITY

    grid = Image(np.broadcast_to(np.uint8(0), like.shape), like.affine, "the given grid")
    if overlap_share(image, grid, IDENTITY) <= 0.0:
        raise GeometryError(f"The grid that the result is to have does not overlap with {image.name}.")
