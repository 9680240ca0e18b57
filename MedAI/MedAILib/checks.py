"""Is this volume fit for a method that takes one three-dimensional scalar image?"""

from __future__ import annotations

import numpy as np

from .errors import ContentError, GeometryError
from .geometry import check_affine
from .image import Image

COARSEST_MM = 20.0
"""A slice distance above this is no volume any more; thick clinical slices have 5 to 10 mm."""
FINEST_MM = 0.01
HUGE = 1e30
"""Values beyond this are overflow or a fill value, not a measurement."""
_FEW_VALUES = 64
_ENOUGH = 300_000

Warnings = tuple[tuple[str, str], ...]


def check_grid(image: Image, slice_allowed: bool = False) -> None:
    """Refuse a grid on which no 3D method makes sense; a method may be able to do with one slice.

    Raises:
        GeometryError: one slice, one voxel, sheared or singular affine, spacing below 0.01 mm or above 20 mm.
    """
    check_affine(image.affine, image.name)
    if image.shape == (1, 1, 1):
        raise GeometryError(f"{image.name} has a single voxel. Choose a three-dimensional volume.")
    if min(image.shape) == 1 and not (slice_allowed and sorted(image.shape)[1] > 1):
        k, j, i = image.shape
        raise GeometryError(
            f"{image.name} is a single slice ({i} x {j} x {k} voxels). Choose a three-dimensional volume."
        )
    coarse, fine = max(image.spacing), min(image.spacing)
    if coarse > COARSEST_MM:
        raise GeometryError(
            f"{image.name} has a spacing of {coarse:.4g} mm; more than {COARSEST_MM:g} mm is too coarse. "
            "If the spacing is wrong, correct it (it is in millimeters), then run again."
        )
    if fine < FINEST_MM:
        raise GeometryError(
            f"{image.name} has a spacing of {fine:.3g} mm, less than {FINEST_MM:g} mm. "
            "If the spacing is wrong, correct it (it is in millimeters), then run again."
        )


def check_scalar_volume(
    image: Image, slice_allowed: bool = False, constant_allowed: bool = False
) -> tuple[Image, Warnings]:
    """Refuse what cannot be used, repair what can.

    Args:
        image: as read; any real number type.
        slice_allowed: one slice is enough.
        constant_allowed: one value everywhere will do.

    Returns:
        The image (the same object if nothing had to be repaired) and warnings as (code, sentence) pairs. Values that
        are not finite, or beyond 1e30, are replaced by the lowest finite value.

    Raises:
        ContentError: no voxels, several channels, no real numbers, nothing finite, or one value everywhere.
        GeometryError: see :func:`check_grid`.
    """
    array = image.array
    if array.size == 0:
        raise ContentError(f"{image.name} is empty: it has no voxels ({' x '.join(map(str, array.shape[::-1]))}).")
    if array.ndim == 4:
        raise ContentError(
            f"{image.name} has {array.shape[0]} channels or frames; extract one as a scalar volume first."
        )
    if array.dtype.kind not in "iufb":
        raise ContentError(f"{image.name} holds {array.dtype} values; a volume of real numbers is needed.")
    check_grid(image, slice_allowed)
    warnings: Warnings = ()
    with np.errstate(invalid="ignore"):
        low, high = array.min(), array.max()
    limit = min(HUGE, float(np.finfo(array.dtype).max)) if array.dtype.kind == "f" else HUGE
    if array.dtype.kind == "f" and not (abs(low) <= limit and abs(high) <= limit):
        usable = np.abs(array) <= limit
        count = int(array.size - np.count_nonzero(usable))
        if count == array.size:
            raise ContentError(f"{image.name} has no finite value: every voxel is NaN or infinite.")
        low, high = array[usable].min(), array[usable].max()
        image = image.with_array(np.where(usable, array, low))
        share = 100.0 * count / array.size
        sentence = (
            f"{image.name}: {count} voxels ({share:.2g} %) are NaN, infinite or beyond {HUGE:g}; "
            f"they were taken as {float(low):g}, the lowest value of the others."
        )
        warnings = (("not-finite", sentence),)
    if low == high and not constant_allowed:
        raise ContentError(f"{image.name} is constant: every voxel is {float(low):g}. Choose an image with content.")
    return image, warnings


def label_like(image: Image) -> int:
    """How many different values there are, if they are as few and whole as in a label map; else 0."""
    sample = image.array.ravel()[:: max(1, image.array.size // _ENOUGH)]
    values = np.unique(sample)
    few = len(values) <= _FEW_VALUES and (values == np.rint(values)).all() and values[0] >= 0
    return len(values) if few else 0
