"""What a run tells about itself: figures, warnings, provenance. One JSON form for reports, the worker and the panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .image import Image
from .labels import Label
from .statistics import LabelStatistics
from .worker.events import Warned

if TYPE_CHECKING:
    from .models import ModelCard


@dataclass(frozen=True)
class Summary:
    """The account of one segmentation.

    Attributes:
        image: name of the input.
        model, version, sha256: what segmented it.
        parameters: what was asked for (mode, modality, force).
        device, precision: where and how it was computed.
        table: the structures that the model can show, also those not found.
        volumes: one entry per structure of the table; those not found have no voxels.
        confidence: structure name to the network's mean probability (0 to 1) inside it.
        warnings: in the order they arose.
        timings: stage to seconds.
        tested_on: the first figure of each data set that the model was measured on, as sentences.
        finder: the model that found where to look, with its version and checksum; empty if none did.
    """

    image: str
    model: str
    version: str
    sha256: str
    parameters: Mapping[str, Any]
    device: str
    precision: str
    table: tuple[Label, ...]
    volumes: tuple[LabelStatistics, ...]
    confidence: Mapping[str, float]
    warnings: tuple[Warned, ...]
    timings: Mapping[str, float]
    tested_on: tuple[str, ...] = ()
    finder: str = ""

    @property
    def seconds(self) -> float:
        """Of the whole run, without starting the worker."""
        return float(sum(self.timings.values()))

    @property
    def total_ml(self) -> float:
        """Volume of all structures together."""
        return float(sum(row.volume_ml for row in self.volumes))

    @property
    def missing(self) -> tuple[str, ...]:
        """Structures that the model knows and did not find."""
        return tuple(row.name for row in self.volumes if not row.voxels)

    @property
    def found(self) -> tuple[LabelStatistics, ...]:
        """The structures with at least one voxel."""
        return tuple(row for row in self.volumes if row.voxels)

    @property
    def provenance(self) -> dict[str, str]:
        """Flat text pairs for segment tags and file headers."""
        return {
            "MedAI.Model": self.model,
            "MedAI.ModelVersion": self.version,
            "MedAI.ModelSHA256": self.sha256,
            **({"MedAI.Finder": self.finder} if self.finder else {}),
            "MedAI.Parameters": ", ".join(
                f"{key}={value}" for key, value in self.parameters.items() if value is not None
            ),
            "MedAI.Device": f"{self.device} {self.precision}",
            "MedAI.Seconds": f"{self.seconds:.1f}",
            "MedAI.Source": self.image,
        }

    def rows(self) -> list[dict[str, Any]]:
        """The volumes table: one plain dictionary per structure, with the network's confidence."""
        return [{**_finite(row.row()), "Confidence": self.confidence.get(row.name)} for row in self.volumes]

    def text(self) -> str:
        """A few lines for people."""
        found = f"{len(self.found)} of {len(self.table)} structures, {self.total_ml:.0f} ml in all"
        lines = [
            f"{self.image}: {found}, in {self.seconds:.1f} s on {self.device} ({self.precision})",
            f"Model {self.model} {self.version} (SHA-256 {self.sha256[:12]}), for research only",
            *([f"Places found by {self.finder}"] if self.finder else []),
            *self._how_sure(),
            *([f"Tested: {'; '.join(self.tested_on)}"] if self.tested_on else []),
            *(f"Warning: {warned.message}" for warned in self.warnings),
        ]
        width = max((len(row.name) for row in self.found), default=0)
        lines += [f"  {row.name:{width}}  {row.volume_ml:9.2f} ml" for row in self.found]
        if self.found and self.missing:
            lines.append(f"  not found: {', '.join(self.missing)}")
        return "\n".join(lines)

    def _how_sure(self) -> list[str]:
        if not self.confidence:
            return []
        lowest = min(self.confidence, key=lambda name: self.confidence[name])
        mean = sum(self.confidence.values()) / len(self.confidence)
        return [f"How sure (its own probability): mean {mean:.2f}, lowest {self.confidence[lowest]:.2f} in {lowest}"]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` reads them back."""
        return {
            "image": self.image,
            "model": self.model,
            "version": self.version,
            "sha256": self.sha256,
            "parameters": dict(self.parameters),
            "device": self.device,
            "precision": self.precision,
            "table": [label.to_json() for label in self.table],
            "volumes": [_finite(asdict(row)) for row in self.volumes],
            "confidence": dict(self.confidence),
            "warnings": [asdict(warned) for warned in self.warnings],
            "timings": dict(self.timings),
            "tested_on": list(self.tested_on),
            "finder": self.finder,
            "provenance": self.provenance,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Summary:
        """The summary that :meth:`to_json` wrote."""
        return cls(
            **{key: data[key] for key in ("image", "model", "version", "sha256", "parameters", "device", "precision")},
            table=tuple(Label.from_json(label) for label in data["table"]),
            volumes=tuple(LabelStatistics(**_numbers(row)) for row in data["volumes"]),
            confidence=data["confidence"],
            warnings=tuple(Warned(**warned) for warned in data["warnings"]),
            timings=data["timings"],
            tested_on=tuple(data["tested_on"]),
            finder=data.get("finder", ""),
        )


@dataclass(frozen=True)
class Segmentation:
    """A result: the label map on the input's own grid, and its account."""

    labels: Image
    summary: Summary


def tested_on(card: ModelCard) -> tuple[str, ...]:
    """The first measured figure of each data set on the card, as sentences; the card itself has all."""
    first = {figure.dataset: figure for figure in reversed(card.measured)}
    return tuple(str(first[name]) for name in dict.fromkeys(figure.dataset for figure in card.measured))


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: a figure that could not be taken is null."""
    return {key: None if isinstance(value, float) and value != value else value for key, value in row.items()}


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: float("nan") if value is None else value for key, value in row.items()}
