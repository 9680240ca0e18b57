"""Which networks can be trained on labeled cases, and what is known of each. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ReadError

RECIPES = Path(__file__).parents[1] / "recipes"
FIGURES = "figures.json"
"""Beside the recipes: what the benchmark of networks measured, recipe name to figures."""
TASK = "cases"


@dataclass(frozen=True)
class Choice:
    """A bundled recipe for labeled cases.

    Attributes:
        name: of the recipe.
        title: of its network, for people.
        description: one or two sentences.
        figures: its row of the benchmark's table; empty where it was not measured.
    """

    name: str
    title: str
    description: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dice(self) -> float | None:
        """Mean Dice over the structures of the benchmark, if it was measured."""
        values = [float(value) for value in self.figures.get("dice", {}).values()]
        return sum(values) / len(values) if values else None


def choices(folder: Path = RECIPES) -> list[Choice]:
    """The recipes of a folder that train on labeled cases: the best measured first, then the others by name.

    Raises:
        ReadError: a file is not JSON.
    """
    figures = _read(folder / FIGURES) if (folder / FIGURES).is_file() else {}
    found = []
    for file in sorted(folder.glob("*.json")):
        values = _read(file) if file.name != FIGURES else {}
        if values.get("task") == TASK:
            name = file.stem
            title, description = values.get("title", name), values.get("description", "")
            found.append(Choice(name, title, description, figures.get(name, {})))
    return sorted(found, key=lambda choice: (-(choice.dice or 0.0), choice.name))


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{file}: cannot be read as JSON ({error}). Install MedAI again.") from error
    return values if isinstance(values, dict) else {}
