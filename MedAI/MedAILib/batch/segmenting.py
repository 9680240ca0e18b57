"""Segment many files and folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import segment_file
from ..files import check_writable, write_table
from ..files.formats import WRITABLE
from ..files.tables import TABLE_SUFFIXES
from ..models import list_models
from ..pipeline.request import Request
from .cases import Case, check_format, find_cases
from .records import Record
from .runner import BatchResult, watch_on_console, work_through
from .work import Outcome, Watch

if TYPE_CHECKING:
    from ..worker import Event

FORMATS = tuple(suffix[1:] for suffix in WRITABLE)


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
        check_format(self.suffix, FORMATS)


class Segmenting:
    """The work of :func:`run`: see :class:`MedAILib.batch.work.Work`.

    Raises:
        ModelError: the model cannot be used.
    """

    def __init__(self, request: Request, options: BatchOptions) -> None:
        card = request.card()
        asked = asdict(request)
        asked.pop("model")
        self.job: Mapping[str, Any] = {
            "model": card.name,
            "version": card.version,
            "sha256": card.sha256,
            **({"finder": _sha256(card.places.model)} if card.places else {}),
            **asked,
        }
        self._request, self._options = request, options

    def outputs(self, unit: Case) -> list[Path]:
        return [unit.result(self._options.suffix)]

    def do(self, unit: Case, outputs: list[Path], overwrite: bool, on_event: Callable[[Event], None] | None) -> Outcome:
        result = segment_file(
            unit.path, self._request, outputs[0], device=self._options.device, overwrite=overwrite, on_event=on_event
        )
        return Outcome(
            warnings=tuple(warned.message for warned in result.summary.warnings),
            figures={"total_ml": round(result.summary.total_ml, 3)},
            rows=tuple(result.summary.rows()),
        )

    def details(self, record: Record) -> Mapping[str, float]:
        return {f"{row['Segment']} (ml)": row["Volume [ml]"] for row in record.rows}


def _sha256(name: str) -> str | None:
    """Of a model; None if it cannot be used, which matters only where it is needed."""
    return next((card.sha256 for card in list_models() if card.name == name), None)


def run(
    inputs: Sequence[str | Path],
    folder: str | Path,
    request: Request,
    options: BatchOptions = BatchOptions(),
    watch: Watch[Case] = lambda number, count, case: None,
) -> BatchResult:
    """Segment all inputs into ``folder``, as :func:`MedAILib.batch.runner.work_through` does.

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
    work = Segmenting(request, options)
    target = Path(folder)
    cases = find_cases(inputs, leave_out=target)
    if options.statistics is not None:
        check_writable(options.statistics, options.overwrite, TABLE_SUFFIXES)
    result = work_through(cases, work, target, options.overwrite, watch)
    if options.statistics is not None:
        rows = [{"input": record.input, **row} for record in result.records for row in record.rows]
        write_table(options.statistics, rows, overwrite=True)
    return result


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
