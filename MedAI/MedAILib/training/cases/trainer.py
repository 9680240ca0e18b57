"""Training of a segmentation network on labeled cases."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import Cancelled, ContentError
from ..distributed import World
from ..loop import Loop
from ..precision import autocast
from .config import CasesRecipe
from .measure import Scores, measure_cases
from .objectives import make
from .patches import Patches
from .plan import Plan
from .prepared import PreparedCase
from .preview import write_preview

_LOST = 20
"""Steps in a row without a finite gradient that show that something is wrong."""


class CasesTrainer(Loop):
    """Trains one network.

    Args:
        recipe: of the run.
        plan: of the run.
        network: the recipe's for this plan, with its first weights.
        trained, held_out: cases of the plan; may hold out none.
        output, world, report: see :class:`Loop`.
        look: called with the done share before each step and while measuring; what it raises ends the run, after a
            checkpoint.

    Raises:
        UsageError: the objective is unknown or its arguments do not fit.
    """

    def __init__(
        self,
        recipe: CasesRecipe,
        plan: Plan,
        network: nn.Module,
        trained: Sequence[PreparedCase],
        held_out: Sequence[PreparedCase],
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
        look: Callable[[float], None] = lambda share: None,
    ) -> None:
        self.recipe, self.plan, self.look = recipe, plan, look
        super().__init__(replace(recipe.training, batch=plan.batch), network, output, world, report)
        self.objective = make(recipe.objective, recipe.objective_arguments)
        self.patches = Patches(trained, plan.patch, recipe.augmentation, world.device)
        self.held_out = list(held_out) if world.first else []
        every = -(-len(self.held_out) // recipe.validation.most)
        self.some = self.held_out[:: max(1, every)]
        self.scores: Scores | None = None
        self._measured = (-1, 0)  # step of the last validation, and its number of cases
        self._spent = 0.0
        self._lost = 0  # steps in a row whose gradient was not finite

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Of one patch per seed."""
        self.look(self.share())
        batch = self.patches.batch(self.seeds(), fraction)
        with autocast(self.world.device, self.clock.precision):
            return self.objective(model, batch)

    def update(self, loss: torch.Tensor) -> tuple[float, float]:
        """See :meth:`Loop.update`.

        Raises:
            ContentError: nothing was learned for too long, as no gradient was finite.
        """
        value, norm = super().update(loss)
        self._lost = 0 if math.isfinite(norm) else self._lost + 1
        if self._lost >= _LOST:
            raise ContentError(
                f"The training fails: the gradient was not finite for {_LOST} steps. Lower the learning rate, or look "
                "for images with extreme values."
            )
        return value, norm

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """See :meth:`Loop.run`; a pause leaves a checkpoint behind."""
        try:
            super().run(stop)
            self._validate(1.0)  # what is exported is measured, also where the run was stopped early
        except Cancelled as paused:
            self._save()
            raise Cancelled(f"Paused after {self.clock.step} steps; the training can go on from there.") from paused

    def details(self, fraction: float) -> dict[str, Any]:
        """The learning rate, and the seconds that are left."""
        left = self.clock.seconds * (1.0 - fraction) / fraction if fraction > 0.0 else None
        rate = self.optimizer.param_groups[0]["lr"]
        return {"rate": float(f"{rate:.3g}"), "remaining": None if left is None else round(left)}

    @torch.no_grad()
    def measure(self, fraction: float) -> dict[str, Any] | None:
        """Dice of the cases held out, whole: of some on the way, while that takes little of the time; at the end of
        all."""
        cases, at = self.held_out if fraction >= 1.0 else self.some, time.monotonic()
        measured = self.clock.step, len(cases)
        worth = self._spent <= self.recipe.validation.budget * self.clock.seconds
        if not cases or not self.clock.step or self._measured == measured or not (worth or fraction >= 1.0):
            return None
        overlap, device = self.recipe.validation.overlap, str(self.world.device)
        self.scores = measure_cases(self.average, cases, self.plan, overlap, device, lambda: self.look(self.share()))
        write_preview(self.output, cases, self.scores, self.plan)
        self._spent += time.monotonic() - at
        self._measured = measured
        return {"validation": self.scores.to_json(), "done": round(self.share(), 4)}
