"""A label map that remembers its changes, so that each can be undone and done again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..label_boxes import mask_box
from .marks import Box
from .segmenter import NOTHING


@dataclass(frozen=True, eq=False)
class Change:
    """A part of a label map before and after.

    Attributes:
        box: where, slices (k, j, i); empty slices where nothing changed.
        before, after: the labels in the box.
    """

    box: Box
    before: np.ndarray
    after: np.ndarray

    @property
    def empty(self) -> bool:
        return self.after.size == 0

    @property
    def turned(self) -> Change:
        """The change back."""
        return Change(self.box, self.after, self.before)


def change_between(labels: np.ndarray, box: Box, after: np.ndarray) -> Change:
    """The smallest change that puts new labels into a box.

    Args:
        labels: (k, j, i), as they are.
        box: of the new ones.
        after: the new ones.
    """
    before = labels[box]
    inner = mask_box(before != after) or NOTHING
    k, j, i = (slice(outer.start + side.start, outer.start + side.stop) for outer, side in zip(box, inner, strict=True))
    return Change((k, j, i), before[inner].copy(), after[inner].copy())


class History:
    """Changes of a label map.

    Args:
        labels: (k, j, i); changed in place.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels
        self._done: list[Change] = []
        self._undone: list[Change] = []

    def __len__(self) -> int:
        """How many changes can be undone."""
        return len(self._done)

    def put(self, box: Box, after: np.ndarray) -> Change:
        """Put new labels into a box; what was undone before is forgotten."""
        change = change_between(self.labels, box, after)
        self.labels[change.box] = change.after
        self._done.append(change)
        self._undone.clear()
        return change

    def undo(self) -> Change | None:
        """Take the last change back; None where there is none."""
        return self._move(self._done, self._undone)

    def redo(self) -> Change | None:
        """Do what was undone last again; None where nothing was."""
        return self._move(self._undone, self._done)

    def _move(self, source: list[Change], target: list[Change]) -> Change | None:
        if not source:
            return None
        change = source.pop().turned
        self.labels[change.box] = change.after
        target.append(change)
        return change
