"""Training of a segmentation network on synthetic images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..errors import UsageError
from ..networks import build
from .distributed import World
from .generator import Generator
from .learner import Learner
from .loop import Loop
from .losses import DiceCrossEntropy
from .maps import LabelMap
from .precision import autocast
from .recipe import Recipe
from .validation import Validator


def _check_shapes(recipe: Recipe, multiple: int) -> None:
    """A shape that the network does not take would otherwise end the run when its phase begins, maybe hours later."""
    for _, coarseness, shape in recipe.training.patches:
        validated = tuple(size // coarseness for size in recipe.validation.shape)
        least = multiple // 2 if coarseness > 1 else multiple
        for what, sizes in (("patches", shape), ("validation shape", validated)):
            if any(size % least for size in sizes):
                raise UsageError(
                    f"The recipe's {what} of {sizes} voxels at coarseness {coarseness} do not fit the network; "
                    f"it needs sizes divisible by {least}."
                )


class Trainer(Loop):
    """Trains one segmentation network.

    Args:
        recipe: of the run.
        maps: label maps to train on.
        held_out: label maps to validate on; must not be among ``maps``.
        output, world, report: see :class:`Loop`.

    Raises:
        UsageError: a map is both trained on and held out, or the network does not take the recipe's shapes.
        ModelError: the recipe's network cannot be built.

    Attributes:
        network: a :class:`Learner`.
    """

    network: Learner
    average: Learner

    def __init__(
        self,
        recipe: Recipe,
        maps: list[LabelMap],
        held_out: list[LabelMap],
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        both = {m.name for m in maps} & {m.name for m in held_out}
        if both:
            raise UsageError(f"{', '.join(sorted(both))}: a label map cannot be trained on and held out.")
        self.recipe = recipe
        torch.manual_seed(recipe.training.seed)
        learner = Learner(build(recipe.network, recipe.arguments))
        _check_shapes(recipe, learner.network.multiple)
        super().__init__(recipe.training, learner, output, world, report)
        self.loss = DiceCrossEntropy()
        self.generator = Generator(maps, recipe.table, recipe.generator, world.device)
        self.validator = None
        if held_out and recipe.validation.samples and world.first:
            generator = Generator(held_out, recipe.table, recipe.generator, world.device)
            self.validator = Validator(generator, recipe.validation)

    def details(self, fraction: float) -> dict[str, Any]:
        """The patch's coarseness and shape."""
        return {"patch": self.settings.patch(fraction)}

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Loss of one synthetic image per seed."""
        coarseness, shape = self.settings.patch(fraction)
        images, targets = zip(*(self.generator.sample(seed, shape, coarseness) for seed in self.seeds()), strict=True)
        batch = torch.stack(images)[:, None].contiguous(memory_format=torch.channels_last_3d)
        with autocast(self.world.device, self.clock.precision):
            logits = model(batch, coarseness > 1)
        self.loss.balance = self.settings.balance * (1.0 - fraction)
        return cast(torch.Tensor, self.loss(logits, torch.stack(targets)))

    def measure(self, fraction: float) -> dict[str, Any] | None:
        """Dice on the maps held out, at the coarseness of this share."""
        if self.validator is None:
            return None
        coarseness, _ = self.settings.patch(fraction)
        measured = self.validator.measure(self.average, self.clock.precision, coarseness)
        return {"coarseness": coarseness, "validation": measured}
