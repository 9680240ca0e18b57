"""From a super-resolution recipe and a folder of scans to a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...superres.warm_start import write_network
from ..distributed import World
from ..order import Order
from .config import superres_recipe_from
from .scans import read_pictures
from .trainer import SuperresTrainer


def train_superres(values: Mapping[str, Any], name: str, data: Path | None, order: Order) -> None:
    """Train, and write the trained network to the order's model folder.

    Args:
        values, name: the recipe's JSON and its name.
        data: folder with the recipe's scans.
        order: what the run was started with; its output folder exists.
    """
    recipe = superres_recipe_from(values, name)
    if data is None:
        raise UsageError(f"{recipe.name}: this recipe needs a folder with its scans; give --data.")
    recipe = replace(recipe, training=order.budgeted(recipe.training))
    with closing(World(order.device)) as world:
        scans, held_out = (
            read_pictures(files, data, recipe.acquisition, world.device)
            for files in (recipe.data.files, recipe.data.held_out)
        )
        trainer = SuperresTrainer(recipe, scans, held_out, order.output, world, order.report)
        if trainer.complete(order.resume):
            budget = (
                f"--seconds {recipe.training.seconds:g}" if recipe.training.seconds else f"--steps {trainer.clock.step}"
            )
            write_network(
                trainer.average,
                order.model,
                {
                    **recipe.card,
                    "name": recipe.name,
                    "network": {"name": recipe.network, "arguments": dict(recipe.arguments)},
                    "training": {
                        **trainer.account(recipe.data),
                        "trained_on": list(recipe.data.files),
                        "command": f"medai train {recipe.name} --data SCANS --output RUN {budget}",
                        **(trainer.measure(1.0) or {}),
                    },
                },
            )
