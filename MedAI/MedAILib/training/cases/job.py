"""From a recipe and a folder of labeled cases to a trained model."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...errors import ContentError, ModelError, OutOfMemory, OutputExistsError, ReadError
from ...geometry import Shape
from ...inference.devices import choose
from ...inference.ladder import is_out_of_memory, smaller
from ...inference.memory import free_bytes, free_host_bytes
from ...json_values import all_finite
from ...models import ModelCard
from ...models.store import ModelStore
from ...models.task_card import FEWEST_STEPS
from ...networks import build
from ..distributed import World
from ..order import Order
from .checks import check_cases
from .config import CasesRecipe
from .export import export_cases_model
from .folder import find_cases
from .network import fitted_arguments, is_slicewise, patch_voxels, units
from .plan import Plan, choose_grid, choose_patch, make_plan, read_plan
from .prepared import PreparedCase, prepare_cases
from .report import Report
from .request import TrainRequest
from .run_folder import CACHE, PLAN, REQUEST, RUN_CHECKPOINT, RunFolder
from .start import RATE, Start, start_arguments, start_card, take_over
from .trainer import CasesTrainer

_MEMORY_SHARE = 0.3


@dataclass(frozen=True)
class Watch:
    """Whoever follows a training.

    Attributes:
        stage: called with the name of each stage.
        share: called with the done share of the stage.
        warn: called with (code, sentence).
        check: raises Cancelled when the run is to pause; called often.
        stop: True when the run is to finish with what it has.
    """

    stage: Callable[[str], None] = lambda name: None
    share: Callable[[float], None] = lambda share: None
    warn: Callable[[str, str], None] = lambda code, message: None
    check: Callable[[], None] = lambda: None
    stop: Callable[[], bool] = lambda: False


CHECKING, PREPARING, TRAINING, WRITING = (
    "Checking the cases",
    "Preparing the cases",
    "Training",
    "Writing the model",
)
STAGES = {CHECKING: 0.02, PREPARING: 0.02, TRAINING: 0.95, WRITING: 0.01}


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
    order.prepare()
    if not (request.resume and (folder.path / RUN_CHECKPOINT).is_file()):
        folder.clear()
    folder.write(REQUEST, request.message()[0])
    with closing(World(device)) as world:
        run = prepare_run(recipe, Path(request.data), folder, world, order, watch)
        trainer = run.train()
        name, place = "", order.model
        if world.first and trainer.clock.step >= FEWEST_STEPS:
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


@dataclass
class Run:
    """A run that is ready to begin, or to go on.

    Attributes:
        recipe, plan, report, data: what is trained, how, and on what.
        cases: those to train on, then those held out.
        folder, world, order, watch: where, with what, and for whom.
        start: model to begin with, or None.
    """

    recipe: CasesRecipe
    plan: Plan
    report: Report
    cases: list[PreparedCase]
    folder: RunFolder
    world: World
    order: Order
    watch: Watch
    start: ModelCard | None = None
    taken: Start | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the network's constructor."""
        return network_arguments(
            self.recipe, self.start, self.plan.channels, len(self.plan.table) + 1, len(self.plan.trained)
        )

    def trainer(self) -> CasesTrainer:
        """With its first weights, which follow from the seed, and then those of the model to begin with."""
        torch.manual_seed(self.recipe.training.seed)
        network = build(self.recipe.network, self.arguments)
        if self.start is not None:
            self.taken = take_over(network, self.start, self.arguments, self.plan.table)
        number = len(self.plan.trained)
        return CasesTrainer(
            self.recipe,
            self.plan,
            network,
            self.cases[:number],
            self.cases[number:],
            self.folder.path,
            self.world,
            self.order.report,
            self.watch.check,
        )

    def train(self) -> CasesTrainer:
        """To the end; with smaller batches or patches where memory runs out, from the last checkpoint.

        Raises:
            OutOfMemory: not even the smallest patch fits.
            Cancelled, WriteError: as their messages say.
        """
        resume = self.order.resume
        self.watch.stage(TRAINING)
        while True:
            trainer = self.trainer()
            if resume:
                trainer.resume()
            try:
                trainer.run(self.watch.stop)
                return trainer
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            unit, resume = units(trainer.network), True
            del trainer
            self._make_smaller(unit)

    def _make_smaller(self, unit: Shape) -> None:
        """Half the batch, else half the patch; said in the log and to whoever watches."""
        plan = self.plan
        gc.collect()
        if self.world.device.type == "cuda":
            torch.cuda.empty_cache()
        if plan.batch > 1:
            text = f"Memory is short: {plan.batch // 2} instead of {plan.batch} patches are used per step."
            plan = replace(plan, batch=plan.batch // 2)
        else:
            patch = smaller(plan.patch, unit)
            if patch is None:
                raise OutOfMemory("Memory does not suffice even for the smallest patch. Close other programs.")
            text = f"Memory is short: patches of {patch} instead of {plan.patch} voxels (k, j, i) are used."
            plan = replace(plan, patch=patch)
        self.plan = replace(plan, why=(*plan.why, text))
        self.folder.write(PLAN, self.plan.to_json())
        self.watch.warn("memory", text)

    def export(self, trainer: CasesTrainer, destination: Path) -> Path:
        """Write the model folder."""
        training = {
            "seed": self.recipe.training.seed,
            "steps": trainer.clock.step,
            "seconds": round(trainer.clock.seconds),
            "command": command_line(self.recipe),
            **({"start": self.taken.to_json()} if self.taken else {}),
        }
        return export_cases_model(
            trainer.average, self.arguments, self.recipe, self.plan, self.report, trainer.scores, training, destination
        )


def prepare_run(recipe: CasesRecipe, data: Path, folder: RunFolder, world: World, order: Order, watch: Watch) -> Run:
    """Check the cases, plan (or read the plan of the run that goes on), and bring the cases onto the network's grid."""
    watch.stage(CHECKING)
    report = checked(data, recipe.plan.instances, watch)
    start = None if recipe.start is None else start_card(recipe.start, recipe.network)
    if order.resume and (folder.path / PLAN).is_file():
        plan = read_plan(folder.path / PLAN)
    else:
        plan = planned(report, recipe, start, world.device)
        folder.write(PLAN, plan.to_json())
    if start is not None:
        recipe = slower(recipe)
    watch.stage(PREPARING)
    files = {one.name: one for one in find_cases(data).cases}
    missing = [one for one in (*plan.trained, *plan.held_out) if one not in files]
    if missing:
        raise ReadError(f"{data}: the case {missing[0]} of the run's plan is not there any more.")
    cases = prepare_cases(
        [files[one] for one in (*plan.trained, *plan.held_out)],
        plan,
        folder.path / CACHE,
        int(_MEMORY_SHARE * free_host_bytes()),
        watch.share,
    )
    return Run(recipe, plan, report, cases, folder, world, order, watch, start)


def slower(recipe: CasesRecipe) -> CasesRecipe:
    """The recipe with the learning rate of a training that begins with a model."""
    settings = recipe.training
    return replace(recipe, training=replace(settings, learning_rate=RATE * settings.learning_rate))


def network_arguments(
    recipe: CasesRecipe, start: ModelCard | None, inputs: int, classes: int, cases: int
) -> dict[str, Any]:
    """Of the network's constructor: the recipe's, or those of the model to begin with."""
    if start is not None:
        return start_arguments(start, inputs, classes, cases)
    return fitted_arguments(recipe.network, recipe.arguments, inputs, classes, cases)


def checked(data: Path, instances: bool, watch: Watch) -> Report:
    """The report of a folder that can be trained on.

    Raises:
        ContentError: it cannot; the message names all reasons.
    """
    report = check_cases(data, watch.share, instances)
    for problem in report.problems:
        if not problem.fatal:
            watch.warn("cases", problem.message)
    if report.fatal:
        raise ContentError(f"{data}: " + " ".join(problem.message for problem in report.fatal))
    return report


def planned(report: Report, recipe: CasesRecipe, start: ModelCard | None, device: torch.device) -> Plan:
    """The plan for these cases and the recipe's network on a device; a model to begin with keeps its grid and its
    intensities, which its weights know."""
    settings = recipe.plan
    if start is not None:
        settings = replace(
            settings,
            spacing=settings.spacing or start.spacing,
            orientation=settings.orientation or start.orientation,
            intensity=settings.intensity or start.intensity,
        )
    inputs, classes = report.facts[0].channels, 1 + (1 if settings.instances else len(report.table))
    network = build(recipe.network, network_arguments(recipe, start, inputs, classes, len(report.facts)))
    slicewise = is_slicewise(network)
    grid = choose_grid(report.facts, settings, slicewise)
    batch = settings.batch or recipe.training.batch
    voxels = patch_voxels(network, inputs, batch, device, free_bytes(device))
    patch = choose_patch(grid, units(network), voxels, settings, slicewise)
    return make_plan(report, settings, recipe.validation, grid, patch, batch, recipe.training.seed)


def plan_for(report: Report, request: TrainRequest, device: str) -> Plan:
    """The plan that a request would be trained with.

    Raises:
        MedAIError: it cannot be trained like this.
    """
    recipe = request.load_recipe()
    start = None if recipe.start is None else start_card(recipe.start, recipe.network)
    return planned(report, recipe, start, choose(device).torch)


def command_line(recipe: CasesRecipe) -> str:
    """How the run is repeated; folders are the reader's own, so they are named by what they hold."""
    settings = recipe.training
    budget = f"--seconds {settings.seconds:g}" if settings.seconds else f"--steps {settings.steps}"
    return f"medai train {recipe.name} --data CASES --output RUN {budget} --seed {settings.seed}"
