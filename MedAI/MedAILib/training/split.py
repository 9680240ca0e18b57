"""Which files of a data folder are trained on, and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ReadError
from ..files.formats import stem_of


def split_files(folder: Path, pattern: str, held_out: Sequence[str], what: str) -> tuple[list[Path], list[Path]]:
    """The files to train on and those held out, by name.

    Args:
        folder: of the data.
        pattern: glob of the files.
        held_out: names without ending.
        what: the files are, for the message.

    Raises:
        ReadError: there is none to train on, or one that is to be held out is missing.
    """
    files = sorted(folder.glob(pattern)) if folder.is_dir() else []
    held = [file for file in files if stem_of(file) in held_out]
    trained = [file for file in files if file not in held]
    if not trained or len(held) != len(held_out):
        raise ReadError(
            f"{folder}: found {len(trained)} {what} {pattern} to train on and {len(held)} of the {len(held_out)} to "
            "hold out. Check the data folder."
        )
    return trained, held
