"""Whoever follows a training, and what it goes through. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

CHECKING, PREPARING, TRAINING, WRITING = (
    "Checking the cases",
    "Preparing the cases",
    "Training",
    "Writing the model",
)
STAGES = {CHECKING: 0.02, PREPARING: 0.02, TRAINING: 0.95, WRITING: 0.01}
"""Stage to its share of the time."""


@dataclass(frozen=True)
class Watch:
    """Whoever follows a training.

    Attributes:
        stage: called with the name of each stage.
        share: called with the done share of the stage.
        warn: called with (code, sentence).
        check: raises Cancelled when the run is to pause; called often.
        stop: True when the run is to finish with what it has.
    """

    stage: Callable[[str], None] = lambda name: None
    share: Callable[[float], None] = lambda share: None
    warn: Callable[[str, str], None] = lambda code, message: None
    check: Callable[[], None] = lambda: None
    stop: Callable[[], bool] = lambda: False
