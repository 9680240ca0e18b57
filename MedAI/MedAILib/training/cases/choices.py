"""Which networks can be trained on labeled cases, and what is known of each. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ReadError

RECIPES = Path(__file__).parents[1] / "recipes"
FIGURES = Path(__file__).parents[1] / "figures.json"
"""What the benchmark of networks measured; see ``Testing/Benchmarks/networks.py``."""
TASK = "cases"
PLAIN = "residual-unet"
"""The baseline."""


@dataclass(frozen=True)
class Choice:
    """A bundled recipe for labeled cases.

    Attributes:
        name: of the recipe.
        title: of its network, for people.
        network: its name in :mod:`MedAILib.networks`, as model cards say it.
        description: one or two sentences.
        figures: its row of the benchmark's table; empty where it was not measured.
        data: what it was measured on.
    """

    name: str
    title: str
    network: str
    description: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""

    @property
    def dice(self) -> float | None:
        """Mean Dice over the structures of the benchmark, if it was measured."""
        values = [float(value) for value in self.figures.get("dice", {}).values()]
        return sum(values) / len(values) if values else None


def choices(recipes: Path = RECIPES, figures: Path = FIGURES) -> list[Choice]:
    """The recipes that train on labeled cases: the best measured first, the plain one before what was not measured.

    Args:
        recipes: folder.
        figures: file of the benchmark; it need not be there.

    Raises:
        ReadError: a file is not JSON.
    """
    measured = _read(figures) if figures.is_file() else {}
    found = []
    for file in sorted(recipes.glob("*.json")):
        values = _read(file)
        # A recipe that names its cases is that of a bundled model, and of no use for others.
        if values.get("task") == TASK and not values.get("validation", {}).get("cases"):
            name = file.stem
            row = measured.get("networks", {}).get(name, {})
            title, network = values.get("title", name), values.get("network", {}).get("name", "")
            data = measured.get("data", "") if row else ""
            found.append(Choice(name, title, network, values.get("description", ""), row, data))
    return sorted(found, key=lambda one: (-(one.dice or 0.0), one.name != PLAIN, one.name))


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{file}: cannot be read as JSON ({error}). Install MedAI again.") from error
    return values if isinstance(values, dict) else {}
