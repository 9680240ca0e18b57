"""From a recipe and a folder of label maps and scans to a trained network that answers clicks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...interactive.network.card import write_network
from ..distributed import World
from ..order import Order
from .config import clicks_recipe_from
from .subjects import read_subjects
from .trainer import ClicksTrainer


def train_clicks(values: Mapping[str, Any], name: str, data: Path | None, order: Order) -> None:
    """Train, and write the trained network to the order's model folder.

    Args:
        values, name: the recipe's JSON and its name.
        data: folder with the recipe's label maps and scans.
        order: what the run was started with; its output folder exists.
    """
    recipe = clicks_recipe_from(values, name)
    if data is None:
        raise UsageError(f"{recipe.name}: this recipe needs a folder with label maps and scans; give --data.")
    recipe = replace(recipe, training=order.budgeted(recipe.training))
    subjects, held_out = read_subjects(recipe.data, data)
    with closing(World(order.device)) as world:
        trainer = ClicksTrainer(recipe, subjects, held_out, order.output, world, order.report)
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
                        "trained_on": [subject.name for subject in subjects],
                        "command": f"medai train {recipe.name} --data DATA --output RUN {budget}",
                        **(trainer.measure(1.0) or {}),
                    },
                },
            )
