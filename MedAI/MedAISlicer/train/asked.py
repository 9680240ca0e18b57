"""From the tab's parameters to what the worker is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError
from MedAILib.models import ModelStore
from MedAILib.training.cases.request import TrainRequest, model_name

from .cases import CASES
from .folder import absolute, is_folder, unfinished
from .parameters import Source, TrainParameterNode, usual_folder

Node = Any


def free_title(root: Path, like: str = "") -> str:
    """A title for the next model: no model has it yet, and no training that can go on.

    Args:
        root: folder of all trainings.
        like: title of the model before; another number follows its words.
    """
    words, taken, number = re.sub(r"\s+\d+$", "", like.strip()) or _("My model"), _names(), 1
    while True:
        title = words if number == 1 else f"{words} {number}"
        name = model_name(title)
        if name not in taken and unfinished(root / name) is None:
            return title
        number += 1


def root_folder(parameters: TrainParameterNode) -> Path:
    """Of all trainings; absolute, as the worker runs elsewhere."""
    return absolute(parameters.outputFolder or str(usual_folder()))


def training_folder(parameters: TrainParameterNode) -> Path:
    """Of the training with this name."""
    return root_folder(parameters) / model_name(parameters.modelName)


def data_folder(parameters: TrainParameterNode) -> Path:
    """Where the cases are, or are to be written; absolute, as the worker runs elsewhere."""
    if parameters.source is Source.SCENE:
        return training_folder(parameters) / CASES
    return absolute(parameters.dataFolder)


def chosen_segmentations(parameters: TrainParameterNode) -> list[Node]:
    """Those that are still there: one that was deleted leaves None in the list."""
    return [node for node in parameters.segmentations if node is not None]


def why_no_cases(parameters: TrainParameterNode) -> str:
    """What is missing still before the cases can be looked at, as a sentence; empty if nothing is."""
    if parameters.source is Source.SCENE:
        if not chosen_segmentations(parameters):
            return _("Check the segmentations to learn from. Each one needs the volume that it was made on.")
        return why_no_name(parameters)
    if not parameters.dataFolder:
        return _("Choose a folder with images and their segmentations.")
    if not is_folder(data_folder(parameters)):
        return _("There is no folder {name}. Choose another one.").format(name=parameters.dataFolder)
    return ""


def why_no_look(parameters: TrainParameterNode, waiting: Mapping[str, Any] | None) -> str:
    """Why the cases cannot be looked at by themselves, as a sentence; empty if they can.

    Args:
        parameters: of the tab.
        waiting: what is known of a training of this name that can go on, or None.
    """
    if waiting is not None and parameters.source is Source.SCENE:
        # A look writes them anew, and a resumed training would find others than it began with.
        return _("The training {name} goes on with the cases as they were. Choose another name for new ones.").format(
            name=waiting.get("title") or waiting.get("name", "")
        )
    return why_no_cases(parameters)


def why_no_name(parameters: TrainParameterNode) -> str:
    """Why a model cannot be called so, as a sentence; empty if it can."""
    name = model_name(parameters.modelName)
    if not name:
        return _("Give the model a name with letters from a to z or digits.")
    if name in _names():
        return _("There is a model named {name} already. Choose another name.").format(name=name)
    return ""


def plan_of(parameters: TrainParameterNode) -> dict[str, Any]:
    """What is not left to the planner."""
    plan: dict[str, Any] = {}
    if parameters.spacingMm:
        plan["spacing"] = [parameters.spacingMm] * 3
    if parameters.patchVoxels:
        plan["patch"] = [round(parameters.patchVoxels)] * 3
    return plan


def request_of(parameters: TrainParameterNode) -> TrainRequest:
    """A training that begins."""
    return TrainRequest(
        recipe=parameters.network,
        data=str(data_folder(parameters)),
        output=str(training_folder(parameters)),
        name=model_name(parameters.modelName),
        title=parameters.modelName.strip(),
        seconds=60.0 * parameters.minutes,
        start=parameters.start or None,
        plan=plan_of(parameters),
        seed=round(parameters.seed),
        resume=False,
        install=True,
    )


def request_to_resume(parameters: TrainParameterNode) -> TrainRequest:
    """A training that goes on with what it was started with; its time may have become longer.

    Raises:
        ReadError: its folder cannot be read.
    """
    kept = TrainRequest.read({"output": str(training_folder(parameters)), "resume": True})
    return replace(kept, seconds=max(kept.seconds or 0.0, 60.0 * parameters.minutes))


def _names() -> set[str]:
    """Folder names of all models, those that cannot be used included."""
    store = ModelStore()
    try:
        return {folder.name for root in (store.bundled, store.user) if root.is_dir() for folder in root.iterdir()}
    except (OSError, MedAIError):
        return set()
