"""Training: segmentation from labeled cases or from label maps alone, registration from shapes, label maps or pairs,
super-resolution and the restoration of slices from scans. ``medai train CONFIG``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(
    config: str | Path,
    data: str | Path | None,
    output: str | Path,
    resume: bool = True,
    device: str = "auto",
    seconds: float | None = None,
    steps: int | None = None,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
    seed: int | None = None,
    pause: Callable[[], bool] = lambda: False,
    **of_cases: Any,
) -> Path:
    """Train as a recipe says; under ``torchrun``, on all processes.

    Args:
        config: recipe file, or name of a bundled recipe.
        data: folder with the cases, label maps or images; None for a recipe that needs no files.
        output: folder for checkpoint and log, made if missing.
        resume: go on from the folder's checkpoint; False starts anew and replaces it.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
        seconds: time budget. With it or ``steps`` given, neither of the recipe's budgets counts.
        steps: budget in steps.
        report: receives each line of the log.
        seed: of weights and samples, instead of the recipe's.
        pause: asked before each step of a training on labeled cases; True ends it with a checkpoint, as Cancelled.
        of_cases: for recipes of labeled cases, further fields of
            :class:`MedAILib.training.cases.request.TrainRequest`: name, title, start, plan, validation, card, install.

    Returns:
        The folder; for labeled cases that of the model.

    Raises:
        UsageError, ReadError, WriteError, ModelError, DeviceError: as their messages say.
    """
    from .job import train

    return train(config, data, output, resume, device, seconds, steps, report, seed, pause, of_cases)
