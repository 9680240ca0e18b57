"""Work through many inputs: go on after a bad one, resume where an earlier run stopped, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, MedAIError, WriteError
from .lock import only_run
from .records import DONE, FAILED, UNFINISHED, Record, Records
from .report import write_reports
from .work import Unit, UnitT, Work

if TYPE_CHECKING:
    from ..worker import Event
    from .work import Watch

SOME_FAILED = 20
"""Exit status of a batch of which at least one case failed."""


@dataclass(frozen=True)
class BatchResult:
    """How a batch went.

    Attributes:
        folder: with the results and report.csv, report.html, report.json.
        records: one per input.
        skipped: how many were done by an earlier run.
    """

    folder: Path
    records: tuple[Record, ...]
    skipped: int

    @property
    def failed(self) -> int:
        return sum(record.failed for record in self.records)

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "cases": [asdict(record) for record in self.records],
            "failed": self.failed,
            "skipped": self.skipped,
        }


def work_through(
    units: Sequence[UnitT], work: Work[UnitT], folder: Path, overwrite: bool, watch: Watch[UnitT]
) -> BatchResult:
    """Do the work with all units.

    A unit is skipped if an earlier run did it with the same parameters, its input has not changed and its results are
    still there. The report is on disk after every unit, also when the run is interrupted.

    Args:
        units: what to work through, in this order.
        work: what to do with each.
        folder: output folder, made if needed.
        overwrite: do all again and replace what is there.
        watch: told (number, count, unit) before each; gives the receiver of its progress events.

    Returns:
        The records of all units, failed ones too.

    Raises:
        ReadError: an earlier report cannot be read.
        UsageError: another run is working in the output folder.
        WriteError, OutputExistsError: the output folder or the report cannot be written.
        Cancelled: interrupted; what was done so far is kept.
    """
    _make_folder(folder)
    with only_run(folder):
        records = Records(folder, overwrite)
        skipped = 0
        try:
            for number, unit in enumerate(units, start=1):
                earlier = records.get(unit.key)
                if earlier and not overwrite and _is_done(earlier, unit, work, folder):
                    skipped += 1
                    continue
                output = work.outputs(unit)[0].as_posix()
                # A run that was killed may have left this very file without a record of it.
                ours = earlier is not None and earlier.status == UNFINISHED and earlier.output == output
                records.put(Record(unit.key, UNFINISHED, output, job=work.job))
                records.put(_do(unit, work, folder, overwrite or ours, watch(number, len(units), unit)))
        finally:
            found = records.of([unit.key for unit in units])
            if found:
                write_reports(folder, found, work.details)
        return BatchResult(folder, tuple(found), skipped)


def watch_on_console(show: bool) -> Callable[[int, int, Unit], Callable[[Event], None] | None]:
    """A ``watch`` that shows number and name of the unit before its progress."""
    from ..progress_line import ProgressLine

    return lambda number, count, unit: ProgressLine(show, f"[{number}/{count}] {unit.name}: ").event


def _is_done(record: Record, unit: UnitT, work: Work[UnitT], folder: Path) -> bool:
    outputs = work.outputs(unit)
    as_before = record.status == DONE and dict(record.job) == work.job and record.output == outputs[0].as_posix()
    if not as_before or not all((folder / output).is_file() for output in outputs):
        return False
    try:
        now = unit.fingerprint()
    except MedAIError:
        return False
    return now["sha256"] == record.fingerprint.get("sha256")


def _do(
    unit: UnitT, work: Work[UnitT], folder: Path, overwrite: bool, on_event: Callable[[Event], None] | None
) -> Record:
    """One unit; all failures but a cancel become its record, also those that nobody foresaw."""
    began = time.monotonic()
    outputs = work.outputs(unit)
    try:
        before = unit.fingerprint()
        for output in outputs:
            _make_folder((folder / output).parent)
        outcome = work.do(unit, [folder / output for output in outputs], overwrite, on_event)
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001  # one odd file must not end a run over hundreds
        seconds = round(time.monotonic() - began, 2)
        return Record(unit.key, FAILED, seconds=seconds, job=work.job, error=_failure(error))
    return Record(
        input=unit.key,
        status=DONE,
        output=outputs[0].as_posix(),
        seconds=round(time.monotonic() - began, 2),
        job=work.job,
        fingerprint=before,
        warnings=outcome.warnings,
        figures=outcome.figures,
        rows=outcome.rows,
    )


def _failure(error: Exception) -> dict[str, str]:
    sentence = str(error).partition("\n")[0]
    if isinstance(error, MedAIError):
        return {"code": error.code, "message": sentence}
    return {"code": "unexpected", "message": f"An unexpected error happened ({type(error).__name__}: {sentence})."}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{folder}: the output folder cannot be made ({error.strerror or error}).") from error
