"""What a network learns by, by name, as a recipe's ``"objective"`` names it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import nn

from ....errors import UsageError
from ..batch import Batch

OBJECTIVES = {
    "autodecoder": "autodecoder:AutoDecoder",
    "contours": "contours:Contours",
    "dense": "dense:Dense",
    "points": "points:Points",
    "rendered": "rendered:Rendered",
    "instances": "instances:Instances",
    "sequences": "sequences:Sequences",
}
"""Name to module of this package and class there."""


class Objective(Protocol):
    """The loss of a batch."""

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Scalar loss, float32.

        Args:
            model: the network in training mode, called inside :func:`MedAILib.training.precision.autocast`.
            batch: on the network's device.
        """


def make(name: str, arguments: Mapping[str, Any]) -> Objective:
    """An objective.

    Args:
        name: key of :data:`OBJECTIVES`.
        arguments: keyword arguments of its constructor, plain JSON values.

    Raises:
        UsageError: the name is unknown, or the arguments do not fit.
    """
    if name not in OBJECTIVES:
        raise UsageError(f'There is no objective "{name}"; known: {", ".join(sorted(OBJECTIVES))}.')
    module, kind = OBJECTIVES[name].split(":")
    try:
        objective: Objective = getattr(import_module(f".{module}", __name__), kind)(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f'The arguments of objective "{name}" do not fit: {error}.') from error
    return objective
