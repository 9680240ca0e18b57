"""What a NIfTI header says about the grid, whether the file is whole, and which voxels are NaN or infinite.

ITK reads a truncated NIfTI file as if the rest were zero, takes NaN and infinity for zero, and answers contradictory
headers with a geometry that is in neither of them; so all this is looked at here, in the file itself.

Source: the NIfTI-1 header, https://nifti.nimh.nih.gov/nifti-1 (methods 1, 2 and 3 of "3D image orientation and location
in space").
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import GeometryError, ReadError
from .packed import is_packed, open_unpacked

_BITS = {1: 1, 2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_BITS |= {1536: 128, 1792: 128, 2048: 256, 2304: 32}
_FLOATS = {16: "f4", 64: "f8"}
_BLOCK = 1 << 20
_MILLIMETERS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


@dataclass(frozen=True)
class Header:
    """What ITK does not tell, or tells wrongly.

    Attributes:
        shape: lengths of all axes, i first.
        affine: IJK to RAS, mm, by the rule of :func:`_choose`.
        offset: first byte of the voxels in the (unpacked) file, or in the .img file of a pair.
        n_bytes: length of the voxel data.
        single: voxels follow in the same file.
        floats: type of the voxels, in the file's byte order, if they are floating-point numbers.
        not_finite: where voxels are NaN or infinite, as (first, mask) pairs: ``mask`` marks them among the voxels from
            number ``first`` on, in the file's order (i fastest). Stretches without such a voxel are left out.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    offset: int
    n_bytes: int
    single: bool
    floats: np.dtype | None = None
    not_finite: tuple[tuple[int, np.ndarray], ...] = ()


def read_header(path: Path) -> Header:
    """Parse the header and go through the voxels that follow.

    Raises:
        ReadError: not NIfTI, truncated, or damaged (the gzip checksum is verified).
        GeometryError: spacing 0, or sform, qform and pixel size contradict each other.
    """
    try:
        with open_unpacked(path) as file:
            header = _parse(file.read(348), path)
            if path.suffix.lower() != ".gz" and is_packed(path):
                raise ReadError(f"{path} is packed with gzip, although its name does not say so. Add .gz to its name.")
            if header.single:
                return _with_voxels(header, file, path)
        data = path.with_suffix(".img")
        if not data.exists():
            raise ReadError(f"{path}: its data file {data.name} is missing.")
        with data.open("rb") as file:
            return _with_voxels(header, file, data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReadError(f"{path} is truncated or damaged ({error}). Copy it again.") from error


def _with_voxels(header: Header, file: IO[bytes], path: Path) -> Header:
    """Read to the end, so that gzip verifies its checksum: are all voxels there, and which are not finite?"""
    file.seek(header.offset)
    found, not_finite = 0, []
    while block := file.read(_BLOCK):
        if header.floats is not None:
            size = header.floats.itemsize
            count = min(len(block), max(0, header.n_bytes - found)) // size
            mask = ~np.isfinite(np.frombuffer(block, header.floats, count))
            if mask.any():
                not_finite.append((found // size, mask))
        found += len(block)
    if found < header.n_bytes:
        missing = header.n_bytes - found
        raise ReadError(f"{path} is truncated: {missing} bytes of its voxels are missing. Copy it again.")
    return replace(header, not_finite=tuple(not_finite))


def _parse(raw: bytes, path: Path) -> Header:
    order = next((o for o in "<>" if len(raw) >= 4 and struct.unpack(f"{o}i", raw[:4])[0] in (348, 540)), None)
    if order is None:
        raise ReadError(f"{path} is no NIfTI file, although its name says so.")
    if len(raw) < 348:
        raise ReadError(f"{path} is truncated: its header is not whole. Copy it again.")

    def get(form: str, at: int) -> tuple:
        return struct.unpack_from(order + form, raw, at)

    if get("i", 0)[0] == 540:
        raise ReadError(f"{path} is a NIfTI-2 file, which cannot be read. Save it as NIfTI-1 or NRRD.")
    dim, (datatype,), pixdim = get("8h", 40), get("h", 70), get("8f", 76)
    (offset,), (units,), (q_code, s_code) = get("f", 108), get("B", 123), get("2h", 252)
    magic = raw[344:348]
    offset_fits = 0 <= offset < 1 << 31  # not so for NaN
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1 or datatype not in _BITS or not offset_fits:
        raise ReadError(f"{path}: its NIfTI header is damaged (size {dim}, data type {datatype}, offset {offset:g}).")
    shape = tuple(int(n) for n in dim[1 : dim[0] + 1])
    if magic[:1] != b"n":  # Analyze 7.5 has no orientation fields
        q_code = s_code = 0
    affine = _choose(path, np.array(pixdim[1:4], float), q_code, s_code, pixdim[0], get("6f", 256), get("12f", 280))
    affine[:3] *= _MILLIMETERS.get(units & 7, 1.0)
    n_bytes = (prod(shape) * _BITS[datatype] + 7) // 8
    floats = np.dtype(order + _FLOATS[datatype]) if datatype in _FLOATS else None
    single = magic[1:2] == b"+"
    # The voxels of a single file cannot begin inside its header, whatever the field says.
    return Header(shape, affine, max(int(offset), 348) if single else int(offset), n_bytes, single, floats)


def _choose(
    path: Path,
    pixdim: np.ndarray,
    q_code: int,
    s_code: int,
    q_fac: float,
    quaternion: tuple[float, ...],
    rows: tuple[float, ...],
) -> np.ndarray:
    """The affine, by the rule that ITK and so Slicer follow, but a contradiction is an error.

    The sform if it is the only one, if it says "scanner" (code 1), or if both agree; else the qform; with neither,
    voxel sizes alone along the axes that ITK takes (left to right reversed, as in LPS files).
    """
    if not np.isfinite(pixdim).all() or (pixdim <= 0).any():
        raise GeometryError(
            f"{path}: the voxel size in its header is {pixdim.tolist()} mm. Correct it, then run again."
        )
    if s_code <= 0 and q_code <= 0:
        return np.diag([-pixdim[0], -pixdim[1], pixdim[2], 1.0])
    by_rows = np.vstack([np.reshape(rows, (3, 4)), [0, 0, 0, 1]]).astype(float)
    if q_code <= 0:
        return _consistent(path, by_rows, pixdim)
    by_quaternion = _from_quaternion(quaternion, pixdim, q_fac)
    if s_code == 1 or (s_code > 0 and np.allclose(by_rows, by_quaternion, rtol=0, atol=1e-2 * pixdim.min())):
        return _consistent(path, by_rows, pixdim)
    return by_quaternion


def _consistent(path: Path, affine: np.ndarray, pixdim: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    sheared = np.abs(affine[:3, :3].T @ affine[:3, :3] - np.diag(lengths**2)).max() > 1e-2 * lengths.max() ** 2
    if not sheared and not np.allclose(lengths, pixdim, rtol=2e-2, atol=0):
        raise GeometryError(
            f"{path}: its header contradicts itself: the voxel size is {np.round(pixdim, 4).tolist()} mm, the sform "
            f"matrix says {np.round(lengths, 4).tolist()} mm. Correct the header, then run again."
        )
    return affine


def _from_quaternion(quaternion: tuple[float, ...], pixdim: np.ndarray, q_fac: float) -> np.ndarray:
    b, c, d = quaternion[:3]
    squared = 1.0 - (b * b + c * c + d * d)
    a = np.sqrt(max(0.0, squared))
    if squared < 0:  # rounding in the file: a half turn
        b, c, d = np.array([b, c, d]) / np.sqrt(b * b + c * c + d * d)
    affine = np.eye(4)
    affine[:3, :3] = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    affine[:3, :3] *= pixdim * np.array([1.0, 1.0, -1.0 if q_fac < 0 else 1.0])
    affine[:3, 3] = quaternion[3:6]
    return affine
