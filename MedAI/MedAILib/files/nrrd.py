"""Is a NRRD file whole?"""

from __future__ import annotations

import zlib
from pathlib import Path

from ..errors import ReadError


def check_whole(path: Path) -> None:
    """Unpack the voxels of a gzip-encoded file with attached data, and compare checksum and length.

    Raises:
        ReadError: no NRRD file, or voxels are missing or damaged.
    """
    unpacker = zlib.decompressobj(wbits=31)
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline().startswith(b"NRRD"):
            raise ReadError(f"{path} is no NRRD file, although its name says so.")
        while (line := file.readline().strip()) and file.tell():
            key, _, value = line.decode("utf-8", "replace").partition(": ")
            fields[key] = value
        if fields.get("encoding") not in ("gzip", "gz"):
            return
        try:
            while block := file.read(1 << 18):
                while block:
                    unpacker.decompress(block, 1 << 22)
                    block = unpacker.unconsumed_tail
        except zlib.error as error:
            raise ReadError(f"{path} is damaged: its voxels cannot be unpacked. Copy it again.") from error
    if not unpacker.eof:
        raise ReadError(f"{path} is truncated: some of its voxels are missing. Copy it again.")
