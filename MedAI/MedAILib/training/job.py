"""From a recipe's name and two folders to a trained network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import Cancelled, ReadError, UsageError
from .between.job import train_between
from .cases.job import run_request
from .cases.request import TrainRequest
from .cases.watch import Watch
from .clicks.job import train_clicks
from .config import load_values, task_of
from .distributed import World
from .export import export_model
from .maps import LabelMap, read_maps
from .order import Order
from .recipe import Recipe, load_recipe, recipe_from
from .registration.job import train_registration
from .slices.job import train_slices
from .split import split_files
from .superres.job import train_superres
from .trainer import Trainer


def load_data(recipe: Recipe, folder: Path) -> tuple[list[LabelMap], list[LabelMap]]:
    """The label maps to train on and those held out.

    Raises:
        ReadError: the folder has none, or lacks one that the recipe holds out.
    """
    trained, held = split_files(folder, recipe.data.pattern, recipe.data.held_out, "label maps")
    return read_maps(trained, recipe.table), read_maps(held, recipe.table)


def train(
    config: str | Path,
    data: str | Path | None,
    output: str | Path,
    resume: bool,
    device: str,
    seconds: float | None,
    steps: int | None,
    report: Callable[[dict[str, Any]], None],
    seed: int | None = None,
    pause: Callable[[], bool] = lambda: False,
    of_cases: Mapping[str, Any] | None = None,
) -> Path:
    """See :func:`MedAILib.training.run`."""
    values, name = load_values(config)
    place = None if data is None else Path(data)
    if task_of(values) == "cases":
        if place is None:
            raise UsageError(f"{name}: this recipe needs a folder with labeled cases; give --data.")
        asked = {"seconds": seconds, "steps": steps, "seed": seed, "resume": resume, **(of_cases or {})}

        def check() -> None:
            if pause():
                raise Cancelled("The training was paused.")

        request = TrainRequest(str(config), str(place), str(output), **asked)
        return run_request(request, device, report, Watch(check=check)).folder
    if of_cases:
        raise UsageError(f"{name}: {', '.join(sorted(of_cases))}: only for recipes of labeled cases.")
    order = Order(Path(output), resume, device, seconds, steps, report, seed)
    others = {
        "registration": train_registration,
        "superres": train_superres,
        "between": train_between,
        "slices": train_slices,
        "clicks": train_clicks,
    }
    other = others.get(task_of(values))
    if other is not None:
        order.prepare()
        other(values, name, place, order)
        return order.output
    recipe = recipe_from(values, name)
    if place is None:
        raise UsageError(f"{name}: this recipe needs a folder with label maps; give --data.")
    recipe = replace(recipe, training=order.budgeted(recipe.training))
    order.prepare()
    with closing(World(order.device)) as world:
        maps, held_out = load_data(recipe, place)
        trainer = Trainer(recipe, maps, held_out, order.output, world, order.report)
        if trainer.complete(order.resume) and recipe.card:
            command = command_line(config, recipe, world.size)
            export_model(recipe, order.output, [*maps, *held_out], order.model, command)
    return order.output


def command_line(config: str | Path, recipe: Recipe, processes: int = 1) -> str:
    """How the run is repeated; folders are the reader's own, so they are named by what they hold."""
    settings = recipe.training
    budget = f"--seconds {settings.seconds:g}" if settings.seconds else f"--steps {settings.steps}"
    launcher = f"torchrun --nproc-per-node={processes} --no-python " if processes > 1 else ""
    return f"{launcher}medai train {Path(config).stem} --data LABEL_MAPS --output RUN {budget}"


def export(
    config: str | Path,
    data: str | Path,
    output: str | Path,
    destination: str | Path,
    command: str = "",
    measured: str | Path | None = None,
) -> Path:
    """Write the model folder of a run that is under way or done.

    Args:
        config, data, output: as given to :func:`MedAILib.training.run`.
        destination: the model folder.
        command: how the run was started, for the card; by default, as the recipe says, in one process.
        measured: JSON file with a list of figures (dataset, metric, value, command) for the card, or None.

    Raises:
        ReadError, ModelError, WriteError: as their messages say.
    """
    recipe = load_recipe(config)
    maps, held_out = load_data(recipe, Path(data))
    command = command or command_line(config, recipe)
    figures = _read_figures(Path(measured)) if measured else []
    return export_model(recipe, Path(output), [*maps, *held_out], Path(destination), command, figures)


def _read_figures(file: Path) -> list[dict[str, Any]]:
    try:
        figures = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{file}: the figures cannot be read ({error}).") from error
    if not isinstance(figures, list):
        raise ReadError(f"{file}: must hold a JSON list of figures.")
    return figures
