"""Dice of whole cases, class by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ...inference.engine import WindowOptions, predict_labels
from ..validation import dice_scores
from .plan import Plan
from .prepared import PreparedCase


@dataclass(frozen=True, eq=False)
class Scores:
    """What a network reached on cases.

    Attributes:
        names: of the classes, in order.
        cases: name of a case to the Dice of each class; NaN where neither the truth nor the answer has it.
        answers: name of a case to its answer (k, j, i), on the network's grid.
    """

    names: tuple[str, ...]
    cases: dict[str, tuple[float, ...]]
    answers: dict[str, np.ndarray]

    @property
    def classes(self) -> dict[str, float]:
        """Class to its mean over the cases that have it; NaN where none has."""
        columns = zip(*self.cases.values(), strict=True)
        means = [np.nanmean(column) if np.isfinite(column).any() else np.nan for column in columns]
        return {name: float(mean) for name, mean in zip(self.names, means, strict=True)}

    @property
    def mean(self) -> float:
        """Over the classes that occur; NaN without any."""
        known = [value for value in self.classes.values() if value == value]
        return float(np.mean(known)) if known else float("nan")

    def to_json(self) -> dict[str, Any]:
        """As lines of the log hold it: mean, and class to mean."""

        def rounded(value: float) -> float | None:
            return round(value, 4) if value == value else None

        return {"dice": rounded(self.mean), "classes": {name: rounded(one) for name, one in self.classes.items()}}


def measure_cases(
    network: nn.Module,
    cases: Sequence[PreparedCase],
    plan: Plan,
    overlap: float,
    device: str,
    check: Callable[[], None] = lambda: None,
) -> Scores:
    """Let the engine label cases, as it will label every later image, and compare on the network's grid.

    Args:
        network: on any device; it ends on ``device``.
        cases: on the plan's grid.
        plan: of the run.
        overlap: of the windows.
        device: name of one.
        check: called before each window; what it raises ends the measurement.
    """
    options = WindowOptions(patch=plan.patch, overlap=overlap, precision="float32")
    scores, answers = {}, {}
    for case in cases:
        found = predict_labels(
            network, case.image, options, device=device, progress=lambda share: check()
        ).labels.astype(np.uint8)
        target = np.minimum(case.target, 1) if plan.instances else case.target
        dice = dice_scores(torch.from_numpy(found), torch.from_numpy(np.array(target)), len(plan.table) + 1)
        scores[case.name] = tuple(float(value) for value in dice[1:])
        answers[case.name] = found
    return Scores(tuple(label.name for label in plan.table), scores, answers)
