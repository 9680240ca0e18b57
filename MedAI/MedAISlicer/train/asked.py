"""From the tab's parameters to what the worker is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError
from MedAILib.models import ModelStore
from MedAILib.training.cases.request import TrainRequest, model_name

from .cases import CASES
from .parameters import Source, TrainParameterNode, usual_folder


def free_title() -> str:
    """A title for the next model that no model has yet."""
    taken = _names()
    number = 1
    while model_name(_title(number)) in taken:
        number += 1
    return _title(number)


def training_folder(parameters: TrainParameterNode) -> Path:
    """Of the training with this name; absolute, as the worker runs elsewhere."""
    root = Path(parameters.outputFolder or usual_folder()).expanduser().absolute()
    return root / model_name(parameters.modelName)


def data_folder(parameters: TrainParameterNode) -> Path:
    """Where the cases are, or are to be written; absolute, as the worker runs elsewhere."""
    if parameters.source is Source.SCENE:
        return training_folder(parameters) / CASES
    return Path(parameters.dataFolder).expanduser().absolute()


def why_no_cases(parameters: TrainParameterNode) -> str:
    """What is missing still before the cases can be looked at, as a sentence; empty if nothing is."""
    if parameters.source is Source.SCENE:
        if not parameters.segmentations:
            return _("Check the segmentations to learn from. Each one needs the volume that it was made on.")
        return why_no_name(parameters)
    if not parameters.dataFolder:
        return _("Choose a folder with images and their segmentations.")
    if not data_folder(parameters).is_dir():
        return _("There is no folder {name}. Choose another one.").format(name=parameters.dataFolder)
    return ""


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


def _title(number: int) -> str:
    return _("My model") if number == 1 else _("My model {number}").format(number=number)


def _names() -> set[str]:
    """Folder names of all models, those that cannot be used included."""
    store = ModelStore()
    try:
        return {folder.name for root in (store.bundled, store.user) if root.is_dir() for folder in root.iterdir()}
    except (OSError, MedAIError):
        return set()
