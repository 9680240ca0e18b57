"""Is a NRRD file whole?"""

from __future__ import annotations

from pathlib import Path

from ..errors import ReadError
from .packed import GZIP, unpacked_size


def check_whole(path: Path) -> None:
    """Unpack the voxels of a gzip-encoded file with attached data, and compare the checksum.

    Raises:
        ReadError: no NRRD file, or voxels are missing or damaged.
    """
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline().startswith(b"NRRD"):
            raise ReadError(f"{path} is no NRRD file, although its name says so.")
        while line := file.readline().strip():
            key, _, value = line.decode("utf-8", "replace").partition(": ")
            fields[key] = value
        if fields.get("encoding") in ("gzip", "gz") and unpacked_size(file, GZIP) is None:
            raise ReadError(f"{path} is truncated or damaged: its voxels cannot be unpacked. Copy it again.")
