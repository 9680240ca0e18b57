"""Sharpen many files and folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import superresolve_files
from ..files.formats import WRITABLE
from ..scans import ScanSources, ScanTargets
from ..superres.request import SuperresRequest
from .cases import Case, check_format, find_cases
from .records import Record
from .runner import BatchResult, watch_on_console, work_through
from .work import Outcome, Watch

if TYPE_CHECKING:
    from ..worker import Event

FORMATS = tuple(suffix[1:] for suffix in WRITABLE if suffix != ".seg.nrrd")


@dataclass(frozen=True)
class VolumeOptions:
    """How to work through the cases.

    Attributes:
        device: see :func:`MedAILib.api.superresolve`.
        suffix: format of the results, one of :data:`FORMATS`.
        overwrite: do all cases again and replace what is there.
    """

    device: str = "auto"
    suffix: str = FORMATS[0]
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_format(self.suffix, FORMATS)


class Superresolving:
    """The work of :func:`superresolve_all`: see :class:`MedAILib.batch.work.Work`."""

    def __init__(self, request: SuperresRequest, options: VolumeOptions) -> None:
        from .. import __version__

        asked = asdict(request)
        asked.pop("outputs")
        self.job: Mapping[str, Any] = {"task": "superres", "version": __version__, **asked}
        self._request, self._options = request, options

    def outputs(self, unit: Case) -> list[Path]:
        return [unit.result(self._options.suffix)]

    def do(self, unit: Case, outputs: list[Path], overwrite: bool, on_event: Callable[[Event], None] | None) -> Outcome:
        targets = ScanTargets(outputs[0])
        result = superresolve_files(
            ScanSources(unit.path), self._request, targets, self._options.device, overwrite, on_event
        )
        summary = result.summary
        figures = {
            "thickness_mm": summary.thickness,
            "increment_mm": summary.increment,
            "consistency_db": summary.consistency_db,
            "cubic_consistency_db": summary.cubic_consistency_db,
        }
        rounded = {name: None if value is None else round(value, 4) for name, value in figures.items()}
        return Outcome(tuple(warned.message for warned in summary.warnings), rounded, tuple(summary.rows()))

    def details(self, record: Record) -> Mapping[str, float]:
        return {}


def superresolve_all(
    inputs: Sequence[str | Path],
    folder: str | Path,
    request: SuperresRequest,
    options: VolumeOptions = VolumeOptions(),
    watch: Watch[Case] = lambda number, count, case: None,
) -> BatchResult:
    """Sharpen all inputs into ``folder``, as :func:`MedAILib.batch.runner.work_through` does.

    Args:
        inputs: files and folders, see :func:`MedAILib.batch.cases.find_cases`.
        folder: output folder, made if needed.
        request: method and parameters.
        options: see :class:`VolumeOptions`.
        watch: told (number, count, case) before each case; gives the receiver of its progress events.

    Raises:
        ReadError: an input folder or an earlier report cannot be read.
        UsageError: another run is working in the output folder, or it is an input folder.
        WriteError, OutputExistsError: the output folder or the report cannot be written.
        Cancelled: interrupted; the cases done so far are kept.
    """
    target = Path(folder)
    cases = find_cases(inputs, leave_out=target)
    return work_through(cases, Superresolving(request, options), target, options.overwrite, watch)


def superresolve_many(
    inputs: Sequence[str | Path],
    folder: str | Path,
    progress: bool = True,
    device: str = "auto",
    suffix: str = FORMATS[0],
    overwrite: bool = False,
    **asked: Any,
) -> BatchResult:
    """Sharpen many files and folders into ``folder``; see :func:`superresolve_all`.

    Args:
        inputs: files and folders.
        folder: output folder, made if needed.
        progress: show stage, percentage and remaining time on the error stream.
        device, suffix, overwrite: see :class:`VolumeOptions`.
        asked: see :class:`MedAILib.superres.request.SuperresRequest`.

    Example:
        >>> import MedAILib
        >>> result = MedAILib.superresolve_many(["study"], "results", method="tikhonov")  # doctest: +SKIP
        >>> result.failed  # doctest: +SKIP
    """
    options = VolumeOptions(device, suffix, overwrite)
    return superresolve_all(inputs, folder, SuperresRequest(**asked), options, watch_on_console(progress))
