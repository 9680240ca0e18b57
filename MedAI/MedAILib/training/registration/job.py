"""From a registration recipe and two folders to a trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import ReadError, UsageError
from ...files import read_image
from ...files.formats import stem_of
from ...image import Kind
from ...registration.trained import write_trained
from ..distributed import World
from ..maps import read_maps
from ..order import Order
from ..split import split_files
from .config import RegistrationRecipe, registration_recipe_from
from .images import ImagePairs, read_scans
from .sample import PairSource
from .synthetic import LabelMapPairs, ShapePairs, table_of_codes
from .trainer import RegistrationTrainer


def load_pairs(
    recipe: RegistrationRecipe, folder: Path | None, device: torch.device
) -> tuple[PairSource, PairSource | None]:
    """The pairs to train on and those held out (of shapes: further shapes).

    Raises:
        UsageError: the recipe needs a data folder, and there is none.
        ReadError: the folder has too few files, or lacks one that the recipe holds out.
    """
    data = recipe.data
    if data.kind == "shapes":
        pairs = ShapePairs(data.shapes, recipe.generator, device)
        return pairs, pairs
    if folder is None:
        raise UsageError(f"{recipe.name}: this recipe needs a folder with its files; give --data.")
    trained, held = split_files(folder, data.pattern, data.held_out, "files")
    if data.kind == "label_maps":
        table = recipe.table or table_of_codes(_codes([*trained, *held]))
        ours, theirs = (
            LabelMapPairs(read_maps(files, table), table, recipe.generator, recipe.pairs.across, device)
            if files
            else None
            for files in (trained, held)
        )
        if ours is None:
            raise ReadError(f"{folder}: no label map is left to train on.")
        return ours, theirs
    scans, _ = read_scans([*trained, *held], data, folder)
    names = {stem_of(file) for file in held}
    kept = [scan for scan in scans if scan.name not in names]
    pairs_of = [pair for pair in data.pairs if not set(pair) & names]
    held_pairs = [pair for pair in data.pairs if set(pair) <= names]
    others = [scan for scan in scans if scan.name in names]
    return (
        ImagePairs(kept, pairs_of, device),
        ImagePairs(others, held_pairs, device) if len(others) > 1 else None,
    )


def _codes(files: Sequence[Path]) -> list[int]:
    return sorted({int(code) for file in files for code in np.unique(read_image(file, Kind.LABEL).array)})


def train_registration(values: Mapping[str, Any], name: str, data: Path | None, order: Order) -> None:
    """Train, and write the trained network to the order's model folder.

    Args:
        values, name: the recipe's JSON and its name.
        data: folder with the recipe's files; None for shapes.
        order: what the run was started with; its output folder exists.
    """
    recipe = registration_recipe_from(values, name)
    recipe = replace(recipe, training=order.budgeted(recipe.training))
    with closing(World(order.device)) as world:
        pairs, held_out = load_pairs(recipe, data, world.device)
        trainer = RegistrationTrainer(recipe, pairs, held_out, order.output, world, order.report)
        if trainer.complete(order.resume):
            write_trained(
                trainer.average,
                order.model,
                recipe.name,
                {"name": recipe.network, "arguments": recipe.arguments},
                {
                    **trainer.account(recipe.data),
                    "data": recipe.data.source or recipe.data.kind,
                    "validation": trainer.measure(1.0),
                },
                sum(recipe.pairs.smoothness) / 2,
            )
