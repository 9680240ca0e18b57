"""Is a MetaImage file whole? ITK reads a damaged compressed one without a word."""

from __future__ import annotations

from math import prod
from pathlib import Path

from ..errors import ReadError
from .packed import ZLIB, unpacked_size

_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4}
_BYTES |= {"LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_whole(path: Path) -> None:
    """Count the voxels that are there.

    Raises:
        ReadError: not a MetaImage file, its data file is missing, or voxels are missing or damaged.
    """
    fields, start = _read_fields(path)
    if "ElementDataFile" not in fields or "DimSize" not in fields:
        raise ReadError(f"{path} is no MetaImage file, although its name says so.")
    data = path
    if fields["ElementDataFile"].upper() != "LOCAL":
        data, start = path.parent / fields["ElementDataFile"], 0
        if "%" in data.name or fields["ElementDataFile"].startswith("LIST"):
            return  # one file per slice; ITK reports a missing one
        if not data.exists():
            raise ReadError(f"{path}: its data file {data.name} is missing.")
    try:
        sizes = [int(n) for n in [*fields["DimSize"].split(), fields.get("ElementNumberOfChannels", "1")]]
    except ValueError as error:
        raise ReadError(f"{path}: its header is damaged ({error}).") from error
    expected = prod(sizes) * _BYTES.get(fields.get("ElementType", "").removeprefix("MET_"), 0)
    if _is_true(fields.get("CompressedData", "False")):
        with data.open("rb") as file:
            file.seek(start)
            found = unpacked_size(file, ZLIB)
        if found is None:
            raise ReadError(f"{data} is truncated or damaged: its voxels cannot be unpacked. Copy it again.")
    elif _is_true(fields.get("BinaryData", "True")):
        found = data.stat().st_size - start
    else:
        return
    if found < expected:
        raise ReadError(f"{data} is truncated: {expected - found} bytes of its voxels are missing. Copy it again.")


def _read_fields(path: Path) -> tuple[dict[str, str], int]:
    """The header's ``key = value`` lines up to ElementDataFile, and where the voxels begin."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for _ in range(200):
            key, equals, value = file.readline(4096).decode("latin-1").partition("=")
            if not equals:
                break
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                break
        return fields, file.tell()


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "t", "1")
