"""What a training run was started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import WriteError
from .checkpoint import LOG, NAME
from .config import TrainingSettings


@dataclass(frozen=True)
class Order:
    """What was asked for besides a recipe and its data; see :func:`MedAILib.training.run`.

    Attributes:
        output: folder for checkpoint, log and model.
        resume: go on from the folder's checkpoint.
        device: name of one.
        seconds, steps: budget. With one of them given, neither of the recipe's counts.
        report: receives each line of the log.
        seed: of weights and samples; None: the recipe's.
    """

    output: Path
    resume: bool
    device: str
    seconds: float | None
    steps: int | None
    report: Callable[[dict[str, Any]], None]
    seed: int | None = None

    @property
    def model(self) -> Path:
        """Folder of the trained network."""
        return self.output / "model"

    def prepare(self) -> None:
        """Make the output folder; without ``resume``, remove an earlier run's checkpoint and log.

        Raises:
            WriteError: it cannot be written.
        """
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            if not self.resume:
                for name in (NAME, LOG):
                    (self.output / name).unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(f"{self.output}: cannot be written ({error.strerror}).") from error

    def budgeted(self, settings: TrainingSettings) -> TrainingSettings:
        """A recipe's settings with the budget and the seed that count."""
        if self.seed is not None:
            settings = replace(settings, seed=self.seed)
        if self.seconds is None and self.steps is None:
            return settings
        return replace(settings, seconds=self.seconds, steps=self.steps)
