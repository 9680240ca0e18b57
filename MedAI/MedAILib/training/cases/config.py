"""The recipe of a training on labeled cases: one JSON file with ``"task": "cases"``. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import UsageError
from ..config import TrainingSettings, reading_recipe, settings_from, training_from
from .settings import AugmentationSettings, CaseValidation, PlanSettings

_KIND = "a network trained on labeled cases"
_PARTS = {
    "task", "title", "description", "network", "objective", "plan", "augmentation", "training", "validation", "card",
    "start",
}  # fmt: skip


@dataclass(frozen=True)
class CasesRecipe:
    """A training run as a whole; what depends on the data is left to the plan.

    Attributes:
        recipe: its name.
        name: of the model, for the card; the recipe's unless the user gave one.
        network, arguments: for :func:`MedAILib.networks.build`, without what the plan fills in.
        objective, objective_arguments: for :func:`.objectives.make`.
        plan: what the user decided instead of the planner.
        augmentation: of the patches.
        training: how the optimizer goes on.
        validation: which cases are held out.
        card: what only people know (name, title, license, limits, …), for the card.
        start: name or folder of the model to begin with, or None.
    """

    recipe: str
    name: str
    network: str
    arguments: Mapping[str, Any]
    objective: str
    objective_arguments: Mapping[str, Any]
    plan: PlanSettings
    augmentation: AugmentationSettings
    training: TrainingSettings
    validation: CaseValidation
    card: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None


def cases_recipe_from(values: Mapping[str, Any], name: str) -> CasesRecipe:
    """A recipe from parsed JSON.

    Raises:
        UsageError: something is missing, unknown or contradictory; the message says what.
    """
    with reading_recipe(values, name, "cases", _KIND):
        unknown = sorted(set(values) - _PARTS)
        if unknown:
            raise UsageError(f"{name}: unknown part {', '.join(unknown)}; known: {', '.join(sorted(_PARTS))}.")
        objective = values.get("objective", {"name": "dense"})
        return CasesRecipe(
            recipe=name.removesuffix(".json"),
            name=name.removesuffix(".json"),
            network=values["network"]["name"],
            arguments=values["network"].get("arguments", {}),
            objective=objective["name"],
            objective_arguments=objective.get("arguments", {}),
            plan=settings_from(PlanSettings, values.get("plan", {}), f"{name}: plan"),
            augmentation=settings_from(AugmentationSettings, values.get("augmentation", {}), f"{name}: augmentation"),
            training=training_from(values, name, _KIND),
            validation=settings_from(CaseValidation, values.get("validation", {}), f"{name}: validation"),
            card=values.get("card", {}),
            start=values.get("start"),
        )
