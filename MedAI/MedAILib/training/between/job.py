"""From a recipe and a folder of volumes to a trained HiFi-Diff model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...superres.hifidiff import write_hifidiff
from ...superres.warm_start import FEWEST_STEPS
from ..distributed import World
from .config import between_recipe_from
from .trainer import BetweenTrainer
from .volumes import read_volumes


def train_between(
    values: Mapping[str, Any],
    name: str,
    data: Path | None,
    output: Path,
    resume: bool,
    device: str,
    seconds: float | None,
    steps: int | None,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Train, and write the trained model to ``output/model``; see :func:`MedAILib.training.run`.

    Args:
        values, name: the recipe's JSON and its name.
        data: folder with volumes.
        output: folder for checkpoint and log; exists.
    """
    recipe = between_recipe_from(values, name)
    if data is None:
        raise UsageError(f"{recipe.name}: this recipe needs a folder with volumes; give --data.")
    if seconds is not None or steps is not None:
        recipe = replace(recipe, training=replace(recipe.training, seconds=seconds, steps=steps))
    world = World(device)
    try:
        trainer = BetweenTrainer(recipe, *read_volumes(recipe.data, data), output, world, report)
        if resume:
            trainer.resume()
        trainer.run()
        if world.first and trainer.clock.step >= FEWEST_STEPS:
            write_hifidiff(
                trainer.average,
                output / "model",
                {
                    "name": recipe.name,
                    "network": {"name": recipe.network, "arguments": dict(recipe.arguments)},
                    "training": {
                        "data": recipe.data.source,
                        "data_license": recipe.data.license,
                        "held_out": list(recipe.data.held_out),
                        "diffusion_steps": recipe.data.diffusion_steps,
                        "seed": recipe.training.seed,
                        "steps": trainer.clock.step,
                        "seconds": round(trainer.clock.seconds),
                        "validation": trainer.measure(1.0),
                    },
                },
            )
    finally:
        world.close()
