"""From a checkpoint to a model folder: averaged weights and the card that describes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..brain_labels import BRAIN, HEAD
from ..errors import ModelError, WriteError
from ..models import read_card, write_weights
from ..models.card import CARD_NAME, SCHEMA_VERSION
from ..models.task_card import FEWEST_STEPS, WEIGHTS
from ..networks import build
from .checkpoint import LOG, NAME, part, read_checkpoint
from .classes import ClassTable
from .maps import LabelMap
from .recipe import Recipe


def class_labels(table: ClassTable) -> list[dict[str, Any]]:
    """The card's labels in class order; a class that is not reported becomes the hidden rest of the head.

    Raises:
        ModelError: a reported code has no name in :mod:`MedAILib.brain_labels`.
    """
    known = {label.value: label for label in BRAIN}
    unknown = sorted(code for code in table.classes[1:] if code is not None and code not in known)
    if unknown:
        raise ModelError(f"The recipe reports codes that have no name and color: {unknown}. Add them to brain_labels.")
    return [HEAD.to_json() | {"output": False} if code is None else known[code].to_json() for code in table.classes[1:]]


def volume_ranges(
    maps: Sequence[LabelMap], table: ClassTable, margin: float = 2.0
) -> tuple[dict[str, list[float]], list[float]]:
    """Believable volumes in ml: from the smallest map's divided by ``margin`` to the largest's times ``margin``.

    Returns:
        Structure name to (lowest, highest), and the same for all structures together, whose margin is the root of it.
    """
    names = [entry["name"] for entry in class_labels(table)]
    shown = np.array([code is not None and code > 0 for code in table.classes])
    volumes = []
    for one in maps:
        voxels = np.bincount(one.indices.cpu().numpy().ravel(), minlength=len(table.codes))
        classes = np.bincount(table.target, weights=voxels, minlength=len(table.classes))
        volumes.append(classes * float(np.prod(one.spacing)) / 1000.0)
    low, high = np.min(volumes, 0) / margin, np.max(volumes, 0) * margin
    total = np.array(volumes)[:, shown].sum(1)
    ranges = {names[n - 1]: [_rounded(low[n]), _rounded(high[n])] for n in np.nonzero(shown)[0]}
    return ranges, [_rounded(total.min() / margin**0.5), _rounded(total.max() * margin**0.5)]


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def load_average(recipe: Recipe, folder: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """The run's averaged network, in evaluation mode, and its clock.

    Raises:
        ReadError: no usable checkpoint.
        ModelError: it was hardly trained, or belongs to another network.
    """
    tensors, clock = read_checkpoint(folder / NAME)
    if clock["step"] < FEWEST_STEPS:
        raise ModelError(f"{folder}: only {clock['step']} steps were done; such weights are not exported as a model.")
    network = build(recipe.network, recipe.arguments)
    try:
        network.load_state_dict(part(tensors, "average.network"))
    except RuntimeError as error:
        raise ModelError(f"{folder}: the checkpoint belongs to another network ({error}).") from error
    return network.eval(), clock


def curve_end(folder: Path, step: int, held_out: Sequence[str], command: str) -> list[dict[str, Any]]:
    """The card's figure for the validation of just these weights, if there was one."""
    file = folder / LOG
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    found = [line for line in lines if line["step"] == step and "validation" in line and line["coarseness"] == 1]
    return [
        {
            "dataset": f"synthetic images of label maps never trained on ({', '.join(held_out)})",
            "metric": "mean Dice over all structures",
            "value": round(line["validation"]["dice"], 4),
            "command": command,
        }
        for line in found[-1:]
    ]


def export_model(
    recipe: Recipe,
    folder: Path,
    maps: Sequence[LabelMap],
    destination: Path,
    command: str,
    measured: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write a model folder from a run's checkpoint.

    Weights are stored as float16: training multiplies them in bfloat16, which is coarser.

    Args:
        recipe: of the run; its ``card`` holds what only people know (title, license, limits, …).
        folder: of the run.
        maps: all label maps of the run, for the ranges of believable volumes.
        destination: the model folder, made if missing; an older model in it is replaced.
        command: how the run was started, for the card.
        measured: the card's figures; the last point of the validation curve is added.

    Returns:
        ``destination``.

    Raises:
        ReadError, ModelError: see :func:`load_average`; also when the finished card does not pass its own check.
        WriteError: the folder cannot be written.
    """
    network, clock = load_average(recipe, folder)
    ranges, total = volume_ranges(maps, recipe.table)
    generator, data = recipe.generator, recipe.data
    try:
        destination.mkdir(parents=True, exist_ok=True)
        sha256 = write_weights(network.half(), destination / WEIGHTS)
        card = {
            "schema_version": SCHEMA_VERSION,
            **recipe.card,
            "task": "segmentation",
            "input_channels": recipe.arguments.get("inputs", 1),
            "spacing": list(generator.spacing),
            "orientation": "RAS",
            "intensity": {"method": "percentile", "low": generator.low, "high": generator.high},
            "network": {"name": recipe.network, "arguments": recipe.arguments},
            "labels": class_labels(recipe.table),
            "plausible_volumes_ml": ranges,
            "total_ml": total,
            "weights": {"file": WEIGHTS, "sha256": sha256},
            "training": {
                "data": data.source,
                "data_license": data.license,
                "trained_on": [one.name for one in maps if one.name not in data.held_out],
                "held_out": list(data.held_out),
                "command": command,
                "seed": recipe.training.seed,
                "steps": clock["step"],
                "seconds": round(clock["seconds"]),
            },
            "measured": [*measured, *curve_end(folder, clock["step"], data.held_out, command)],
            "intended_use": "research only",
            "trained": True,
        }
        (destination / CARD_NAME).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{destination}: the model cannot be written ({error.strerror}).") from error
    read_card(destination)
    return destination
