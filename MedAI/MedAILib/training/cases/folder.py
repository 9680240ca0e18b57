"""Which files of a folder belong together: the images of a case, and its labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ReadError
from ...files.formats import SUFFIXES, suffix_of
from ...files.pictures import PICTURES
from .report import Problem

_LABEL_WORDS = ("_seg", "_label", "_labels", "_mask", "-seg", "-label", "-labels", "-mask")
_FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))
_CHANNEL = re.compile(r"(.+)_(\d{4})$")


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case.

    Attributes:
        name: the file's name without ending and channel.
        images: one file for each channel, in their order; None for one that this case lacks, but others have.
        labels: the label map.
    """

    name: str
    images: tuple[Path | None, ...]
    labels: Path


@dataclass(frozen=True)
class CaseFolder:
    """What a folder holds.

    Attributes:
        path: the folder.
        cases: those that are complete, by name.
        problems: files without counterpart.
        description: the folder's ``dataset.json``, if it has one.
    """

    path: Path
    cases: tuple[CaseFiles, ...]
    problems: tuple[Problem, ...] = ()
    description: dict[str, Any] = field(default_factory=dict)


def find_cases(folder: str | Path) -> CaseFolder:
    """Look for cases: ``images/`` and ``labels/`` with equal names, nnU-Net's ``imagesTr/`` and ``labelsTr/``, or
    images with a ``NAME_seg`` or ``NAME_label`` beside each.

    The channels of a case are files whose names end in ``_0000``, ``_0001``, … as in nnU-Net's layout.

    Raises:
        ReadError: no such folder, or nothing in it that looks like a labeled case.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ReadError(f"{folder}: there is no such folder.")
    for images, labels in _FOLDERS:
        if (folder / images).is_dir() and (folder / labels).is_dir():
            marks = {one.name for one in _files(folder / labels)}
            channels = all(_CHANNEL.match(stem(one)) and one.name not in marks for one in _files(folder / images))
            found = _matched(_files(folder / images), _files(folder / labels), channels)
            break
    else:
        files = _files(folder)
        marked = [file for file in files if _unmarked(stem(file)) != stem(file)]
        found = _matched([file for file in files if file not in marked], marked, False)
    cases, problems = found
    if not cases and not problems:
        raise ReadError(
            f"{folder}: no labeled cases were found. Put the images into a folder images and the label maps, under the "
            "same names, into a folder labels; or put NAME_seg beside each NAME."
        )
    return CaseFolder(folder, tuple(cases), tuple(problems), _description(folder))


def stem(file: Path) -> str:
    """The file's name without its ending, also of a picture."""
    ending = suffix_of(file) or (file.suffix if file.suffix.lower() in PICTURES else "")
    return file.name[: -len(ending)] if ending else file.name


def _files(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise ReadError(f"{folder}: cannot be listed ({error.strerror or error}).") from error
    return [
        file
        for file in found
        if file.is_file()
        and not file.name.startswith(".")
        and (suffix_of(file) in SUFFIXES or file.suffix.lower() in PICTURES)
    ]


def _unmarked(name: str) -> str:
    """The name of the image that a label file beside it belongs to."""
    return next((name[: -len(word)] for word in _LABEL_WORDS if name.lower().endswith(word)), name)


def _matched(images: Iterable[Path], labels: Iterable[Path], channels: bool) -> tuple[list[CaseFiles], list[Problem]]:
    """Cases, and the files that lack their counterpart."""
    parts: dict[str, dict[int, Path]] = {}
    for file in images:
        match = _CHANNEL.match(stem(file)) if channels else None
        name, number = (match.group(1), int(match.group(2))) if match else (stem(file), 0)
        parts.setdefault(name, {})[number] = file
    numbers = sorted({number for files in parts.values() for number in files})
    maps: dict[str, Path] = {}
    problems = []
    for file in labels:
        name = stem(file) if stem(file) in parts else _unmarked(stem(file))
        if name in maps:
            problems.append(Problem(file.name, f"{file.name} and {maps[name].name} are both labels of {name}."))
        maps[name] = file
    for name, files in parts.items():
        if name not in maps:
            first = files[min(files)].name
            problems.append(Problem(first, f"{first} has no label map of the same name."))
    problems += [
        Problem(file.name, f"{file.name} has no image of the same name.")
        for name, file in maps.items()
        if name not in parts
    ]
    cases = [
        CaseFiles(name, tuple(files.get(number) for number in numbers), maps[name])
        for name, files in sorted(parts.items())
        if name in maps
    ]
    return cases, problems


def _description(folder: Path) -> dict[str, Any]:
    file = folder / "dataset.json"
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{file}: cannot be read as JSON ({error}). Correct it, or remove it.") from error
    if not isinstance(found, dict):
        raise ReadError(f"{file}: must hold a JSON object. Correct it, or remove it.")
    return found
