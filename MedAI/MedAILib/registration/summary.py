"""What a registration tells about itself: quality figures, warnings, provenance, in one JSON form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..json_values import all_finite
from ..worker.events import Warned

LOCAL_CORRELATION, MUTUAL_INFORMATION = "local correlation", "mutual information"
MEASURES = {"same": LOCAL_CORRELATION, "different": MUTUAL_INFORMATION}
"""Contrast to the similarity that says whether a result is better than its start."""


@dataclass(frozen=True)
class Change:
    """A figure before and after the registration; nan where it cannot be measured (e.g. HD95 of an emptied label)."""

    before: float
    after: float


@dataclass(frozen=True)
class StructureOverlap:
    """How well one label fits.

    Attributes:
        value: its number in both label maps.
        name: what the user calls it.
        dice: 0 to 1.
        hd95_mm: 95th percentile of the surface distances, the larger of both directions.
    """

    value: int
    name: str
    dice: Change
    hd95_mm: Change


@dataclass(frozen=True)
class RegistrationSummary:
    """The account of one registration. "Before" is at the initial transform, without one where the headers put them.

    Attributes:
        fixed, moving: names of the images.
        kind, preset, start: as asked for.
        contrast: "same" or "different", as used.
        contrast_reason: a sentence that says who decided so, and why.
        device: where it was computed, e.g. "cpu" or "cuda:0".
        local_correlation: mean squared local correlation over the fixed foreground (mask), 0 to 1.
        mutual_information: of the same voxels.
        structures: one per label that both label maps hold; empty without them.
        dice, hd95_mm: mean over the structures, None without label maps.
        landmarks_mm: distance of each pair of landmarks; empty without them.
        landmark_mm: their mean, None without landmarks.
        folds_percent: voxels with a Jacobian determinant of 0 or below.
        sd_log_jacobian: standard deviation of its logarithm.
        jacobian_min, jacobian_max: its range.
        inverse_mean_mm, inverse_max_mm: how far transform and inverse, one after the other, miss the starting point.
        kept_start: the result was worse than the start, which was kept instead (there is a warning then).
        warnings: in the order they arose.
        timings: stage to seconds.
    """

    fixed: str
    moving: str
    kind: str
    preset: str
    start: str
    contrast: str
    contrast_reason: str
    device: str
    local_correlation: Change
    mutual_information: Change
    structures: tuple[StructureOverlap, ...] = ()
    dice: Change | None = None
    hd95_mm: Change | None = None
    landmarks_mm: tuple[Change, ...] = ()
    landmark_mm: Change | None = None
    folds_percent: float = 0.0
    sd_log_jacobian: float = 0.0
    jacobian_min: float = 1.0
    jacobian_max: float = 1.0
    inverse_mean_mm: float = 0.0
    inverse_max_mm: float = 0.0
    kept_start: bool = False
    warnings: tuple[Warned, ...] = ()
    timings: Mapping[str, float] | None = None

    @property
    def seconds(self) -> float:
        """Of the whole run, without starting the worker."""
        return float(sum((self.timings or {}).values()))

    @property
    def measure(self) -> str:
        """Name of the similarity that decides whether the result is better than the start."""
        return MEASURES[self.contrast]

    @property
    def similarity(self) -> Change:
        """That similarity."""
        return self.local_correlation if self.contrast == "same" else self.mutual_information

    @property
    def deformable(self) -> bool:
        return self.kind == "deformable"

    @property
    def provenance(self) -> dict[str, str]:
        """Flat text pairs for file headers and node attributes."""
        from .. import __version__

        return {
            "MedAI.Version": __version__,
            "MedAI.Registration": f"kind={self.kind}, preset={self.preset}, contrast={self.contrast}, "
            f"start={self.start}",
            "MedAI.Fixed": self.fixed,
            "MedAI.Moving": self.moving,
            "MedAI.Device": self.device,
            "MedAI.Seconds": f"{self.seconds:.1f}",
        }

    def rows(self) -> list[dict[str, Any]]:
        """The quality table: {"Measure", "Before", "After", "Unit"}, None where there is no figure."""
        named: list[tuple[str, Change | None, str]] = [
            ("Local correlation", self.local_correlation, ""),
            ("Mutual information", self.mutual_information, ""),
            ("Dice (mean)", self.dice, ""),
            ("HD95 (mean)", self.hd95_mm, "mm"),
            ("Landmark error (mean)", self.landmark_mm, "mm"),
        ]
        rows = [_row(name, change.before, change.after, unit) for name, change, unit in named if change is not None]
        rows += [
            _row("Folds", None, self.folds_percent, "%"),
            _row("SD of log Jacobian", None, self.sd_log_jacobian, ""),
            _row("Jacobian (least)", None, self.jacobian_min, ""),
            _row("Jacobian (greatest)", None, self.jacobian_max, ""),
            _row("Inverse consistency (mean)", None, self.inverse_mean_mm, "mm"),
            _row("Inverse consistency (greatest)", None, self.inverse_max_mm, "mm"),
        ]
        for one in self.structures:
            rows.append(_row(f"Dice: {one.name}", one.dice.before, one.dice.after, ""))
            rows.append(_row(f"HD95: {one.name}", one.hd95_mm.before, one.hd95_mm.after, "mm"))
        for number, change in enumerate(self.landmarks_mm, start=1):
            rows.append(_row(f"Landmark {number}", change.before, change.after, "mm"))
        return rows

    def text(self) -> str:
        """A few lines for people."""
        lines = [
            f"{self.moving} to {self.fixed}: {self.kind}, {self.preset}, in {self.seconds:.1f} s on {self.device}",
            f"Contrast: {self.contrast}. {self.contrast_reason}",
            f"Similarity ({self.measure}): {_change(self.similarity, 3)}",
        ]
        if self.dice is not None:
            lines.append(f"Dice, mean of {len(self.structures)} structures: {_change(self.dice, 3)}")
        if self.hd95_mm is not None:
            lines.append(f"HD95, mean: {_change(self.hd95_mm, 2, ' mm')}")
        if self.landmark_mm is not None:
            lines.append(f"Landmark error, mean of {len(self.landmarks_mm)}: {_change(self.landmark_mm, 2, ' mm')}")
        if self.deformable:
            lines.append(
                f"Folds: {self.folds_percent:.4f} %; volume factors {self.jacobian_min:.2f} to {self.jacobian_max:.2f} "
                f"(SD of log {self.sd_log_jacobian:.3f})"
            )
            lines.append(
                f"Inverse: off by {self.inverse_mean_mm:.3f} mm in the mean, {self.inverse_max_mm:.2f} mm at most"
            )
        lines += [f"Warning: {warned.message}" for warned in self.warnings]
        return "\n".join([*lines, "For research only."])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` reads them back."""
        data = all_finite(asdict(self))
        return {**data, "similarity": all_finite(asdict(self.similarity)), "provenance": self.provenance}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RegistrationSummary:
        """The summary that :meth:`to_json` wrote."""
        values = {key: value for key, value in data.items() if key not in ("similarity", "provenance")}
        for key in ("local_correlation", "mutual_information", "dice", "hd95_mm", "landmark_mm"):
            values[key] = _read_change(values[key])
        values["landmarks_mm"] = tuple(_read_change(one) for one in values["landmarks_mm"])
        values["structures"] = tuple(
            StructureOverlap(one["value"], one["name"], _some(one["dice"]), _some(one["hd95_mm"]))
            for one in values["structures"]
        )
        values["warnings"] = tuple(Warned(**warned) for warned in values["warnings"])
        numbers = ("folds_percent", "sd_log_jacobian", "jacobian_min", "jacobian_max")
        for key in (*numbers, "inverse_mean_mm", "inverse_max_mm"):
            values[key] = _number(values[key])
        return cls(**values)


def _row(name: str, before: float | None, after: float, unit: str) -> dict[str, Any]:
    return all_finite({"Measure": name, "Before": before, "After": after, "Unit": unit})


def _change(change: Change, digits: int, unit: str = "") -> str:
    def shown(value: float) -> str:
        return "not measurable" if math.isnan(value) else f"{value:.{digits}f}{unit}"

    return f"{shown(change.before)} before, {shown(change.after)} after"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _some(data: Mapping[str, Any]) -> Change:
    return Change(_number(data["before"]), _number(data["after"]))


def _read_change(data: Mapping[str, Any] | None) -> Change | None:
    return None if data is None else _some(data)
