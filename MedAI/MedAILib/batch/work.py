"""What a batch needs to know of the work it repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from ..worker import Event
    from .records import Record


class Unit(Protocol):
    """One input of a batch."""

    @property
    def key(self) -> str:
        """What the report calls it; no other of the batch has the same."""

    @property
    def name(self) -> Path:
        """Relative path without suffix that names its results."""

    def fingerprint(self) -> dict[str, Any]:
        """Something that changes with the bytes of the input, under the key "sha256"; raises ReadError."""


UnitT = TypeVar("UnitT", bound=Unit)
Unit_contra = TypeVar("Unit_contra", bound=Unit, contravariant=True)

Watch = Callable[[int, int, UnitT], "Callable[[Event], None] | None"]
"""Told (number, count, unit) before each unit; gives the receiver of its progress events."""


@dataclass(frozen=True)
class Outcome:
    """What the report says of a unit that is done.

    Attributes:
        warnings: sentences.
        figures: for the report's own columns, e.g. {"total_ml": 1200.0}.
        rows: the unit's table.
    """

    warnings: tuple[str, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ()


class Work(Protocol[Unit_contra]):
    """The same thing to do with each unit."""

    @property
    def job(self) -> Mapping[str, Any]:
        """All parameters that the results depend on, in JSON form; a unit done with others is done again."""

    def outputs(self, unit: Unit_contra) -> list[Path]:
        """The files that it leaves, relative to the output folder; the first is the main one."""

    def do(
        self, unit: Unit_contra, outputs: list[Path], overwrite: bool, on_event: Callable[[Event], None] | None
    ) -> Outcome:
        """Do it and write the outputs, here as full paths; raises MedAIError."""

    def details(self, record: Record) -> Mapping[str, float]:
        """Further columns of the report's table, from the rows of a record."""
