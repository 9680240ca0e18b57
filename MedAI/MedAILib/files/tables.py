"""Tables of plain values as CSV or TSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from .writing import check_writable, write_text

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}

TABLE_SUFFIXES = tuple(_DELIMITERS)
"""Endings of the tables that are written."""


def write_table(path: str | PathLike[str], rows: Sequence[Mapping[str, object]], overwrite: bool = False) -> Path:
    """Write rows with a header line of their keys, in order of first appearance.

    Args:
        path: ``.csv`` (comma) or ``.tsv`` / ``.txt`` (tab).
        rows: one mapping per line; a missing value stays empty, numbers keep 7 significant digits.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError, WriteError: as in :func:`MedAILib.files.write_image`.
    """
    path = check_writable(path, overwrite, TABLE_SUFFIXES)
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.writer(text, delimiter=_DELIMITERS[path.suffix.lower()], lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_plain(row.get(key, "")) for key in columns])
    return write_text(path, text.getvalue(), overwrite)


def _plain(value: object) -> object:
    return f"{value:.7g}" if isinstance(value, float) else "" if value is None else value
