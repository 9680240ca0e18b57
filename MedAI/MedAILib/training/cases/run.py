"""A run on labeled cases: checked, planned, prepared, trained, exported."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...errors import ContentError, OutOfMemory, ReadError
from ...geometry import Shape
from ...inference.ladder import is_out_of_memory, smaller
from ...inference.memory import free_host_bytes
from ...models import ModelCard
from ...networks import build
from ..distributed import World
from ..order import Order
from .checks import check_cases
from .config import CasesRecipe
from .export import check_card, export_cases_model
from .folder import find_cases
from .network import takes_subsets, units
from .plan import Plan, read_plan
from .planning import network_arguments, planned
from .prepared import PreparedCase, prepare_cases
from .report import Report
from .run_folder import CACHE, PLAN, RunFolder
from .start import RATE, Start, start_card, take_over
from .trainer import CasesTrainer
from .watch import CHECKING, PREPARING, TRAINING, Watch

_MEMORY_SHARE = 0.3
"""Of the free main memory, for the cases."""


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
            self._look,
        )

    def _look(self, share: float) -> None:
        """Tell how far it is; raises Cancelled when the run is to pause."""
        self.watch.check()
        self.watch.share(min(1.0, share))

    def train(self) -> CasesTrainer:
        """To the end; with smaller batches or patches where memory runs out, from the last checkpoint.

        Several processes do not agree on that, so there the error goes on.

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
                if not is_out_of_memory(error) or self.world.size > 1:
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
            "command": command_line(self.recipe, self.start),
            **({"start": self.taken.to_json()} if self.taken else {}),
        }
        return export_cases_model(
            trainer.average, self.arguments, self.recipe, self.plan, self.report, trainer.scores, training, destination
        )


def prepare_run(recipe: CasesRecipe, data: Path, folder: RunFolder, world: World, order: Order, watch: Watch) -> Run:
    """Check the cases, plan (or read the plan of the run that goes on), and bring the cases onto the network's grid."""
    check_card(recipe)
    watch.stage(CHECKING)
    report = checked(data, recipe, watch)
    start = None if recipe.start is None else start_card(recipe.start, recipe.network, recipe.arguments)
    if world.first and not (folder.path / PLAN).is_file():
        folder.write(PLAN, planned(report, recipe, start, world.device).to_json())
    world.wait()
    plan = read_plan(folder.path / PLAN)
    if start is not None:
        recipe = slower(recipe)
        seen = sorted(set(plan.held_out) & {str(name) for name in start.training.get("trained_on", ())})
        if seen:
            text = (
                f"{start.name} was trained on {len(seen)} of the cases held out, e.g. {seen[0]}, if they are the same."
            )
            watch.warn("start", f"{text} Their Dice would be too good; name others with --held-out.")
    watch.stage(PREPARING)
    files = {one.name: one for one in find_cases(data).cases}
    missing = [one for one in (*plan.trained, *plan.held_out) if one not in files]
    if missing:
        raise ReadError(f"{data}: the case {missing[0]} of the run's plan is not there any more.")
    cases = prepare_cases(
        [files[one] for one in (*plan.trained, *plan.held_out)],
        plan,
        folder.path / CACHE / f"{world.rank}",
        int(_MEMORY_SHARE * free_host_bytes()),
        watch.share,
    )
    return Run(recipe, plan, report, cases, folder, world, order, watch, start)


def checked(data: Path, recipe: CasesRecipe, watch: Watch) -> Report:
    """The report of a folder that can be trained on.

    Raises:
        ContentError: it cannot; the message names all reasons.
    """
    report = check_cases(data, watch.share, recipe.plan.instances, takes_subsets(recipe.network))
    for problem in report.problems:
        if not problem.fatal:
            watch.warn("cases", problem.message)
    if report.fatal:
        raise ContentError(f"{data}: " + " ".join(problem.message for problem in report.fatal))
    return report


def slower(recipe: CasesRecipe) -> CasesRecipe:
    """The recipe with the learning rate of a training that begins with a model."""
    settings = recipe.training
    return replace(recipe, training=replace(settings, learning_rate=RATE * settings.learning_rate))


def command_line(recipe: CasesRecipe, start: ModelCard | None = None) -> str:
    """How the run is repeated; folders are the reader's own, so they are named by what they hold."""
    settings = recipe.training
    parts = [f"medai train {recipe.recipe} --data CASES --output RUN"]
    parts.append(f"--seconds {settings.seconds:g}" if settings.seconds else f"--steps {settings.steps}")
    parts.append(f"--seed {settings.seed}")
    if start is not None:
        parts.append(f"--start {start.name}")
    if recipe.validation.cases:
        parts.append(f"--held-out {' '.join(recipe.validation.cases)}")
    return " ".join(parts)
