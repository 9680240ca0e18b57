"""FreeSurfer's MGH and MGZ files, read only.

Layout: https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat (big-endian header of 284 bytes, then voxels,
i fastest).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import ReadError
from ..image import Image
from .formats import stem_of
from .packed import open_unpacked

_TYPES: dict[int, np.dtype] = {
    code: np.dtype(name) for code, name in {0: "u1", 1: "i4", 3: "f4", 4: "i2", 10: "u2"}.items()
}
_HEADER = 284


def read_mgh(path: Path) -> list[Image]:
    """Every frame of the file.

    Raises:
        ReadError: not such a file, or truncated.
    """
    try:
        with open_unpacked(path) as file:
            raw = file.read(_HEADER)
            if len(raw) < _HEADER:
                raise ReadError(f"{path} is truncated: its header is not whole. Copy it again.")
            version, i, j, k, frames, kind, _ = struct.unpack_from(">7i", raw)
            if version != 1 or kind not in _TYPES or min(i, j, k, frames) < 1:
                raise ReadError(f"{path} is no FreeSurfer volume, although its name says so.")
            dtype = _TYPES[kind]
            data = file.read()  # to the end, so that gzip verifies its checksum
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReadError(f"{path} is truncated or damaged ({error}). Copy it again.") from error
    count = i * j * k * frames
    if len(data) < count * dtype.itemsize:
        raise ReadError(f"{path} is truncated: some of its voxels are missing. Copy it again.")
    array = np.frombuffer(data, dtype.newbyteorder(">"), count).astype(dtype).reshape(frames, k, j, i)
    name, affine = stem_of(path), _affine(raw, (i, j, k))
    if frames == 1:
        return [Image(array[0], affine, name)]
    return [Image(frame, affine, f"{name} frame {number}") for number, frame in enumerate(array)]


def _affine(raw: bytes, size: tuple[int, int, int]) -> np.ndarray:
    """IJK to RAS from the header's spacing, direction columns and center."""
    (good,) = struct.unpack_from(">h", raw, 28)
    values = np.array(struct.unpack_from(">15f", raw, 30), float)
    directions: np.ndarray
    spacing, directions, center = values[:3], values[3:12].reshape(3, 3).T, values[12:]
    if good <= 0:  # FreeSurfer's default: coronal, 1 mm
        spacing, center = np.ones(3), np.zeros(3)
        directions = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = center - affine[:3, :3] @ (np.array(size) / 2.0)
    return affine
