"""From a recipe and a folder of labeled cases to a trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import ModelError, OutputExistsError
from ...json_values import all_finite
from ...models.store import ModelStore
from ...models.task_card import FEWEST_STEPS
from ..distributed import World
from ..order import Order
from .request import TrainRequest
from .run import prepare_run
from .run_folder import REQUEST, RUN_CHECKPOINT, RunFolder
from .watch import WRITING, Watch

FEWEST_FURTHER = 20
"""A network that was a model before is not used after fewer further steps."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        model: name of the model; empty if too little was trained for one.
        folder: of the model.
        steps, seconds: done in all.
        dice: class to mean Dice over the cases held out.
        concluded: stopped before the budget was used up.
    """

    model: str
    folder: Path
    steps: int
    seconds: float
    dice: Mapping[str, float]
    concluded: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model,
            "folder": str(self.folder),
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "dice": dict(all_finite(self.dice)),
            "concluded": self.concluded,
        }


def run_request(
    request: TrainRequest, device: str, report: Callable[[dict[str, Any]], None], watch: Watch | None = None
) -> Outcome:
    """Check, plan, prepare, train, export and install.

    Args:
        request: what is asked for.
        device: name of one.
        report: receives each line of the log.
        watch: who follows it.

    Raises:
        ContentError: the cases cannot be trained on; the message names all reasons.
        Cancelled: paused; the checkpoint is written.
        MedAIError: as the messages say.
    """
    watch = watch or Watch()
    recipe = request.load_recipe()
    folder = RunFolder(Path(request.output))
    order = Order(folder.path, request.resume, device, request.seconds, request.steps, report, request.seed)
    recipe = replace(recipe, training=order.budgeted(recipe.training))
    if request.install:
        check_free(recipe.name, request.overwrite or folder.request.get("finished") == recipe.name)
    with closing(World(device)) as world:
        if world.first:
            order.prepare()
            if not (request.resume and (folder.path / RUN_CHECKPOINT).is_file()):
                folder.clear()
            folder.write(REQUEST, request.message()[0])
        world.wait()
        run = prepare_run(recipe, Path(request.data), folder, world, order, watch)
        trainer = run.train()
        name, place = "", order.model
        if world.first and trainer.clock.step >= (FEWEST_STEPS if run.start is None else FEWEST_FURTHER):
            watch.stage(WRITING)
            run.export(trainer, place)
            name = recipe.name
            if request.install:
                place = ModelStore().add(place, overwrite=True).folder
            folder.write(REQUEST, {**request.message()[0], "finished": name})
        dice = trainer.scores.classes if trainer.scores else {}
        ended = trainer.fraction() >= 1.0
        return Outcome(name, place, trainer.clock.step, trainer.clock.seconds, dice, not ended)


def check_free(name: str, overwrite: bool) -> None:
    """Before hours of work: a model of this name can be installed at the end.

    Raises:
        ModelError, OutputExistsError: the name is taken.
    """
    store = ModelStore()
    if (store.bundled / name).exists():
        raise ModelError(f"A bundled model is named {name!r} already. Choose another name.")
    if (store.user / name).exists() and not overwrite:
        raise OutputExistsError(f"You have a model named {name!r} already. Choose another name.")
