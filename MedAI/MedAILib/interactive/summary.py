"""What a replayed session tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class StepSummary:
    """One prompt or refinement and what came of it.

    Attributes:
        what: e.g. "positive stroke", or "refinement".
        label: whose object it was about.
        ml: volume of the object afterwards.
        changed: voxels that became other ones.
        engine: who answered; empty where nobody was asked.
        seconds: that the answer took.
        notes: sentences for the user.
    """

    what: str
    label: int
    ml: float
    changed: int
    engine: str
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InteractionSummary:
    """The account of a session.

    Attributes:
        image: name of the volume.
        device: where it was computed.
        steps: in their order.
        volumes: name of each structure to its ml at the end.
    """

    image: str
    device: str
    steps: tuple[StepSummary, ...]
    volumes: Mapping[str, float]

    @property
    def provenance(self) -> dict[str, str]:
        """Flat text pairs for segment tags and file headers."""
        from .. import __version__

        return {
            "MedAI.Version": __version__,
            "MedAI.Interactive": f"{len(self.steps)} steps, {', '.join(sorted({s.engine for s in self.steps}))}",
            "MedAI.Device": self.device,
            "MedAI.Source": self.image,
        }

    def text(self) -> str:
        """A few lines for people."""
        seconds = sum(step.seconds for step in self.steps)
        lines = [f"{self.image}: {len(self.steps)} steps in {seconds:.1f} s on {self.device}, for research only"]
        for number, step in enumerate(self.steps, 1):
            lines.append(
                f"  {number:3} {step.what:18} label {step.label:<4} {step.ml:9.2f} ml  {step.seconds:5.2f} s  "
                f"{step.engine}"
            )
            lines += [f"      {note}" for note in step.notes]
        return "\n".join(lines + [f"  {name}: {ml:.2f} ml" for name, ml in self.volumes.items()])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "provenance": self.provenance}
