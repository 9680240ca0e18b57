"""The plan for a recipe's network: what the data asks for, as far as network and device allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ...inference.devices import choose
from ...inference.memory import free_bytes
from ...models import ModelCard
from ...networks import build
from .checks import check_cases
from .config import CasesRecipe
from .network import fitted_arguments, is_slicewise, patch_voxels, takes_subsets, units
from .plan import Plan, choose_grid, choose_patch, make_plan
from .report import Report
from .request import TrainRequest
from .start import start_arguments, start_card


def look_at(
    request: TrainRequest, device: str, progress: Callable[[float], None] = lambda share: None
) -> tuple[Report, Plan | None]:
    """What a request would be trained on, and how.

    Args:
        request: recipe and data; nothing is written.
        device: name of one.
        progress: called with the done share of the checks; what it raises ends them.

    Returns:
        The report, and the plan where there is no fatal problem.

    Raises:
        MedAIError: the recipe does not fit the data.
    """
    recipe = request.load_recipe()
    report = check_cases(request.data, progress, recipe.plan.instances, takes_subsets(recipe.network))
    if report.fatal:
        return report, None
    start = None if recipe.start is None else start_card(recipe.start, recipe.network, recipe.arguments)
    return report, planned(report, recipe, start, choose(device).torch)


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
    plan = make_plan(report, settings, recipe.validation, grid, patch, batch, recipe.training.seed)
    return plan if start is None else replace(plan, preparation=start.preparation)


def network_arguments(
    recipe: CasesRecipe, start: ModelCard | None, inputs: int, classes: int, cases: int
) -> dict[str, Any]:
    """Of the network's constructor: the recipe's, or those of the model to begin with."""
    if start is not None:
        return start_arguments(start, inputs, classes, cases)
    return fitted_arguments(recipe.network, recipe.arguments, inputs, classes, cases)
