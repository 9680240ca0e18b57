"""From a recipe and a folder of labeled cases to a trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...errors import ContentError, UsageError
from ...inference.memory import free_bytes, free_host_bytes
from ...models.task_card import FEWEST_STEPS
from ...networks import build
from ..distributed import World
from ..order import Order
from .checks import check_cases
from .config import CasesRecipe, cases_recipe_from
from .export import export_cases_model
from .folder import find_cases
from .network import fitted_arguments, is_slicewise, patch_voxels, units
from .plan import Plan, choose_grid, choose_patch, make_plan, read_plan
from .prepared import prepare_cases
from .report import Report
from .run_folder import PLAN, RunFolder
from .trainer import CasesTrainer

_CACHE = "prepared"
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


def train_cases(values: Mapping[str, Any], name: str, data: Path | None, order: Order) -> None:
    """Train, and write the trained network to the order's model folder.

    Args:
        values, name: the recipe's JSON and its name.
        data: folder with labeled cases, see :func:`.folder.find_cases`.
        order: what the run was started with; its output folder exists.

    Raises:
        MedAIError: as the messages say.
    """
    if data is None:
        raise UsageError(f"{name}: this recipe needs a folder with labeled cases; give --data.")
    run_cases(cases_recipe_from(values, name), data, order)


def run_cases(recipe: CasesRecipe, data: Path, order: Order, watch: Watch | None = None) -> CasesTrainer:
    """Check, plan, prepare, train and export.

    Args:
        recipe: of the run.
        data: folder with labeled cases.
        order: what the run was started with; its output folder exists.
        watch: who follows it.

    Returns:
        The trainer, at the end of its run.

    Raises:
        ContentError: the cases cannot be trained on; the message names all reasons.
        Cancelled: paused; the checkpoint is written.
        MedAIError: as the messages say.
    """
    watch = watch or Watch()
    recipe = replace(recipe, training=order.budgeted(recipe.training))
    watch.stage(CHECKING)
    report = checked(data, watch)
    with closing(World(order.device)) as world:
        folder = RunFolder(order.output)
        torch.manual_seed(recipe.training.seed)
        if order.resume and (order.output / PLAN).is_file():
            plan = read_plan(order.output / PLAN)
        else:
            plan = planned(report, recipe, world.device)
            folder.write(PLAN, plan.to_json())
        arguments = fitted_arguments(
            recipe.network, recipe.arguments, plan.channels, len(plan.table) + 1, len(plan.trained)
        )
        watch.stage(PREPARING)
        files = {one.name: one for one in find_cases(data).cases}
        missing = [one for one in (*plan.trained, *plan.held_out) if one not in files]
        if missing:
            raise UsageError(f"{data}: the case {missing[0]} of the run's plan is not there any more.")
        ready = prepare_cases(
            [files[one] for one in (*plan.trained, *plan.held_out)],
            plan,
            order.output / _CACHE,
            int(_MEMORY_SHARE * free_host_bytes()),
            watch.share,
        )
        trained, held_out = ready[: len(plan.trained)], ready[len(plan.trained) :]
        watch.stage(TRAINING)
        torch.manual_seed(recipe.training.seed)
        network = build(recipe.network, arguments)
        trainer = CasesTrainer(
            recipe, plan, network, trained, held_out, order.output, world, order.report, watch.check
        )
        if order.resume:
            trainer.resume()
        trainer.run(watch.stop)
        watch.check()
        if world.first and trainer.clock.step >= FEWEST_STEPS:
            watch.stage(WRITING)
            training = {
                "seed": recipe.training.seed,
                "steps": trainer.clock.step,
                "seconds": round(trainer.clock.seconds),
                "command": command_line(recipe),
            }
            export_cases_model(
                trainer.average, arguments, recipe, plan, report, trainer.scores, training, order.model
            )
        return trainer


def checked(data: Path, watch: Watch) -> Report:
    """The report of a folder that can be trained on.

    Raises:
        ContentError: it cannot; the message names all reasons.
    """
    report = check_cases(data, watch.share)
    for problem in report.problems:
        if not problem.fatal:
            watch.warn("cases", problem.message)
    if report.fatal:
        raise ContentError(f"{data}: " + " ".join(problem.message for problem in report.fatal))
    return report


def planned(report: Report, recipe: CasesRecipe, device: torch.device) -> Plan:
    """The plan for these cases and the recipe's network on a device."""
    inputs, classes = report.facts[0].channels, 1 + (1 if recipe.plan.instances else len(report.table))
    network = build(
        recipe.network, fitted_arguments(recipe.network, recipe.arguments, inputs, classes, len(report.facts))
    )
    slicewise = is_slicewise(network)
    grid = choose_grid(report.facts, recipe.plan, slicewise)
    batch = recipe.plan.batch or recipe.training.batch
    voxels = patch_voxels(network, inputs, batch, device, free_bytes(device))
    patch = choose_patch(grid, units(network), voxels, recipe.plan, slicewise)
    return make_plan(report, recipe.plan, recipe.validation, grid, patch, batch, recipe.training.seed)


def command_line(recipe: CasesRecipe) -> str:
    """How the run is repeated; folders are the reader's own, so they are named by what they hold."""
    settings = recipe.training
    budget = f"--seconds {settings.seconds:g}" if settings.seconds else f"--steps {settings.steps}"
    return f"medai train {recipe.name} --data CASES --output RUN {budget} --seed {settings.seed}"
