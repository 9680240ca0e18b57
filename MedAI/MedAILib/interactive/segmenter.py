"""What answers prompts, and what may advise it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .marks import Box, Marks

NOTHING: Box = (slice(0, 0), slice(0, 0), slice(0, 0))
"""A box without voxels."""


def go_on() -> None:
    """The check of a caller who never asks to stop."""


@dataclass(frozen=True, eq=False)
class Answer:
    """An object, found in a box.

    Attributes:
        box: slices (k, j, i); nothing changes beyond.
        inside: bool, of the box's shape.
        notes: sentences for the user, e.g. that nothing tells the object from its surroundings.
    """

    box: Box
    inside: np.ndarray
    notes: tuple[str, ...] = ()


class Segmenter(Protocol):
    """Answers prompts on one image."""

    def answer(self, label: int, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on) -> Answer:
        """The object that the marks mean.

        What of the marks an answer does not obey, :func:`MedAILib.interactive.answering.answer_prompts` sees to: no
        mark is ever ignored.

        Args:
            label: so that what was learned about it is found again.
            marks: all that was said about it.
            current: (k, j, i) bool, the object as it is now, from this segmenter or from elsewhere.
            check: is called now and then; what it raises ends the answer.
        """
        ...


class Prior(Protocol):
    """A trained network's opinion, which a segmenter can start from."""

    def probability(
        self, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on
    ) -> tuple[Box, np.ndarray]:
        """How likely each voxel of a box belongs to the object, float32, 0 to 1; arguments as of a segmenter."""
        ...
