"""From a recipe and a folder of volumes to a trained model that restores slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ...superres.restoration import write_restoration
from ..distributed import World
from ..order import Order
from .config import DlestSettings, slice_recipe_from
from .dlest import DlestTrainer
from .slices import Slices, read_slices, split_sites
from .unoranic import UnoranicTrainer


def train_slices(values: Mapping[str, Any], name: str, data: Path | None, order: Order) -> None:
    """Train, and write the trained model to the order's model folder.

    Args:
        values, name: the recipe's JSON and its name.
        data: folder with volumes.
        order: what the run was started with; its output folder exists.
    """
    recipe = slice_recipe_from(values, name)
    if data is None:
        raise UsageError(f"{recipe.name}: this recipe needs a folder with volumes; give --data.")
    recipe = replace(recipe, training=order.budgeted(recipe.training))
    trained, held_out = read_slices(recipe.data, data)
    with closing(World(order.device)) as world:
        trainer: UnoranicTrainer | DlestTrainer
        if isinstance(recipe.losses, DlestSettings):
            sites = split_sites(trained, data, recipe.data.target)
            trainer = DlestTrainer(recipe, *sites, held_out, order.output, world, order.report)
        else:
            trainer = UnoranicTrainer(recipe, trained, held_out, order.output, world, order.report)
        if trainer.complete(order.resume):
            write_restoration(
                trainer.average,
                order.model,
                {
                    "name": recipe.name,
                    "network": {"name": recipe.network, "arguments": dict(recipe.arguments)},
                    "training": {
                        **trainer.account(recipe.data),
                        **_seen(trained),
                        "losses": asdict(recipe.losses),
                        **(trainer.measure(1.0) or {}),
                    },
                },
            )


def _seen(volumes: Sequence[Slices]) -> dict[str, Any]:
    """What a scan is compared with before the model is applied to it."""
    return {
        "directions": sorted({one.direction for one in volumes}),
        "pixel": round(float(np.median([one.pixel for one in volumes])), 4),
    }
