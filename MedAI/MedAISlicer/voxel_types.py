"""Voxel types that VTK stores and Slicer's views show."""

from __future__ import annotations

import numpy as np

from MedAILib.errors import ContentError


def storable(array: np.ndarray) -> np.ndarray:
    """The same numbers, contiguous and in native byte order, in a type that Slicer's views can show.

    Bool becomes uint8, float16 becomes float32, and 64-bit integers (which Slicer does not render) become the
    smallest of int32, uint32 and float64 that holds them. Other types stay.

    Raises:
        ContentError: values without such a type (complex numbers, text).
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "biuf":
        raise ContentError(
            f"Voxels of type {array.dtype} cannot be shown in Slicer. Convert them to real numbers first."
        )
    target: type = array.dtype.type
    if kind == "b":
        target = np.uint8
    elif kind == "f" and size not in (4, 8):
        target = np.float32 if size < 4 else np.float64
    elif kind in "iu" and size == 8:
        target = _narrower(array)
    return np.ascontiguousarray(array, dtype=target)


def _narrower(array: np.ndarray) -> type:
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for candidate in (np.int32, np.uint32):
        limits = np.iinfo(candidate)
        if limits.min <= low and high <= limits.max:
            return candidate
    return np.float64
