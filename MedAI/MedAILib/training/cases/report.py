"""What was found out about a folder of cases before anything is trained on it. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ...geometry import Shape, Spacing
from ...labels import Label


@dataclass(frozen=True)
class Problem:
    """Something that the user should know.

    Attributes:
        where: file or case; empty for the folder as a whole.
        message: a sentence.
        fatal: training cannot begin with it.
    """

    where: str
    message: str
    fatal: bool = True


@dataclass(frozen=True)
class CaseFacts:
    """What one case is like.

    Attributes:
        name: of the case.
        shape, spacing: (k, j, i) of its own grid, mm.
        codes: directions of its i, j, k axes.
        channels: of its image, also those that it lacks.
        voxels: label value to number of voxels, without 0.
        values: a sample of each channel's intensities inside the structures.
        ct: air at -500 and below, as in Hounsfield units.
        empty: share of the voxels that are exactly 0 in every channel.
        missing: numbers of the channels that it lacks.
    """

    name: str
    shape: Shape
    spacing: Spacing
    codes: str
    channels: int
    voxels: dict[int, int]
    values: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    ct: bool = False
    empty: float = 0.0
    missing: tuple[int, ...] = ()

    def volume_ml(self, value: int) -> float:
        """Of a structure."""
        k, j, i = self.spacing
        return self.voxels.get(value, 0) * k * j * i / 1000.0


@dataclass(frozen=True)
class ClassFacts:
    """A class of the folder.

    Attributes:
        label: value, name, color and code.
        cases: names of the cases that have it.
        median_ml: median volume in these.
    """

    label: Label
    cases: tuple[str, ...]
    median_ml: float


@dataclass(frozen=True)
class Report:
    """The checks' result.

    Attributes:
        folder: as given.
        facts: of the cases that can be used.
        table: the classes, in the network's order.
        problems: errors and warnings.
        inputs: names of the channels; empty where nobody tells.
        modality: DICOM code, if the folder says it.
    """

    folder: str
    facts: tuple[CaseFacts, ...]
    table: tuple[Label, ...]
    problems: tuple[Problem, ...]
    inputs: tuple[str, ...] = ()
    modality: str | None = None

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """What must be put right first."""
        return tuple(problem for problem in self.problems if problem.fatal)

    @property
    def classes(self) -> tuple[ClassFacts, ...]:
        """Of each class, in how many cases it is."""
        found = []
        for label in self.table:
            having = [case for case in self.facts if case.voxels.get(label.value)]
            volume = median(case.volume_ml(label.value) for case in having) if having else 0.0
            found.append(ClassFacts(label, tuple(case.name for case in having), volume))
        return tuple(found)

    def text(self) -> str:
        """For people: a few lines."""
        lines = [f"{self.folder}: {len(self.facts)} cases that can be used."]
        lines += [
            f"  {one.label.name} ({one.label.value}): in {len(one.cases)} cases, median {one.median_ml:.3g} ml"
            for one in self.classes
        ]
        lines += [f"{'Error' if problem.fatal else 'Warning'}: {problem.message}" for problem in self.problems]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "cases": len(self.facts),
            "classes": [
                {"name": one.label.name, "value": one.label.value, "cases": len(one.cases), "ml": one.median_ml}
                for one in self.classes
            ],
            "problems": problems_to_json(self.problems),
        }


def problems_to_json(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Plain JSON values."""
    return [{"where": one.where, "message": one.message, "fatal": one.fatal} for one in problems]
