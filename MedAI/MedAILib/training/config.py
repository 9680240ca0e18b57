"""What the recipes of all trainings have in common: one JSON file each. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ReadError, UsageError
from ..geometry import Shape

RECIPES = Path(__file__).parent / "recipes"
OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "polynomial")
_SEGMENTATION_ONLY = ("patches", "balance")  # settings of the training
T = TypeVar("T")


@dataclass(frozen=True)
class TrainingSettings:
    """How the optimizer goes on.

    Attributes:
        seed: of weights and samples.
        seconds: budget by the clock, or None; time between a stop and a resume does not count.
        steps: budget in steps, or None. One of both must be given; with both, the first to end ends the run.
        optimizer: ``"adamw"`` (Loshchilov & Hutter 2019), ``"adam"``, or ``"sgd"`` with Nesterov's momentum.
        momentum: of ``"sgd"``.
        learning_rate: peak; rises over ``warmup`` steps and falls to 0 over the budget.
        schedule: how it falls: ``"cosine"``, half a one, or ``"polynomial"``, (1 - share done) to the power of 0.9.
        weight_decay: of the optimizer, for convolution kernels only.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights, which are validated and exported.
        batch: samples per step and process.
        balance: of the cross-entropy at the start, see :class:`DiceCrossEntropy`; falls linearly to 0.
        patches: ((share of the budget, coarseness, shape), …): from which share on which patches are used. Coarseness 2
            means voxels twice as large, for the part of the network below its finest level (:class:`Learner`).
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        log_steps: steps between two lines of the log.
        checkpoint_seconds, validation_seconds: time between two checkpoints, two validations; both also at the end.
        epoch_steps: steps after which both are done; validations are not made by the clock then.
    """

    seed: int = 1
    seconds: float | None = None
    steps: int | None = None
    optimizer: str = "adamw"
    momentum: float = 0.99
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup: int = 200
    weight_decay: float = 1e-2
    clip: float = 1.0
    ema: float = 0.998
    batch: int = 1
    balance: float = 0.5
    patches: tuple[tuple[float, int, Shape], ...] = ((0.0, 1, (80, 80, 80)),)
    precision: str = "auto"
    log_steps: int = 20
    checkpoint_seconds: float = 180.0
    validation_seconds: float = 300.0
    epoch_steps: int | None = None

    def __post_init__(self) -> None:
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")
        if self.epoch_steps is not None and self.epoch_steps < 1:
            raise UsageError("epoch_steps must be 1 or more.")
        given = [budget for budget in (self.seconds, self.steps) if budget is not None]
        if not given or min(given) <= 0:
            raise UsageError("A training needs a budget above 0: seconds, steps or both.")
        if not self.patches or self.patches[0][0] > 0:
            raise UsageError("The first entry of patches must begin at share 0 of the budget.")

    def patch(self, fraction: float) -> tuple[int, Shape]:
        """Coarseness and shape of the patches at this share of the budget."""
        return [(coarseness, shape) for start, coarseness, shape in self.patches if start <= fraction][-1]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value


def settings_from(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """``values`` as keyword arguments of a settings class, lists as tuples.

    Raises:
        UsageError: unknown or missing settings, or values that the class refuses; the message begins with ``where``.
    """
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - names)
    if unknown:
        raise UsageError(f"{where}: unknown setting {', '.join(unknown)}; known: {', '.join(sorted(names))}.")
    try:
        return cls(**{name: _frozen(value) for name, value in values.items()})
    except TypeError as error:
        raise UsageError(f"{where}: {error}.") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


@contextmanager
def reading_recipe(values: Mapping[str, Any], name: str, task: str, kind: str) -> Iterator[None]:
    """While a recipe is put together from parsed JSON: it must be of ``task``, and what it lacks is named.

    Raises:
        UsageError: it is no recipe for ``kind``, or a part is missing.
    """
    if task_of(values) != task:
        raise UsageError(f"{name}: this is no recipe for {kind}.")
    try:
        yield
    except KeyError as error:
        raise UsageError(f"{name}: the recipe lacks {error}.") from error


def training_from(values: Mapping[str, Any], name: str, kind: str) -> TrainingSettings:
    """The settings of a training that is not for segmentation.

    Raises:
        KeyError: there are none.
        UsageError: one of them is unknown, or cannot be set for ``kind``.
    """
    unused = sorted(set(values["training"]) & set(_SEGMENTATION_ONLY))
    if unused:
        raise UsageError(f"{name}: training: {', '.join(unused)} cannot be set for {kind}.")
    return settings_from(TrainingSettings, values["training"], f"{name}: training")


def task_of(values: Mapping[str, Any]) -> str:
    """What the network of a recipe is for: ``"segmentation"``, if it does not say, ``"registration"``, ``"superres"``,
    ``"between"``, ``"slices"``, ``"clicks"`` or ``"cases"``."""
    return str(values.get("task", "segmentation"))


def load_values(config: str | Path) -> tuple[dict[str, Any], str]:
    """The parsed JSON of a recipe of any task, and its file's name.

    Args:
        config: a file, or the name of a bundled recipe, e.g. ``"brain-mr"``.

    Raises:
        ReadError: there is no such file, or it is no JSON.
        UsageError: it is no recipe.
    """
    path = Path(config)
    if not path.suffix and not path.is_file():
        path = RECIPES / f"{config}.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.json")))
        raise ReadError(f"{config}: no such recipe ({error.strerror}). Bundled: {known}.") from error
    except ValueError as error:
        raise ReadError(f"{path.name}: not a JSON file ({error}).") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path.name}: not a recipe, which is a JSON object.")
    return values, path.name
