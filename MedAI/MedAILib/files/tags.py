"""What the header of a scan says of how it was taken: DICOM tags, or the BIDS sidecar that a converter made of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from .formats import stem_of
from .itk import quiet_itk

MODALITY, THICKNESS, BETWEEN = "0008|0060", "0018|0050", "0018|0088"
_SIDECAR = {MODALITY: "Modality", THICKNESS: "SliceThickness", BETWEEN: "SpacingBetweenSlices"}
_TRIED = 5
_LARGEST_SIDECAR = 1 << 20


@dataclass(frozen=True)
class Tags:
    """What is known of a scan besides its voxels and grid; None where nobody says it.

    Attributes:
        modality: DICOM code, e.g. "MR" or "CT".
        thickness: SliceThickness in mm, as it stands there, so it may be 0 or nonsense.
        between: SpacingBetweenSlices in mm, likewise.
    """

    modality: str | None = None
    thickness: float | None = None
    between: float | None = None


def read_tags(path: str | PathLike[str]) -> Tags:
    """The tags of a DICOM file, of the first readable file of a folder, or of the .json file beside another image.

    Never an error, because reading the image tells that better.
    """
    path = Path(path)
    try:
        found = _texts(path)
    except OSError:
        found = {}
    modality = found.get(MODALITY, "")
    known = modality if re.fullmatch("[A-Z]{2,16}", modality) else None
    return Tags(known, _number(found.get(THICKNESS)), _number(found.get(BETWEEN)))


def nested_values(raw: bytes, tag: str) -> Iterator[str]:
    """Every value of a decimal-string tag in the bytes before the pixel data, in file order.

    ITK does not hand out nested sequences, where a multi-frame file keeps what differs between frames. Explicit and
    implicit little-endian encodings are understood.

    Args:
        raw: the whole DICOM file.
        tag: e.g. "0020|0032".
    """
    group, _, element = tag.partition("|")
    name = re.escape(bytes.fromhex(group)[::-1] + bytes.fromhex(element)[::-1])
    end = max(raw.rfind(b"\xe0\x7f\x10\x00OW"), raw.rfind(b"\xe0\x7f\x10\x00OB"))
    for match in re.finditer(name + rb"(?:DS(..)|(..)\x00\x00)", raw[: end if end > 0 else None], re.DOTALL):
        length = int.from_bytes(match.group(1) or match.group(2), "little")
        yield raw[match.end() : match.end() + min(length, 64)].decode("latin-1")


def _texts(path: Path) -> dict[str, str]:
    """Tag to text."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    dicom = [file for file in files if _is_dicom(file)][:_TRIED]
    if not dicom:
        return {} if path.is_dir() else _sidecar(path)
    found = [tags for tags in map(_header, dicom) if tags]
    return next((tags for tags in found if THICKNESS in tags), found[0] if found else {})


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() == ".dcm":
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _header(path: Path) -> dict[str, str]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with quiet_itk():
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return {}
        found = {tag: reader.GetMetaData(tag).strip(" \0") for tag in _SIDECAR if reader.HasMetaDataKey(tag)}
        frames = reader.GetSize()[2] if reader.GetDimension() > 2 else 1
    if frames > 1 and THICKNESS not in found:
        found |= {
            tag: text for tag in (THICKNESS, BETWEEN) if (text := next(nested_values(path.read_bytes(), tag), ""))
        }
    return found


def _sidecar(path: Path) -> dict[str, str]:
    """The tags in the .json file of the same name (Brain Imaging Data Structure, written by dcm2niix and others)."""
    beside = path.with_name(f"{stem_of(path)}.json")
    if not beside.is_file() or beside.stat().st_size > _LARGEST_SIDECAR:
        return {}
    try:
        content: Any = json.loads(beside.read_bytes())
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        tag: str(content[name]) for tag, name in _SIDECAR.items() if isinstance(content.get(name), (str, int, float))
    }


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").strip(" \0"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
