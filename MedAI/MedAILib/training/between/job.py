"""From a recipe and a folder of volumes to a trained HiFi-Diff model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...superres.hifidiff import write_hifidiff
from ..distributed import World
from ..order import Order
from .config import between_recipe_from
from .trainer import BetweenTrainer
from .volumes import read_volumes


def train_between(values: Mapping[str, Any], name: str, data: Path | None, order: Order) -> None:
    """Train, and write the trained model to the order's model folder.

    Args:
        values, name: the recipe's JSON and its name.
        data: folder with volumes.
        order: what the run was started with; its output folder exists.
    """
    recipe = between_recipe_from(values, name)
    if data is None:
        raise UsageError(f"{recipe.name}: this recipe needs a folder with volumes; give --data.")
    recipe = replace(recipe, training=order.budgeted(recipe.training))
    with closing(World(order.device)) as world:
        trainer = BetweenTrainer(recipe, *read_volumes(recipe.data, data), order.output, world, order.report)
        if trainer.complete(order.resume):
            write_hifidiff(
                trainer.average,
                order.model,
                {
                    "name": recipe.name,
                    "network": {"name": recipe.network, "arguments": dict(recipe.arguments)},
                    "training": {
                        **trainer.account(recipe.data),
                        "diffusion_steps": recipe.data.diffusion_steps,
                        "validation": trainer.measure(1.0),
                    },
                },
            )
