"""From a trained network and its plan to a model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ...errors import UsageError, WriteError
from ...models import read_card, write_weights
from ...models.card import CARD_NAME, SCHEMA_VERSION, schema
from ...models.schema import problems
from ...models.task_card import WEIGHTS
from .config import CasesRecipe
from .measure import Scores
from .plan import Plan
from .report import Report

_OF_TRAINING = ("data", "data_license")
"""What a recipe's card says of the training."""
_MARGIN = 3.0
"""A volume this many times beyond those of the training cases is not believable."""


def check_card(recipe: CasesRecipe) -> None:
    """Before hours of work: what the recipe and the user say for the card is something that a card can hold.

    Raises:
        UsageError: a field is unknown or has a wrong value, or the model's name cannot be one.
    """
    given = {"name": recipe.name, **{name: value for name, value in recipe.card.items() if name not in _OF_TRAINING}}
    fields = schema()["properties"]
    found = [f"{name} is not a field of a model's card" for name in given if name not in fields]
    for name, value in given.items():
        found += problems(value, fields[name], name, schema()) if name in fields else []
    if found:
        raise UsageError(f"The model's card: {'; '.join(found)}.")


def export_cases_model(
    network: nn.Module,
    arguments: Mapping[str, Any],
    recipe: CasesRecipe,
    plan: Plan,
    report: Report,
    scores: Scores | None,
    training: Mapping[str, Any],
    destination: Path,
) -> Path:
    """Write weights (float16) and card; an older model in the folder is replaced.

    Args:
        network: trained.
        arguments: of its constructor.
        recipe, plan, report: of the run.
        scores: of the cases held out, for these very weights.
        training: ``command``, ``seed``, ``steps``, ``seconds`` and what else the card should say of it.
        destination: the model folder.

    Raises:
        ModelError: the finished card does not pass its own check.
        WriteError: the folder cannot be written.
    """
    given = dict(recipe.card)
    of_training = {
        "data": f"{len(plan.trained)} labeled cases of the user's own",
        "data_license": "not stated; ask whoever trained the model",
    } | {name: given.pop(name) for name in _OF_TRAINING if name in given}
    limits = given.pop("limits", ())
    try:
        destination.mkdir(parents=True, exist_ok=True)
        sha256 = write_weights(network.half(), destination / WEIGHTS)
        card = {
            "schema_version": SCHEMA_VERSION,
            "name": recipe.name,
            "title": given.get("name", recipe.name),
            "version": "1.0",
            "anatomy": ", ".join(label.name for label in plan.table),
            "license": "not stated; ask whoever trained the model",
            **given,
            "task": "segmentation",
            "modality": [plan.modality],
            "input_channels": plan.channels,
            **({"inputs": list(plan.inputs)} if plan.inputs and plan.channels > 1 else {}),
            "spacing": list(plan.spacing),
            "orientation": plan.orientation,
            "intensity": dict(plan.intensity),
            "preparation": asdict(plan.preparation),
            "cleaning": False,
            "network": {"name": recipe.network, "arguments": dict(arguments)},
            "labels": [label.to_json() for label in plan.table],
            "window": {"patch": list(plan.patch), "overlap": 0.5},
            **({} if "instances" in given else {"plausible_volumes_ml": volume_ranges(report)}),
            "weights": {"file": WEIGHTS, "sha256": sha256},
            "training": {
                **of_training,
                "trained_on": list(plan.trained),
                "held_out": list(plan.held_out),
                **training,
            },
            "measured": _measured(plan, scores, str(training["command"])),
            "limits": [*limits, *_limits(plan)],
            "intended_use": "research only",
            "trained": True,
        }
        (destination / CARD_NAME).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{destination}: the model cannot be written ({error.strerror or error}).") from error
    finally:
        network.float()
    read_card(destination)
    return destination


def volume_ranges(report: Report) -> dict[str, list[float]]:
    """Believable volumes in ml of the structures that several cases have."""
    ranges = {}
    for one in report.classes:
        volumes = [case.volume_ml(one.label.value) for case in report.facts if case.name in one.cases]
        if len(volumes) > 1:
            low = min(volumes) / _MARGIN if len(volumes) == len(report.facts) else 0.0
            ranges[one.label.name] = [float(f"{low:.3g}"), float(f"{max(volumes) * _MARGIN:.3g}")]
    return ranges


def _measured(plan: Plan, scores: Scores | None, command: str) -> list[dict[str, Any]]:
    if scores is None:
        return []
    where = f"{len(scores.cases)} cases held out of the same data ({', '.join(list(scores.cases)[:4])}"
    where += ", …)" if len(scores.cases) > 4 else ")"
    figures = [("mean Dice over all structures", scores.mean)]
    figures += [(f"Dice of {name}", value) for name, value in scores.classes.items()]
    return [
        {"dataset": where, "metric": metric, "value": round(value, 4), "command": command}
        for metric, value in figures
        if np.isfinite(value)
    ]


def _limits(plan: Plan) -> Sequence[str]:
    return [
        f"Trained on {len(plan.trained)} cases; images from elsewhere may give other results.",
        *(["No case was held out, so nothing was measured."] if not plan.held_out else []),
        "Research only; not a medical device.",
    ]
