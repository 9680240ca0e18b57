"""Whether ``-o`` names one file or a folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError


def is_one_file(options: argparse.Namespace) -> bool:
    """True if ``options.output`` names a file of a kind that MedAI writes, and is no folder.

    Raises:
        UsageError: it does, and ``--format`` was given.
    """
    from ..files.formats import WRITABLE, suffix_of
    from ..files.writing import is_there

    output = Path(options.output)
    if suffix_of(output) not in WRITABLE or (is_there(output) and output.is_dir()):
        return False
    if options.format:
        raise UsageError("--format is for an output folder; a single file's name says its format.")
    return True


def check_folder(folder: Path, inputs: Sequence[str], formats: Sequence[str]) -> None:
    """See whether what is no file to write may be meant as a folder.

    Args:
        folder: for the results.
        inputs: of the run.
        formats: that a single result could have, for the message.

    Raises:
        UsageError: it is a file, or looks like one for the only input.
    """
    from ..files.writing import is_there

    if is_there(folder) and not folder.is_dir():
        raise UsageError(f"{folder}: is a file of a kind that MedAI does not write. Name a folder or another file.")
    if folder.suffix and not folder.is_dir() and len(inputs) == 1 and Path(inputs[0]).is_file():
        raise UsageError(
            f"{folder}: unknown format {folder.suffix!r}; write one of {', '.join(formats)}, or name a folder."
        )
