"""The call that trains a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sources import PathLike

if TYPE_CHECKING:
    from ..models import ModelCard


def train(
    source: Any,
    name: str,
    network: str = "residual-unet",
    minutes: float = 10.0,
    start: str | None = None,
    output: PathLike | None = None,
    device: str = "auto",
    *,
    plan: Mapping[str, Any] | None = None,
    seed: int = 1,
    progress: bool = True,
) -> ModelCard:
    """Train a model on labeled cases and wait for it; afterwards it is one of the user's models.

    Called again after an interruption, it goes on from the last checkpoint.

    Args:
        source: folder of cases (``images`` and ``labels``, see ``medai train``); inside Slicer also a list of
            segmentation nodes, each of which is a case together with the volume that it was made on.
        name: of the model, for people; its name for the shell is made from it.
        network: name of a recipe for labeled cases.
        minutes: time budget.
        start: name or folder of a model whose weights are the first ones.
        output: folder of the training; None for one beside the user's models.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        plan: what is not left to the planner: ``spacing`` and ``patch``, (k, j, i), and what else
            :class:`MedAILib.training.cases.settings.PlanSettings` has.
        seed: of weights, samples and the choice of the cases that are held out.
        progress: show stage, percentage and remaining time on the error stream.

    Returns:
        The card of the model.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`.

    Example:
        >>> import MedAILib
        >>> card = MedAILib.train("cases", "Hippocampus")  # doctest: +SKIP
        >>> MedAILib.segment("new.nii.gz", model=card.name, output="new.seg.nrrd")  # doctest: +SKIP
    """
    how: dict[str, Any] = {"network": network, "minutes": minutes, "start": start, "output": output, "device": device}
    how |= {"plan": plan, "seed": seed, "progress": progress}
    if isinstance(source, (str, Path)):
        from ..training.cases.remote import train_folder

        return train_folder(source, name, **how)
    from MedAISlicer import console

    return console.train([source] if hasattr(source, "IsA") else list(source), name, **how)
