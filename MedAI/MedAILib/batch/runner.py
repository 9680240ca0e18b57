"""Work through many inputs: go on after a bad one, resume where an earlier run stopped, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import segment_file
from ..errors import Cancelled, MedAIError, UsageError, WriteError
from ..files.formats import WRITABLE
from ..models import ModelCard
from ..pipeline.request import Request
from .cases import Case, find_cases, fingerprint
from .lock import only_run
from .records import DONE, FAILED, UNFINISHED, Record, Records
from .report import volumes_rows, write_reports

if TYPE_CHECKING:
    from ..worker import Event

FORMATS = tuple(suffix[1:] for suffix in WRITABLE)
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


@dataclass(frozen=True)
class BatchOptions:
    """How to work through the cases.

    Attributes:
        device: see :func:`MedAILib.api.segment`.
        suffix: format of the results, one of :data:`FORMATS`.
        overwrite: do all cases again and replace what is there.
        statistics: path of one volumes table of all cases, or None.
    """

    device: str = "auto"
    suffix: str = FORMATS[0]
    overwrite: bool = False
    statistics: str | Path | None = None

    def __post_init__(self) -> None:
        if self.suffix not in FORMATS:
            raise UsageError(f"The format must be one of {', '.join(FORMATS)}, not {self.suffix!r}.")


def run(
    inputs: Sequence[str | Path],
    folder: str | Path,
    request: Request,
    options: BatchOptions = BatchOptions(),
    watch: Callable[[int, int, Case], Callable[[Event], None] | None] = lambda number, count, case: None,
) -> BatchResult:
    """Segment all inputs into ``folder``.

    A case is skipped if an earlier run did it with the same model and parameters, its input has not changed and its
    result is still there. The report is on disk after every case, also when the run is interrupted.

    Args:
        inputs: files and folders, see :func:`find_cases`.
        folder: output folder, made if needed.
        request: model and parameters.
        options: see :class:`BatchOptions`.
        watch: told (number, count, case) before each case; gives the receiver of its progress events.

    Returns:
        The records of all cases, failed ones too.

    Raises:
        ReadError: an input folder or an earlier report cannot be read.
        UsageError: another run is working in the output folder, or it is an input folder.
        ModelError: the model cannot be used.
        WriteError, OutputExistsError: the output folder or the report cannot be written.
        Cancelled: interrupted; the cases done so far are kept.
    """
    card = request.card()
    target = Path(folder)
    cases = find_cases(inputs, leave_out=target)
    if options.statistics is not None:
        _check_table(Path(options.statistics), options.overwrite)
    _make_folder(target)
    with only_run(target):
        records = Records(target, options.overwrite)
        job = _job(card, request)
        skipped = 0
        try:
            for number, case in enumerate(cases, start=1):
                earlier = records.get(case.path)
                if earlier and not options.overwrite and _is_done(earlier, case, job, target):
                    skipped += 1
                    continue
                output = case.name.with_name(f"{case.name.name}.{options.suffix}")
                # A run that was killed may have left this very file without a record of it.
                ours = earlier is not None and earlier.status == UNFINISHED and earlier.output == output.as_posix()
                records.put(Record(str(case.path), UNFINISHED, output.as_posix(), job=job))
                watcher = watch(number, len(cases), case)
                records.put(_do(case, output, request, job, target, options.device, options.overwrite or ours, watcher))
        finally:
            found = records.of([case.path for case in cases])
            if found:
                write_reports(target, found)
        if options.statistics is not None:
            from ..files import write_table

            write_table(options.statistics, volumes_rows(found), overwrite=True)
        return BatchResult(target, tuple(found), skipped)


def segment_many(
    inputs: Sequence[str | Path],
    folder: str | Path,
    model: str | None = None,
    progress: bool = True,
    modality: str | None = None,
    force: bool = False,
    mode: str | None = None,
    **options: Any,
) -> BatchResult:
    """Segment many files and folders into ``folder``; see :func:`run` and :class:`BatchOptions` for the rest.

    Example:
        >>> import MedAILib
        >>> result = MedAILib.segment_many(["study"], "results", suffix="nii.gz")  # doctest: +SKIP
        >>> result.failed  # doctest: +SKIP
    """
    request = Request(model, modality, force, mode)
    return run(inputs, folder, request, BatchOptions(**options), watch_on_console(progress))


def watch_on_console(show: bool) -> Callable[[int, int, Case], Callable[[Event], None] | None]:
    """A ``watch`` for :func:`run` that shows number and name of the case before its progress."""
    from ..progress_line import ProgressLine

    return lambda number, count, case: ProgressLine(show, f"[{number}/{count}] {case.name}: ").event


def _job(card: ModelCard, request: Request) -> dict[str, Any]:
    asked = asdict(request)
    asked.pop("model")
    return {"model": card.name, "version": card.version, "sha256": card.sha256, **asked}


def _is_done(record: Record, case: Case, job: dict[str, Any], folder: Path) -> bool:
    if record.status != DONE or dict(record.job) != job or not (folder / record.output).is_file():
        return False
    try:
        now = fingerprint(case.path)
    except MedAIError:
        return False
    return now["sha256"] == record.fingerprint.get("sha256")


def _do(
    case: Case,
    output: Path,
    request: Request,
    job: dict[str, Any],
    folder: Path,
    device: str,
    overwrite: bool,
    on_event: Callable[[Event], None] | None,
) -> Record:
    """One case; all failures but a cancel become its record, also those that nobody foresaw."""
    began = time.monotonic()
    try:
        before = fingerprint(case.path)
        _make_folder((folder / output).parent)
        result = segment_file(
            case.path, request, folder / output, device=device, overwrite=overwrite, on_event=on_event
        )
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001  # one odd file must not end a run over hundreds
        seconds = round(time.monotonic() - began, 2)
        return Record(str(case.path), FAILED, seconds=seconds, job=job, error=_failure(error))
    return Record(
        input=str(case.path),
        status=DONE,
        output=output.as_posix(),
        seconds=round(time.monotonic() - began, 2),
        job=job,
        fingerprint=before,
        warnings=tuple(warned.message for warned in result.summary.warnings),
        total_ml=round(result.summary.total_ml, 3),
        rows=tuple(result.summary.rows()),
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


def _check_table(path: Path, overwrite: bool) -> None:
    from ..files import check_writable
    from ..files.tables import TABLE_SUFFIXES

    check_writable(path, overwrite, TABLE_SUFFIXES)
