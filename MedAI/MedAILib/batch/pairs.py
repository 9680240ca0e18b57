"""Register many pairs, named in a table."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import register_files
from ..errors import ReadError, UsageError
from ..files.formats import stem_of
from ..pairs import PairSources, PairTargets
from ..registration.request import RegistrationRequest
from .cases import absolute, fingerprint
from .records import Record
from .runner import BatchResult, watch_on_console, work_through
from .work import Outcome, Watch

if TYPE_CHECKING:
    from ..registration.summary import Change, RegistrationSummary
    from ..worker import Event

NEEDED = ("fixed", "moving")
COLUMNS = (
    *NEEDED,
    "fixed_mask",
    "moving_mask",
    "fixed_labels",
    "moving_labels",
    "fixed_landmarks",
    "moving_landmarks",
    "initial",
    "name",
)
"""Of the table; all but the first two may be missing, or empty in a row. Paths are relative to the table's folder."""


@dataclass(frozen=True)
class PairCase:
    """One line of the table.

    Attributes:
        files: column to absolute path, without the empty ones.
        name: names its results; no other line has the same.
    """

    files: Mapping[str, Path]
    name: Path

    @property
    def key(self) -> str:
        return f"{self.name}: {self.files['moving']} to {self.files['fixed']}"

    def fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for column, path in sorted(self.files.items()):
            digest.update(f"{column} {fingerprint(path)['sha256']}\n".encode())
        return {"sha256": digest.hexdigest()}

    def sources(self) -> PairSources:
        """The files as :func:`MedAILib.api.register_files` takes them."""
        given = {column.replace("landmarks", "points"): path for column, path in self.files.items()}
        return PairSources(**given)


def read_pairs(table: str | Path) -> list[PairCase]:
    """The lines of a table of pairs.

    Args:
        table: CSV (comma, semicolon or tab) with a header line of :data:`COLUMNS`.

    Raises:
        ReadError: the table cannot be read or is empty.
        UsageError: a column is missing or unknown, a line lacks an image, or a name is used twice or leads elsewhere.
    """
    table = Path(table)
    rows = _rows(table)
    folder = absolute(table).parent
    found: list[PairCase] = []
    for number, row in rows:
        for column in NEEDED:
            if not row.get(column):
                raise UsageError(f"{table}, line {number}: the column '{column}' is empty.")
        files = {column: absolute(folder / value) for column, value in row.items() if value and column != "name"}
        taken = {str(case.name).lower() for case in found}
        name = row.get("name", "")
        if name.lower() in taken:
            raise UsageError(f"{table}, line {number}: the name '{name}' is used twice; each line needs its own.")
        if not name:
            name = f"{stem_of(files['moving'])}_to_{stem_of(files['fixed'])}"
            name = name if name.lower() not in taken else f"{name}_line{number}"
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise UsageError(f"{table}, line {number}: the name '{name}' leads out of the output folder.")
        found.append(PairCase(files, path))
    return found


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each line that is not empty."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ReadError(f"{table}: the table of pairs cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise ReadError(f"{table}: the table of pairs is no text in UTF-8. Save it as CSV in UTF-8.") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    if len(lines) < 2:
        raise ReadError(f"{table}: the table of pairs has no line below its header ({', '.join(COLUMNS)}).")
    columns = lines[0][1]
    wrong = [f"lacks the column '{name}'" for name in NEEDED if name not in columns]
    wrong += [f"has the unknown column '{name}'" for name in columns if name not in COLUMNS]
    wrong += [f"has the column '{name}' twice" for name, count in Counter(columns).items() if count > 1]
    if wrong:
        raise UsageError(f"{table}: the table {wrong[0]}. Its columns may be {', '.join(COLUMNS)}.")
    for number, cells in lines[1:]:
        if len(cells) > len(columns):
            raise UsageError(
                f"{table}, line {number}: it has more cells than the header. Put names with commas in quotes."
            )
    return [(number, dict(zip(columns, cells, strict=False))) for number, cells in lines[1:]]


@dataclass(frozen=True)
class PairOptions:
    """How to work through the pairs.

    Attributes:
        device: see :func:`MedAILib.api.register`.
        overwrite: do all pairs again and replace what is there.
    """

    device: str = "auto"
    overwrite: bool = False


class Registering:
    """The work of :func:`run_pairs`: see :class:`MedAILib.batch.work.Work`."""

    def __init__(self, request: RegistrationRequest, options: PairOptions) -> None:
        from .. import __version__

        asked = asdict(request)
        asked.pop("outputs")
        self.job: Mapping[str, Any] = {"version": __version__, **asked}
        self._request, self._options = request, options

    def outputs(self, unit: PairCase) -> list[Path]:
        names = ["warped.nii.gz", "transform.h5"]
        if "moving_labels" in unit.files:
            names.append("warped_labels.nii.gz")
        return [unit.name / name for name in names]

    def do(
        self, unit: PairCase, outputs: list[Path], overwrite: bool, on_event: Callable[[Event], None] | None
    ) -> Outcome:
        labels = outputs[2] if len(outputs) > 2 else None
        targets = PairTargets(outputs[0], outputs[1], warped_labels=labels)
        result = register_files(unit.sources(), self._request, targets, self._options.device, overwrite, on_event)
        summary = result.summary
        return Outcome(tuple(warned.message for warned in summary.warnings), _figures(summary), tuple(summary.rows()))

    def details(self, record: Record) -> Mapping[str, float]:
        found = {}
        for row in record.rows:
            if row["Measure"].startswith(("Dice: ", "HD95: ")) and row["After"] is not None:
                found[f"{row['Measure']} (after)"] = row["After"]
        return found


def _figures(summary: RegistrationSummary) -> dict[str, float | None]:
    changes: dict[str, Change | None] = {
        "similarity": summary.similarity,
        "dice": summary.dice,
        "hd95_mm": summary.hd95_mm,
        "landmark_mm": summary.landmark_mm,
    }
    figures: dict[str, float | None] = {}
    for name, change in changes.items():
        if change is not None:
            figures |= {f"{name}_before": _rounded(change.before), f"{name}_after": _rounded(change.after)}
    return {**figures, "folds_percent": _rounded(summary.folds_percent)}


def _rounded(value: float) -> float | None:
    return round(value, 5) if value == value else None


def run_pairs(
    table: str | Path,
    folder: str | Path,
    request: RegistrationRequest,
    options: PairOptions = PairOptions(),
    watch: Watch[PairCase] = lambda number, count, case: None,
) -> BatchResult:
    """Register all pairs of a table, as :func:`MedAILib.batch.runner.work_through` does.

    Each pair gets a folder of its name with ``warped.nii.gz``, ``transform.h5``, and ``warped_labels.nii.gz`` if it has
    moving labels.

    Raises:
        ReadError, UsageError: the table cannot be used, see :func:`read_pairs`; another run works in the folder.
        WriteError, OutputExistsError: the output folder or the report cannot be written.
        Cancelled: interrupted; the pairs done so far are kept.
    """
    return work_through(read_pairs(table), Registering(request, options), Path(folder), options.overwrite, watch)


def register_many(
    table: str | Path,
    folder: str | Path,
    preset: str = "default",
    kind: str = "deformable",
    contrast: str = "auto",
    progress: bool = True,
    refine: bool = False,
    start: str = "auto",
    regularization: str = "diffusion",
    diffeomorphic: bool = False,
    **options: Any,
) -> BatchResult:
    """Register all pairs of a CSV table; see :func:`run_pairs` and :class:`PairOptions` for the rest.

    Example:
        >>> import MedAILib
        >>> result = MedAILib.register_many("pairs.csv", "results", preset="fast")  # doctest: +SKIP
        >>> result.failed  # doctest: +SKIP
    """
    request = RegistrationRequest(
        kind, preset, contrast, start, refine, regularization=regularization, diffeomorphic=diffeomorphic
    )
    return run_pairs(table, folder, request, PairOptions(**options), watch_on_console(progress))
