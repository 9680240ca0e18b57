"""What the values of a folder's label maps are called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...brain_labels import BRAIN
from ...errors import ReadError
from ...files.label_maps import made_up_label
from ...files.pictures import COLORS, PICTURES
from ...labels import Label
from .folder import CaseFolder

LABELS = "labels.json"
TABLES = ("labels.ctbl", "labels.txt")
_MODALITIES = {"ct": "CT", "mri": "MR", "mr": "MR", "t1": "MR", "t2": "MR", "flair": "MR", "pet": "PT", "us": "US"}
"""What ``dataset.json`` calls a modality."""


def label_table(found: CaseFolder, values: Iterable[int]) -> tuple[tuple[Label, ...], bool]:
    """Names, colors and codes of the values above 0.

    They come from ``labels.json`` (value to name, name to value, or a list of whole labels), a color table
    ``labels.ctbl`` or ``labels.txt`` as Slicer writes it, or the ``dataset.json`` of nnU-Net or the Medical
    Segmentation Decathlon. Names of brain structures that MedAI knows bring color and code with them.

    Args:
        found: the folder.
        values: that occur in its label maps.

    Returns:
        One label for each value, ascending, and whether the folder names its labels at all.

    Raises:
        ReadError: a file cannot be understood.
    """
    given = _given(found)
    known = {label.name.lower(): label for label in BRAIN}
    table = []
    for value in sorted(set(values) | set(given)):
        entry = given.get(value, "")
        if isinstance(entry, Label):
            table.append(replace(entry, value=value))
        elif entry.lower() in known:
            table.append(replace(known[entry.lower()], value=value))
        else:
            table.append(made_up_label(value, entry))
    return tuple(table), bool(given)


def modality_of(found: CaseFolder) -> str | None:
    """DICOM code of the images, as far as ``dataset.json`` names one for all channels; else None."""
    given = found.description.get("channel_names", found.description.get("modality"))
    words = given.values() if isinstance(given, Mapping) else [given]
    codes = {_MODALITIES.get(str(word).strip().lower()) for word in words}
    return codes.pop() if len(codes) == 1 else None


def channel_names(found: CaseFolder, count: int) -> tuple[str, ...]:
    """What the channels are called: in ``dataset.json``, or the colors of a picture; empty where nobody tells."""
    given = found.description.get("channel_names", found.description.get("modality"))
    names = tuple(str(name) for name in given.values()) if isinstance(given, Mapping) else ()
    first = next((file for case in found.cases for file in case.images if file is not None), None)
    if not names and count == 3 and first is not None and first.suffix.lower() in PICTURES:
        names = COLORS
    return names if len(names) == count == len(set(names)) else ()


def _given(found: CaseFolder) -> dict[int, str | Label]:
    if (found.path / LABELS).is_file():
        file = found.path / LABELS
        try:
            return _parsed(json.loads(file.read_text(encoding="utf-8")), file)
        except (OSError, ValueError) as error:
            raise ReadError(f"{file}: cannot be read as JSON ({error}). Correct it, or remove it.") from error
    for name in TABLES:
        if (found.path / name).is_file():
            return _color_table(found.path / name)
    file = found.path / "dataset.json"
    return _parsed(found.description.get("medai_labels", found.description.get("labels", {})), file)


def _parsed(values: Any, file: Path) -> dict[int, str | Label]:
    try:
        if isinstance(values, list):
            labels = [Label.from_json(one) for one in values]
            return {label.value: label for label in labels if label.value > 0}
        pairs = [_pair(key, value) for key, value in values.items()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReadError(
            f"{file}: the labels must be names by value, values by name, or a list of labels; regions made of several "
            f"labels and an ignored label cannot be trained on ({error})."
        ) from error
    return {value: name for value, name in pairs if value > 0}


def _pair(key: Any, value: Any) -> tuple[int, str]:
    """(value, name) of an entry in either direction."""
    if isinstance(value, (Mapping, list)):
        raise ValueError(f"{key} is {value}")
    if isinstance(value, int):
        if str(key).lower() == "ignore":
            raise ValueError("ignore")
        return value, str(key)
    return int(key), str(value)


def _color_table(file: Path) -> dict[int, str | Label]:
    """Lines of value, name, red, green, blue (0 to 255) and opacity; # begins a comment."""
    found: dict[int, str | Label] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ReadError(f"{file}: cannot be read ({error}).") from error
    for line in lines:
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        try:
            value, color = int(parts[0]), tuple(float(part) / 255.0 for part in parts[2:5])
            name = parts[1].replace("_", " ")
        except (IndexError, ValueError) as error:
            raise ReadError(f"{file}: the line {line!r} is not: value name red green blue opacity.") from error
        if value > 0:
            label = made_up_label(value, name)
            found[value] = replace(label, color=(color[0], color[1], color[2])) if len(color) == 3 else label
    return found
