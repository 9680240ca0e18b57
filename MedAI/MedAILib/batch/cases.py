"""The inputs of a batch: found in folders, and given output names that never collide."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ReadError, UsageError
from ..files.formats import SUFFIXES, stem_of, suffix_of

_DICOM_SUFFIXES = (".dcm", ".ima")
_NO_INPUTS = ("", ".seg.nrrd", ".dcm", ".img")
"""Not looked at one by one: results, slices of a series, and the second file of a pair."""


@dataclass(frozen=True)
class Case:
    """One input of a batch.

    Attributes:
        path: absolute path of an image file or DICOM folder.
        name: relative path without suffix that names its results.
    """

    path: Path
    name: Path

    @property
    def key(self) -> str:
        return str(self.path)

    def fingerprint(self) -> dict[str, Any]:
        return fingerprint(self.path)

    def result(self, suffix: str) -> Path:
        """Relative path of its result in this format, e.g. "nii.gz"."""
        return self.name.with_name(f"{self.name.name}.{suffix}")


def check_format(suffix: str, formats: Sequence[str]) -> None:
    """See that results can have this format; raises UsageError."""
    if suffix not in formats:
        raise UsageError(f"The format must be one of {', '.join(formats)}, not {suffix!r}.")


def find_cases(inputs: Sequence[str | Path], leave_out: Path | None = None) -> list[Case]:
    """All images among the inputs; folders are searched with everything below them.

    A folder that directly holds DICOM files is one case. Results of earlier runs (.seg.nrrd, and all in ``leave_out``)
    are no inputs. The names follow the folders below what the inputs have in common, so equal file names in different
    folders stay apart.

    Args:
        inputs: files and folders.
        leave_out: the output folder.

    Raises:
        ReadError: a folder cannot be listed or holds no image. A file that does not exist is a case, which will fail.
        UsageError: an input is the output folder, or the inputs lie on different drives.
    """
    leave_out = absolute(leave_out) if leave_out else None
    paths: list[Path] = []
    for given in inputs:
        path = absolute(given)
        if path == leave_out:
            raise UsageError(f"{given}: is both input and output folder. Choose another output folder.")
        if path.is_dir():
            found = list(_search(path, leave_out))
            if not found:
                raise ReadError(f"{given}: the folder holds no image that MedAI reads ({', '.join(SUFFIXES)}, DICOM).")
            paths += found
        else:
            paths.append(path)
    paths = list(dict.fromkeys(paths))
    return [Case(path, name) for path, name in zip(paths, _names(paths, inputs), strict=True)]


def is_dicom_folder(folder: Path) -> bool:
    """Whether a folder directly holds a DICOM file."""
    return any(_is_dicom(path) for path in sorted(folder.iterdir()) if path.is_file())


def fingerprint(path: Path) -> dict[str, Any]:
    """Size, time of change and SHA-256 of a case's bytes, to notice a changed input.

    Raises:
        ReadError: the input cannot be read.
    """
    try:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        digest = hashlib.sha256()
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        times = [file.stat() for file in files]
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return {
        "size": sum(one.st_size for one in times),
        "changed_ns": max((one.st_mtime_ns for one in times), default=0),
        "sha256": digest.hexdigest(),
    }


def absolute(path: str | Path) -> Path:
    """The path without "..", which would lead the names of the results out of the output folder."""
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would also follow links, and so rename the results


def _search(root: Path, leave_out: Path | None) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise ReadError(f"{error.filename}: the folder cannot be listed ({error.strerror}).") from error

    for place, folders, files in os.walk(root, onerror=refuse):
        folder = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and folder / name != leave_out)
        visible = [folder / name for name in sorted(files) if not name.startswith(".")]
        yield from (path for path in visible if _is_image(path))
        if any(_is_dicom(path) for path in visible):
            yield folder


def _is_image(path: Path) -> bool:
    return suffix_of(path) not in _NO_INPUTS


def _is_dicom(path: Path) -> bool:
    """By suffix, or for files without one by the letters DICM after the preamble (DICOM part 10)."""
    if path.suffix.lower() in _DICOM_SUFFIXES:
        return True
    if path.suffix and not path.suffix[1:].isdigit():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _names(paths: Sequence[Path], inputs: Iterable[str | Path]) -> list[Path]:
    roots = [path if path.is_dir() else path.parent for path in map(absolute, inputs)]
    try:
        root = Path(os.path.commonpath(roots))
    except ValueError as error:
        raise UsageError("The inputs lie on different drives; run once for each drive.") from error
    plain = [_below(path, root) for path in paths]
    short = [name.with_name(stem_of(name)) for name in plain]
    return [one if short.count(one) == 1 else full for one, full in zip(short, plain, strict=True)]


def _below(path: Path, root: Path) -> Path:
    """The path from root; a DICOM folder given itself keeps its own name."""
    return path.relative_to(root) if path != root else Path(path.name or "dicom")
