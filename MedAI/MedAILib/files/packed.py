"""Compressed data: is it whole, and how long is it unpacked?"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, cast

_LEVEL, _BLOCK = 1, 1 << 20
GZIP, ZLIB = 31, 15
"""The ``wbits`` of zlib for either kind of wrapper."""


def is_packed(path: Path) -> bool:
    """Whether a file is gzip-packed, by its first bytes."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file that may or may not be gzip-packed, whatever its name says.

    Reading to the end verifies the checksum: ``EOFError``, ``zlib.error`` or ``gzip.BadGzipFile`` mean damage.
    """
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_packed(path) else path.open("rb")


def pack(source: Path, target: Path, floats: bool) -> None:
    """Write a file gzip-packed; raises OSError.

    Args:
        source: the plain file.
        target: the packed one.
        floats: it holds mostly floating-point numbers. Their digits hardly repeat, so that searching for repetitions
            takes long and makes the file no smaller.
    """
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, GZIP, strategy=zlib.Z_RLE if floats else zlib.Z_DEFAULT_STRATEGY)
    with source.open("rb") as plain, target.open("wb") as packed:
        while block := plain.read(_BLOCK):
            packed.write(packer.compress(block))
        packed.write(packer.flush())


def unpacked_size(file: IO[bytes], wbits: int) -> int | None:
    """Bytes that the stream from here to its end unpacks to; None if it is damaged or cut."""
    unpacker, total = zlib.decompressobj(wbits=wbits), 0
    try:
        while block := file.read(1 << 18):
            while block:
                total += len(unpacker.decompress(block, 1 << 22))
                block = unpacker.unconsumed_tail
    except zlib.error:
        return None
    return total if unpacker.eof else None
