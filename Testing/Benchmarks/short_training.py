"""Networks trained in this process for a few steps on the same hippocampus patches, for benchmarks that compare two or
three of them closely; :mod:`networks` compares all, by the command line."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from networks_data import hippocampus
from networks_score import TOLERANCE, scoring
from torch import nn

from MedAILib.geometry import Shape
from MedAILib.networks import build
from MedAILib.training.cases.checks import check_cases
from MedAILib.training.cases.config import cases_recipe_from
from MedAILib.training.cases.folder import CaseFiles, find_cases
from MedAILib.training.cases.measure import measure_cases
from MedAILib.training.cases.network import fitted_arguments
from MedAILib.training.cases.plan import Plan, choose_grid, make_plan
from MedAILib.training.cases.prepared import PreparedCase, prepare_case
from MedAILib.training.cases.settings import CaseValidation, PlanSettings
from MedAILib.training.cases.trainer import CasesTrainer
from MedAILib.training.config import load_values
from MedAILib.training.distributed import World

BATCH = 2


@dataclass(frozen=True)
class Lesson:
    """Cases on one grid.

    Attributes:
        plan: of the training.
        trained, tested: cases.
    """

    plan: Plan
    trained: list[PreparedCase]
    tested: list[PreparedCase]


@dataclass(frozen=True)
class Result:
    """One network, trained once.

    Attributes:
        parameters: their number.
        step: CPU seconds of a training step, median.
        dice, surface_dice: means over classes and cases for testing.
        decoded: mean share of voxels that were predicted one by one, for networks that do so.
        told: share of the sequences of which a discriminator says rightly whether they are there, for networks that
            have one.
    """

    parameters: int
    step: float
    dice: float
    surface_dice: float
    decoded: float
    told: float | None = None


def lesson(patch: Shape) -> Lesson:
    """The benchmark's split of the hippocampus scans, for patches of this size."""
    split = hippocampus()
    with tempfile.TemporaryDirectory() as name:
        folder = split.copy_to(Path(name))
        report = check_cases(folder)
        settings = PlanSettings(patch=patch)
        held_out = CaseValidation(cases=tuple(split.held_out))
        plan = make_plan(report, settings, held_out, choose_grid(report.facts, settings, False), patch, BATCH, 1)
        trained = [prepare_case(each, plan) for each in find_cases(folder).cases if each.name in plan.trained]
    tested = [prepare_case(CaseFiles(case.name, (case.image,), case.labels), plan) for case in split.test]
    return Lesson(plan, trained, tested)


def recipe_values(recipe: str | Mapping[str, Any]) -> dict[str, Any]:
    """The parsed JSON of a shipped recipe; a recipe that is given as such stays."""
    return load_values(recipe)[0] if isinstance(recipe, str) else dict(recipe)


def taught(recipe: str | Mapping[str, Any], seed: int, steps: int, given: Lesson) -> tuple[nn.Module, float]:
    """A network trained by a recipe, in evaluation mode, and the CPU seconds of a step."""
    values = recipe_values(recipe)
    training = {name: value for name, value in values["training"].items() if name != "seconds"}
    values["training"] = {**training, "seed": seed, "steps": steps}
    settings = cases_recipe_from(values, "benchmark")
    settings = replace(settings, training=replace(settings.training, checkpoint_seconds=1e9, validation_seconds=1e9))
    classes = len(given.plan.table) + 1
    arguments = fitted_arguments(settings.network, settings.arguments, given.plan.channels, classes, len(given.trained))
    torch.manual_seed(seed)
    network = build(settings.network, arguments)
    seconds = []
    with tempfile.TemporaryDirectory() as name, closing(World("cpu")) as world:
        trainer = CasesTrainer(settings, given.plan, network, given.trained, [], Path(name), world)
        trainer.network.train()
        for _ in range(steps):
            began = time.process_time()
            trainer.step(trainer.network, trainer.fraction())
            seconds.append(time.process_time() - began)
    return trainer.average.eval(), statistics.median(seconds)


def score(network: nn.Module, step: float, given: Lesson, tolerance: float = TOLERANCE) -> Result:
    """What a trained network is worth on the cases for testing; ``tolerance`` of the surface Dice in mm."""
    dice, surface, shares = [], [], []
    scores = scoring()
    for case in given.tested:
        found = measure_cases(network, [case], given.plan, 0.25, "cpu").answers[case.name]
        for number in range(1, len(given.plan.table) + 1):
            row = scores.score_label(case.target == number, found == number, case.spacing, tolerance)
            dice.append(row["dice"])
            surface.append(row.get("surface_dice", 0.0))
        shares.append(getattr(network, "decoded", 1.0))
    parameters = sum(each.numel() for each in network.parameters())
    return Result(parameters, step, *map(statistics.fmean, (dice, surface, shares)))


def kept(file: Path | None, make: Callable[[], list[Result]]) -> list[Result]:
    """Results, from a file if they lie there."""
    if file and file.is_file():
        return [Result(**values) for values in json.loads(file.read_text(encoding="utf-8"))]
    results = make()
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(result) for result in results]), encoding="utf-8")
    return results


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean ± standard deviation."""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.4f}{deviation}"
