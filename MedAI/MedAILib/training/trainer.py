"""The training loop."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UsageError, WriteError
from ..networks import build
from .checkpoint import LOG, Clock, load_checkpoint, save_checkpoint
from .config import Recipe, TrainingSettings
from .distributed import World
from .generator import Generator
from .learner import Learner
from .losses import DiceCrossEntropy
from .maps import LabelMap
from .precision import autocast, choose_precision
from .validation import Validator


def learning_rate(settings: TrainingSettings, step: int, fraction: float) -> float:
    """Linear warm-up over the first steps, half a cosine to 0 over the whole budget (share done: ``fraction``)."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup))
    return settings.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, fraction)))


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW; decay only pulls on kernels, for a norm's scale or a bias it would only cost accuracy."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.99))


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


class Trainer:
    """Trains one network.

    Args:
        recipe: of the run.
        maps: label maps to train on.
        held_out: label maps to validate on; must not be among ``maps``.
        output: folder for checkpoint and log; must exist.
        world: the processes.
        report: receives each line of the log as a dictionary.

    Raises:
        UsageError: a map is both trained on and held out, or the network does not take the recipe's shapes.
        ModelError: the recipe's network cannot be built.

    Attributes:
        network: the :class:`Learner` with the current weights.
        average: with their exponential moving average.
        clock: steps and seconds done.
    """

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
        self.recipe, self.output, self.world, self.report = recipe, output, world, report
        precision = choose_precision(world.device, recipe.training.precision)
        torch.manual_seed(recipe.training.seed)
        learner = Learner(build(recipe.network, recipe.arguments)).to(world.device)
        _check_shapes(recipe, learner.network.multiple)
        self.network = learner.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = make_optimizer(self.network, recipe.training)
        self.loss = DiceCrossEntropy()
        self.generator = Generator(maps, recipe.table, recipe.generator, world.device)
        self.validator = None
        if held_out and recipe.validation.samples and world.first:
            generator = Generator(held_out, recipe.table, recipe.generator, world.device)
            self.validator = Validator(generator, recipe.validation)
        self.clock = Clock(precision=precision)

    def resume(self) -> bool:
        """Go on from the output folder's checkpoint; False if there is none."""
        clock = load_checkpoint(self.output, self.network, self.average, self.optimizer)
        if clock is None:
            return False
        self.clock = replace(clock, precision=clock.precision or self.clock.precision)
        return True

    def fraction(self) -> float:
        """Done share of the budget, the same in all processes."""
        settings = self.recipe.training
        shares = [self.clock.seconds / settings.seconds] if settings.seconds else []
        shares += [self.clock.step / settings.steps] if settings.steps else []
        return self.world.agree(max(shares))

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train until the budget is used up or ``stop`` says so; ends with a validation and a checkpoint."""
        settings = self.recipe.training
        model = self.world.wrap(self.network)
        self.network.train()
        last = time.monotonic()
        due_checkpoint = self.clock.seconds + settings.checkpoint_seconds
        due_validation = self.clock.seconds
        losses: list[float] = []
        while (fraction := self.fraction()) < 1.0 and not stop():
            loss, norm = self.step(model, fraction)
            losses.append(loss)
            self.clock.seconds += time.monotonic() - last
            last = time.monotonic()
            if self.clock.step % settings.log_steps == 0:
                self._log(loss=sum(losses) / len(losses), gradient=norm, patch=settings.patch(fraction), done=fraction)
                losses = []
            if self.clock.seconds >= due_validation:
                self._validate(fraction)
                due_validation = self.clock.seconds + settings.validation_seconds
            if self.clock.seconds >= due_checkpoint:
                self._save()
                due_checkpoint = self.clock.seconds + settings.checkpoint_seconds
        self._validate(fraction)
        self._save()

    def step(self, model: nn.Module, fraction: float) -> tuple[float, float]:
        """One update.

        Args:
            model: the network, or its data-parallel wrapping.
            fraction: done share of the budget.

        Returns:
            Loss, and norm of the gradient before clipping.
        """
        settings, device = self.recipe.training, self.world.device
        coarseness, shape = settings.patch(fraction)
        first = self.world.rank * settings.batch
        seeds = [(settings.seed, self.clock.step, first + n) for n in range(settings.batch)]
        images, targets = zip(*(self.generator.sample(seed, shape, coarseness) for seed in seeds), strict=True)
        batch = torch.stack(images)[:, None].contiguous(memory_format=torch.channels_last_3d)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, self.clock.step, fraction)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(device, self.clock.precision):
            logits = model(batch, coarseness > 1)
        self.loss.balance = settings.balance * (1.0 - fraction)
        loss = self.loss(logits, torch.stack(targets))
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip))
        if math.isfinite(norm):  # a sample that overflows must not spoil the weights
            self.optimizer.step()
        self.clock.step += 1
        self._average(min(settings.ema, (1 + self.clock.step) / (10 + self.clock.step)))
        return float(loss.detach()), norm

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        pairs = zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True)
        for mean, value in pairs:
            if mean.is_floating_point():
                mean.lerp_(value, 1.0 - decay)
            else:
                mean.copy_(value)

    def _validate(self, fraction: float) -> None:
        if self.validator is not None:
            coarseness, _ = self.recipe.training.patch(min(1.0, fraction))
            self._log(
                coarseness=coarseness, validation=self.validator.measure(self.average, self.clock.precision, coarseness)
            )

    def _save(self) -> None:
        if self.world.first:
            save_checkpoint(self.output, self.network, self.average, self.optimizer, self.clock)

    def _log(self, **values: Any) -> None:
        if not self.world.first:
            return
        line = {"step": self.clock.step, "seconds": round(self.clock.seconds, 1), **values}
        try:
            with (self.output / LOG).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:
            raise WriteError(f"{self.output / LOG}: the log cannot be written ({error.strerror}).") from error
        self.report(line)
