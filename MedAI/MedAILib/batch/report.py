"""The readable forms of a batch's report: a table for programs and a page for people."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from pathlib import Path

from ..files import write_text
from .records import DONE, Record

CSV_NAME, PAGE_NAME = "report.csv", "report.html"
_HEAD = ("input", "status", "seconds", "output", "total_ml", "warnings", "error")
_STYLE = (
    "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left;vertical-align:top}.failed{background:#fdd}"
)


def write_reports(folder: Path, records: Sequence[Record]) -> None:
    """Write report.csv (one line per case, one column per structure) and report.html.

    Raises:
        WriteError: the folder cannot be written.
    """
    names = list(dict.fromkeys(row["Segment"] for record in records for row in record.rows))
    write_text(folder / CSV_NAME, _csv(records, names), overwrite=True)
    write_text(folder / PAGE_NAME, _page(records), overwrite=True)


def volumes_rows(records: Sequence[Record]) -> list[dict[str, object]]:
    """All cases' volumes as one long table."""
    return [{"input": record.input, **row} for record in records for row in record.rows]


def _cells(record: Record) -> list[str]:
    return [
        record.input,
        record.status,
        f"{record.seconds:.1f}",
        record.output,
        f"{record.total_ml:.2f}" if record.status == DONE else "",
        " | ".join(record.warnings),
        record.error.get("message", ""),
    ]


def _csv(records: Sequence[Record], names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_HEAD, *(f"{name} (ml)" for name in names)])
    for record in records:
        volumes = {row["Segment"]: row["Volume [ml]"] for row in record.rows}
        writer.writerow([*_cells(record), *(f"{volumes[name]:.7g}" if name in volumes else "" for name in names)])
    return text.getvalue()


def _page(records: Sequence[Record]) -> str:
    failed = sum(record.failed for record in records)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in _HEAD)
    rows = "\n".join(
        f'<tr class="{record.status}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(record)) + "</tr>"
        for record in records
    )
    return (
        f"<!DOCTYPE html>\n<html lang='en'><meta charset='utf-8'><title>MedAI report</title><style>{_STYLE}</style>\n"
        f"<h1>MedAI report</h1>\n<p>{len(records)} cases, {failed} failed. Research only.</p>\n"
        f"<table>\n<tr>{head}</tr>\n{rows}\n</table>\n</html>\n"
    )
