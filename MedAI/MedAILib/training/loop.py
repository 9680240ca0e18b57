"""The training loop, whatever is trained: budget, optimizer, averaged weights, checkpoints, log."""

from __future__ import annotations

import copy
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ..errors import WriteError
from ..inference.precision import channels_last
from ..models.task_card import FEWEST_STEPS
from .checkpoint import LOG, Clock, load_checkpoint, save_checkpoint
from .config import TrainingSettings
from .distributed import World
from .precision import choose_precision

FIRST_LOOK = 60.0, 0.05
"""A training in epochs validates for the first time after so many seconds, or this share of the budget, if its first
epoch takes longer."""


def learning_rate(settings: TrainingSettings, step: int, fraction: float) -> float:
    """Linear warm-up over the first steps, and a fall to 0 over the whole budget (share done: ``fraction``)."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup))
    fraction = min(1.0, fraction)
    if settings.schedule == "polynomial":
        return settings.learning_rate * warm * (1.0 - fraction) ** 0.9
    return settings.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * fraction))


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer of the settings; decay only pulls on kernels, for a norm's scale or a bias it would only cost
    accuracy."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0.0
        )
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.learning_rate, betas=(0.9, 0.99))


_OVERFLOWS = 3


class Origin(Protocol):
    """What the data settings of every recipe say."""

    @property
    def source(self) -> str: ...
    @property
    def license(self) -> str: ...
    @property
    def held_out(self) -> tuple[str, ...]: ...


class Loop(ABC):
    """Trains one network; a subclass says on what (:meth:`loss_of`) and how well (:meth:`measure`).

    Args:
        settings: of the training.
        network: to train, with its first weights.
        output: folder for checkpoint and log; must exist.
        world: the processes.
        report: receives each line of the log as a dictionary.

    Attributes:
        network: with the current weights.
        average: with their exponential moving average.
        clock: steps and seconds done.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        network: nn.Module,
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.settings, self.output, self.world, self.report = settings, output, world, report
        self.network = network.to(world.device)
        channels_last(self.network)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = make_optimizer(self.network, settings)
        self.clock = Clock(precision=choose_precision(world.device, settings.precision))
        self._overflows = 0  # steps in a row whose gradient was not finite

    @abstractmethod
    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Loss of the next samples, scalar.

        Args:
            model: the network, or its data-parallel wrapping.
            fraction: done share of the budget.
        """

    @abstractmethod
    def measure(self, fraction: float) -> dict[str, Any] | None:
        """What a validation adds to the log at this share of the budget; None without one."""

    def details(self, fraction: float) -> dict[str, Any]:
        """What each line about the loss says besides."""
        return {}

    def seeds(self) -> list[tuple[int, int, int]]:
        """One seed for each sample of this process' next step."""
        first = self.world.rank * self.settings.batch
        return [(self.settings.seed, self.clock.step, first + n) for n in range(self.settings.batch)]

    def resume(self) -> bool:
        """Go on from the output folder's checkpoint; False if there is none."""
        clock = load_checkpoint(self.output, self.network, self.average, self.optimizer)
        if clock is None:
            return False
        self.clock = replace(clock, precision=clock.precision or self.clock.precision)
        return True

    def complete(self, resume: bool) -> bool:
        """Train to the end, from the last checkpoint if ``resume``.

        Returns:
            Whether this process is to write the trained network; none is after too few steps.
        """
        if resume:
            self.resume()
        self.run()
        return self.world.first and self.clock.step >= FEWEST_STEPS

    def account(self, data: Origin) -> dict[str, Any]:
        """What the trained network's card says of the training."""
        return {
            "data": data.source,
            "data_license": data.license,
            "held_out": list(data.held_out),
            "seed": self.settings.seed,
            "steps": self.clock.step,
            "seconds": round(self.clock.seconds),
        }

    def fraction(self) -> float:
        """Done share of the budget, the same in all processes."""
        return self.world.agree(self.share())

    def share(self) -> float:
        """Done share of the budget, by this process' clock."""
        settings = self.settings
        shares = [self.clock.seconds / settings.seconds] if settings.seconds else []
        shares += [self.clock.step / settings.steps] if settings.steps else []
        return max(shares)

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train until the budget is used up or ``stop`` says so; ends with a checkpoint and a validation."""
        settings = self.settings
        model = self.world.wrap(self.network)
        self.network.train()
        last = time.monotonic()
        due_checkpoint = self.clock.seconds + settings.checkpoint_seconds
        by_clock = settings.epoch_steps is None
        due_validation = self.clock.seconds if by_clock else self._first_look()
        losses: list[float] = []
        while (fraction := self.fraction()) < 1.0 and not stop():
            loss, norm = self.step(model, fraction)
            losses.append(loss)
            self.clock.seconds += time.monotonic() - last
            last = time.monotonic()
            if self.clock.step % settings.log_steps == 0:
                self._log(loss=sum(losses) / len(losses), gradient=norm, **self.details(fraction), done=fraction)
                losses = []
            ended = settings.epoch_steps is not None and self.clock.step % settings.epoch_steps == 0
            if ended or self.clock.seconds >= due_checkpoint:
                self._save()
                due_checkpoint = self.clock.seconds + settings.checkpoint_seconds
            if ended or self.clock.seconds >= due_validation:
                self._validate(fraction)
                due_validation = self.clock.seconds + settings.validation_seconds if by_clock else math.inf
        self._save()
        self._validate(fraction)

    def _first_look(self) -> float:
        """Seconds by the clock at which a training in epochs is looked at before the first one has ended."""
        seconds, share = FIRST_LOOK
        budget = self.settings.seconds
        return seconds if budget is None else min(seconds, share * budget)

    def step(self, model: nn.Module, fraction: float) -> tuple[float, float]:
        """One update.

        Args:
            model: the network, or its data-parallel wrapping.
            fraction: done share of the budget.

        Returns:
            Loss, and norm of the gradient before clipping.
        """
        self.set_rate(fraction)
        loss, norm = self.update(self.loss_of(model, fraction))
        self.advance()
        return loss, norm

    def set_rate(self, fraction: float) -> None:
        """Give the optimizer the learning rate of this share of the budget."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self.clock.step, fraction)

    def update(self, loss: torch.Tensor) -> tuple[float, float]:
        """Change the weights that require a gradient; its loss and the norm of its gradient before clipping."""
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip))
        if math.isfinite(norm):  # a sample that overflows must not spoil the weights
            self.optimizer.step()
            self._overflows = 0
        else:
            self._overflows += 1
        if self._overflows == _OVERFLOWS and self.clock.precision != "float32":
            # Some processors' bfloat16 convolutions over very few voxels have no finite gradient, whatever the sample.
            self.clock.precision = "float32"
            self._log(note="The gradients overflow in bfloat16; the training goes on in float32.")
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach()), norm

    def advance(self) -> None:
        """Count a step, and bring the averaged weights nearer to the present ones."""
        self.clock.step += 1
        self._average(min(self.settings.ema, (1 + self.clock.step) / (10 + self.clock.step)))

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        pairs = zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True)
        for mean, value in pairs:
            if mean.is_floating_point():
                mean.lerp_(value, 1.0 - decay)
            else:
                mean.copy_(value)

    def _validate(self, fraction: float) -> None:
        measured = self.measure(min(1.0, fraction))
        if measured is not None:
            self._log(**measured)

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
