"""The readable forms of a batch's report: a table for programs and a page for people."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..files import write_text
from .records import Record

CSV_NAME, PAGE_NAME = "report.csv", "report.html"
_BEFORE, _AFTER = ("input", "status", "seconds", "output"), ("warnings", "error")
_STYLE = (
    "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left;vertical-align:top}.failed{background:#fdd}"
)


def write_reports(
    folder: Path, records: Sequence[Record], details: Callable[[Record], Mapping[str, float]] = lambda record: {}
) -> None:
    """Write report.csv (one line per case, one column per figure and detail) and report.html (without the details).

    Args:
        folder: where to.
        records: of all cases.
        details: a record's further columns.

    Raises:
        WriteError: the folder cannot be written.
    """
    write_text(folder / CSV_NAME, _csv(records, details), overwrite=True)
    write_text(folder / PAGE_NAME, _page(records), overwrite=True)


def _figures(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.figures))


def _cells(record: Record, figures: Sequence[str]) -> list[str]:
    shown = [record.figures.get(name) for name in figures]
    return [
        record.input,
        record.status,
        f"{record.seconds:.1f}",
        record.output,
        *("" if value is None else f"{value:.7g}" for value in shown),
        " | ".join(record.warnings),
        record.error.get("message", ""),
    ]


def _csv(records: Sequence[Record], details: Callable[[Record], Mapping[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures, further = _figures(records), [details(record) for record in records]
    names = list(dict.fromkeys(name for found in further for name in found))
    writer.writerow([*_BEFORE, *figures, *_AFTER, *names])
    for record, found in zip(records, further, strict=True):
        writer.writerow([*_cells(record, figures), *(f"{found[name]:.7g}" if name in found else "" for name in names)])
    return text.getvalue()


def _page(records: Sequence[Record]) -> str:
    failed = sum(record.failed for record in records)
    figures = _figures(records)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (*_BEFORE, *figures, *_AFTER))
    rows = "\n".join(
        f'<tr class="{record.status}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(record, figures))
        + "</tr>"
        for record in records
    )
    return (
        f"<!DOCTYPE html>\n<html lang='en'><meta charset='utf-8'><title>MedAI report</title><style>{_STYLE}</style>\n"
        f"<h1>MedAI report</h1>\n<p>{len(records)} cases, {failed} failed. Research only.</p>\n"
        f"<table>\n<tr>{head}</tr>\n{rows}\n</table>\n</html>\n"
    )
