"""What the jobs on tubes tell about themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from ..json_values import all_finite
from ..worker.events import Warned

S = TypeVar("S", bound="TubeSummary")
NOTICE = "Computed from a mask, for research only"


@dataclass(frozen=True, kw_only=True)
class TubeSummary(ABC):
    """What all of them have.

    Attributes:
        image: name of what was worked on.
        warnings: in the order they arose.
        timings: stage to seconds.
    """

    image: str
    warnings: tuple[Warned, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of the whole run, without starting the worker."""
        return float(sum(self.timings.values()))

    @abstractmethod
    def sentences(self) -> list[str]:
        """The figures."""

    def text(self) -> str:
        """A few lines for people."""
        lines = [*self.sentences(), *(f"Warning: {warned.message}" for warned in self.warnings)]
        return "\n".join([f"{self.image}: {lines[0]}, in {self.seconds:.1f} s", *lines[1:], NOTICE])

    @property
    def provenance(self) -> dict[str, str]:
        """Flat text pairs for segment tags and file headers."""
        return {"MedAI.Source": self.image, "MedAI.Tube": "; ".join(self.sentences())}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` reads them back."""
        figures: dict[str, Any] = all_finite(asdict(self))
        return figures

    @classmethod
    def from_json(cls: type[S], data: Mapping[str, Any]) -> S:
        """The summary that :meth:`to_json` wrote."""
        values: dict[str, Any] = {each.name: data[each.name] for each in fields(cls)}
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        values["warnings"] = tuple(Warned(**warned) for warned in data["warnings"])
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class BridgeSummary(TubeSummary):
    """The account of one mended mask.

    Attributes:
        parts: separate parts of the tube before.
        gaps: mm of each gap that was bridged.
        length: mm of the tube's centerline.
        radius: mm, the median along the tube.
        added_ml: volume of the bridges.
        specks: parts of a few voxels that were taken away.
        guided: an image said where the bridges go.
    """

    parts: int
    gaps: tuple[float, ...]
    length: float
    radius: float
    added_ml: float
    specks: int
    guided: bool

    def sentences(self) -> list[str]:
        if not self.gaps:
            return [f"one part already, nothing to bridge; {self.length:.0f} mm long, {2 * self.radius:.1f} mm wide"]
        gaps = ", ".join(f"{gap:.1f}" for gap in self.gaps)
        how = "along the image" if self.guided else "without an image, as the parts end"
        return [
            f"{self.parts} parts joined to one tube of {self.length:.0f} mm, {2 * self.radius:.1f} mm wide",
            f"Gaps of {gaps} mm bridged {how}; {self.added_ml:.2f} ml added",
        ]


@dataclass(frozen=True, kw_only=True)
class StraightenSummary(TubeSummary):
    """The account of one straightened image.

    Attributes:
        kind: "stretched" or "straightened".
        parts: separate parts of the tube; gaps between them were bridged.
        length: mm of the tube's centerline.
        shown: mm that the planes reach.
        shape: voxels (k, j, i).
        spacing: mm (k, j, i).
        bend: smallest radius of curvature in mm; None for a straight tube. Planes cross farther away than this.
    """

    kind: str
    parts: int
    length: float
    shown: float
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    bend: float | None

    def sentences(self) -> list[str]:
        k, j, i = self.shape
        lines = [f"{self.kind} along {self.length:.0f} mm into {i} x {j} x {k} voxels ({self.shown:.0f} mm)"]
        if self.bend is not None and self.bend < 0.71 * j * self.spacing[1]:
            lines.append(
                f"Sharpest bend: radius {self.bend:.0f} mm; farther inside of it, the planes show places twice"
            )
        return lines


@dataclass(frozen=True, kw_only=True)
class RestoreSummary(TubeSummary):
    """The account of labels brought back.

    Attributes:
        voxels: of all labels on the native grid.
        volume_ml: theirs.
        crossings: native voxels near the labels that several planes pass through; the plane whose curve is nearest
            counted.
    """

    voxels: int
    volume_ml: float
    crossings: int

    def sentences(self) -> list[str]:
        lines = [f"{self.voxels} voxels ({self.volume_ml:.2f} ml) brought back to the image"]
        if self.crossings:
            lines.append(f"Planes cross at {self.crossings} voxels; there the nearest part of the tube counts")
        return lines
