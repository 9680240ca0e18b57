"""What a batch remembers of each case; the same file is the report and what a later run resumes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OutputExistsError, ReadError
from ..files import write_text

REPORT_NAME = "report.json"
_KIND = "MedAI batch report"
_VERSION = 2
DONE, FAILED, UNFINISHED = "done", "failed", "unfinished"


@dataclass(frozen=True)
class Record:
    """The outcome of one case.

    Attributes:
        input: absolute path, or what else names the case.
        status: "done", "failed", or "unfinished" while it is worked on and after an interrupt.
        output: path of the (main) result, relative to the output folder; empty if it failed.
        seconds: wall clock.
        job: the parameters, also the model and its SHA-256; a case done with another job is done again.
        fingerprint: of the input, see :func:`MedAILib.batch.cases.fingerprint`.
        warnings: sentences.
        figures: for the report's own columns, e.g. {"total_ml": 1200.0}; None is a figure that could not be taken.
        rows: the case's table.
        error: {"code", "message"} of a failed case.
    """

    input: str
    status: str
    output: str = ""
    seconds: float = 0.0
    job: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ()
    error: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.status == FAILED


class Records:
    """The records of an output folder, kept on disk after each change.

    Args:
        folder: the output folder; an earlier report in it is read.
        overwrite: start anew where a file named report.json is no report of ours.

    Raises:
        OutputExistsError: there is such a file and overwrite is False.
        ReadError: the earlier report cannot be read.
    """

    def __init__(self, folder: Path, overwrite: bool = False) -> None:
        self.folder = folder
        self.path = folder / REPORT_NAME
        self._records: dict[str, Record] = {}
        if self.path.exists():
            self._records = _read(self.path, overwrite)

    def get(self, key: str) -> Record | None:
        """The record of an input, if there is one."""
        return self._records.get(key)

    def put(self, record: Record) -> None:
        """Keep a record and save all; raises WriteError."""
        self._records[record.input] = record
        content = {"kind": _KIND, "version": _VERSION, "cases": [asdict(one) for one in self._records.values()]}
        write_text(self.path, json.dumps(content, indent=1), overwrite=True)

    def of(self, keys: list[str]) -> list[Record]:
        """The records of these inputs, in their order; inputs not reached are left out."""
        found = [self.get(key) for key in keys]
        return [record for record in found if record is not None]


def _read(path: Path, overwrite: bool) -> dict[str, Record]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReadError(f"{path}: the earlier report cannot be read ({error.strerror or error}).") from error
    try:
        data = json.loads(content)
        if data["kind"] != _KIND:
            raise ValueError(data["kind"])
        records = [_record(case) for case in data["cases"]]
    except (ValueError, KeyError, TypeError) as error:
        if overwrite:
            return {}
        raise OutputExistsError(
            f"{path}: is there already and is no report of a MedAI batch. Choose another output "
            "folder, or use --overwrite."
        ) from error
    return {record.input: record for record in records}


def _record(case: dict[str, Any]) -> Record:
    if "total_ml" in case:  # version 1, which knew segmentations only
        case["figures"] = {"total_ml": case.pop("total_ml")}
    return Record(**{**case, "warnings": tuple(case["warnings"]), "rows": tuple(case["rows"])})
