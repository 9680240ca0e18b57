"""What a super-resolution tells about itself: acquisition, figures, warnings, provenance, in one JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..json_values import finite
from ..worker.events import Warned

NOTICE = "Computed image, not for primary diagnosis"
SOURCES = {
    "user": "as given",
    "dicom": "from DICOM",
    "image": "estimated from the image",
    "assumed": "assumed, as nothing tells it",
}
"""Where a thickness or a profile comes from, in words."""


@dataclass(frozen=True)
class UncertaintyFigures:
    """Half widths of the 90 % intervals, in the image's units.

    Attributes:
        mean, median: over the volume.
        high: 95 % of the voxels have less.
    """

    mean: float
    median: float
    high: float


@dataclass(frozen=True)
class SuperresSummary:
    """The account of one super-resolution.

    Attributes:
        image: name of the scan.
        others: names of the further scans.
        method: name of what was used in the end, e.g. "tikhonov" where the learned one was no better.
        asked: name of the method that was asked for.
        title: of the method used, for people.
        learned, generative: as in :class:`MedAILib.superres.methods.Method`.
        device: where it was computed.
        axis: the voxel axis of the slices, "i", "j" or "k".
        direction: the same in words, e.g. "inferior-superior".
        thickness: mm, as used.
        increment: mm between the measured slices.
        thickness_source, profile_source: a key of :data:`SOURCES`.
        profile: of the slices, as used.
        modality: DICOM code or None.
        shape_before, shape_after: voxels (k, j, i).
        spacing_before, spacing_after: mm (k, j, i).
        noise: standard deviation, in the image's units.
        budget: seconds that training was allowed.
        consistency_db: how well the result reproduces the measured slices, peak signal-to-noise ratio; None where it
            could not be measured.
        cubic_consistency_db: the same of the cubic interpolation.
        residual: root mean square of measured minus explained, in the image's units.
        change: root mean square of the difference to the cubic interpolation, in the image's units.
        uncertainty: None if it was not asked for.
        concluded: it was ended early and holds what there was.
        notes: sentences of the method, e.g. what its own check on held-out slices gave.
        warnings: in the order they arose.
        timings: stage to seconds.
    """

    image: str
    method: str
    asked: str
    title: str
    device: str
    axis: str
    direction: str
    thickness: float
    increment: float
    thickness_source: str
    profile: str
    profile_source: str
    shape_before: tuple[int, int, int]
    shape_after: tuple[int, int, int]
    spacing_before: tuple[float, float, float]
    spacing_after: tuple[float, float, float]
    others: tuple[str, ...] = ()
    learned: bool = False
    generative: bool = False
    modality: str | None = None
    noise: float = 0.0
    budget: float = 0.0
    consistency_db: float | None = None
    cubic_consistency_db: float | None = None
    residual: float | None = None
    change: float | None = None
    uncertainty: UncertaintyFigures | None = None
    concluded: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[Warned, ...] = ()
    timings: Mapping[str, float] | None = None

    @property
    def seconds(self) -> float:
        """Of the whole run, without starting the worker."""
        return float(sum((self.timings or {}).values()))

    @property
    def acquisition(self) -> str:
        """Thickness, increment and where they come from, as a sentence."""
        gap = self.increment - self.thickness
        relation = "without gap"
        if abs(gap) > 0.01 * self.increment:
            relation = f"with {gap:.3g} mm gaps" if gap > 0 else f"overlapping by {-gap:.3g} mm"
        return (
            f"Slices {self.thickness:.3g} mm thick ({SOURCES[self.thickness_source]}) every {self.increment:.3g} mm, "
            f"{relation}; {self.profile} profile ({SOURCES[self.profile_source]})"
        )

    @property
    def provenance(self) -> dict[str, str]:
        """Flat text pairs for file headers and node attributes."""
        from .. import __version__

        facts = {
            "MedAI.Version": __version__,
            "MedAI.Computed": NOTICE,
            "MedAI.SuperResolution": f"method={self.method}, thickness={self.thickness:g} mm "
            f"({self.thickness_source}), increment={self.increment:g} mm, profile={self.profile} "
            f"({self.profile_source}), budget={self.budget:g} s",
            "MedAI.Source": self.image,
            "MedAI.Device": self.device,
            "MedAI.Seconds": f"{self.seconds:.1f}",
        }
        if self.others:
            facts["MedAI.Others"] = ", ".join(self.others)
        if self.generative:
            facts["MedAI.Generative"] = "Detail is made up by a generative model"
        return facts

    def rows(self) -> list[dict[str, Any]]:
        """The table of figures: {"Measure", "Value", "Unit"}, None where there is no figure."""
        rows = [
            ("Slice thickness", self.thickness, "mm"),
            ("Slice distance before", self.increment, "mm"),
            ("Slice distance after", self.spacing_after["kji".index(self.axis)], "mm"),
            ("Noise (SD)", self.noise, ""),
            ("Agreement with the measured slices", self.consistency_db, "dB"),
            ("Agreement of cubic interpolation", self.cubic_consistency_db, "dB"),
            ("Residual (RMS)", self.residual, ""),
            ("Difference to cubic interpolation (RMS)", self.change, ""),
        ]
        if self.uncertainty is not None:
            rows.append(("Uncertainty (mean half width, 90 %)", self.uncertainty.mean, ""))
            rows.append(("Uncertainty (95th percentile)", self.uncertainty.high, ""))
        return [{"Measure": name, "Value": finite(value), "Unit": unit} for name, value, unit in rows]

    def text(self) -> str:
        """A few lines for people."""
        k, j, i = self.spacing_before
        new_k, new_j, new_i = self.spacing_after
        lines = [
            f"{self.image}: {i:.3g} x {j:.3g} x {k:.3g} mm to {new_i:.3g} x {new_j:.3g} x {new_k:.3g} mm",
            f"{self.title} ({self.method}), in {self.seconds:.1f} s on {self.device}",
            self.acquisition,
        ]
        if self.others:
            lines.append(f"With {', '.join(self.others)}")
        if self.consistency_db is not None:
            cubic = self.cubic_consistency_db
            beside = "" if cubic is None else f" (cubic interpolation {cubic:.1f} dB)"
            lines.append(f"Agreement with the measured slices: {self.consistency_db:.1f} dB{beside}")
        if self.uncertainty is not None:
            lines.append(
                f"Uncertainty, half width of the 90 % interval: {self.uncertainty.mean:.3g} in the mean, below "
                f"{self.uncertainty.high:.3g} in 95 % of the voxels"
            )
        lines += [f"{note}" for note in self.notes]
        if self.concluded:
            lines.append("Ended early: this is what there was.")
        if self.generative:
            lines.append("Generative: detail was made up by a model and may not be this patient's.")
        lines += [f"Warning: {warned.message}" for warned in self.warnings]
        return "\n".join([*lines, f"{NOTICE}."])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` reads them back."""
        data = {key: finite(value) for key, value in asdict(self).items()}
        return {**data, "provenance": self.provenance}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SuperresSummary:
        """The summary that :meth:`to_json` wrote."""
        values = {key: value for key, value in data.items() if key != "provenance"}
        for key in ("shape_before", "shape_after", "spacing_before", "spacing_after", "others", "notes"):
            values[key] = tuple(values[key])
        if values["uncertainty"] is not None:
            values["uncertainty"] = UncertaintyFigures(**values["uncertainty"])
        values["warnings"] = tuple(Warned(**warned) for warned in values["warnings"])
        return cls(**values)
