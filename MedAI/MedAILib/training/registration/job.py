"""From a registration recipe and two folders to a trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import ReadError, UsageError
from ...files import read_image
from ...files.formats import stem_of
from ...image import Kind
from ...registration.trained import FEWEST_STEPS, write_trained
from ..distributed import World
from ..maps import read_maps
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
    trained, held = _files(recipe, folder)
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


def _files(recipe: RegistrationRecipe, folder: Path) -> tuple[list[Path], list[Path]]:
    files = sorted(folder.glob(recipe.data.pattern)) if folder.is_dir() else []
    held = [file for file in files if stem_of(file) in recipe.data.held_out]
    trained = [file for file in files if file not in held]
    if not trained or len(held) != len(recipe.data.held_out):
        raise ReadError(
            f"{folder}: found {len(trained)} files {recipe.data.pattern} to train on and {len(held)} of the "
            f"{len(recipe.data.held_out)} to hold out. Check the data folder."
        )
    return trained, held


def _codes(files: Sequence[Path]) -> list[int]:
    return sorted({int(code) for file in files for code in np.unique(read_image(file, Kind.LABEL).array)})


def train_registration(
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
        data: folder with the recipe's files; None for shapes.
        output: folder for checkpoint and log; exists.
    """
    recipe = registration_recipe_from(values, name)
    if seconds is not None or steps is not None:
        recipe = replace(recipe, training=replace(recipe.training, seconds=seconds, steps=steps))
    world = World(device)
    try:
        pairs, held_out = load_pairs(recipe, data, world.device)
        trainer = RegistrationTrainer(recipe, pairs, held_out, output, world, report)
        if resume:
            trainer.resume()
        trainer.run()
        if world.first and trainer.clock.step >= FEWEST_STEPS:
            write_trained(
                trainer.average,
                output / "model",
                recipe.name,
                {"name": recipe.network, "arguments": recipe.arguments},
                {
                    "data": recipe.data.source or recipe.data.kind,
                    "data_license": recipe.data.license,
                    "held_out": list(recipe.data.held_out),
                    "steps": trainer.clock.step,
                    "seconds": round(trainer.clock.seconds),
                    "seed": recipe.training.seed,
                    "validation": trainer.measure(1.0),
                },
                sum(recipe.pairs.smoothness) / 2,
            )
    finally:
        world.close()
