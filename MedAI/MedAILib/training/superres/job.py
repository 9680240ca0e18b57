"""From a super-resolution recipe and a folder of scans to a trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...superres.warm_start import FEWEST_STEPS, write_network
from ..distributed import World
from .config import superres_recipe_from
from .scans import read_pictures
from .trainer import SuperresTrainer


def train_superres(
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
    """Train, and write the trained network to ``output/model``; see :func:`MedAILib.training.run`.

    Args:
        values, name: the recipe's JSON and its name.
        data: folder with the recipe's scans.
        output: folder for checkpoint and log; exists.
    """
    recipe = superres_recipe_from(values, name)
    if data is None:
        raise UsageError(f"{recipe.name}: this recipe needs a folder with its scans; give --data.")
    if seconds is not None or steps is not None:
        recipe = replace(recipe, training=replace(recipe.training, seconds=seconds, steps=steps))
    world = World(device)
    try:
        scans, held_out = (
            read_pictures(files, data, recipe.acquisition, world.device)
            for files in (recipe.data.files, recipe.data.held_out)
        )
        trainer = SuperresTrainer(recipe, scans, held_out, output, world, report)
        if resume:
            trainer.resume()
        trainer.run()
        if world.first and trainer.clock.step >= FEWEST_STEPS:
            budget = (
                f"--seconds {recipe.training.seconds:g}" if recipe.training.seconds else f"--steps {trainer.clock.step}"
            )
            write_network(
                trainer.average,
                output / "model",
                {
                    **recipe.card,
                    "name": recipe.name,
                    "network": {"name": recipe.network, "arguments": dict(recipe.arguments)},
                    "training": {
                        "data": recipe.data.source,
                        "data_license": recipe.data.license,
                        "trained_on": list(recipe.data.files),
                        "held_out": list(recipe.data.held_out),
                        "command": f"medai train {recipe.name} --data SCANS --output RUN {budget}",
                        "seed": recipe.training.seed,
                        "steps": trainer.clock.step,
                        "seconds": round(trainer.clock.seconds),
                        **(trainer.measure(1.0) or {}),
                    },
                },
            )
    finally:
        world.close()
