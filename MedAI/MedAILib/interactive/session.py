"""A session: a volume, what the user drew on it, and the labels that follow from that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..image import Image, Kind
from .history import Change, History
from .marks import Box, marks_of
from .prompts import Prompt
from .segmenter import NOTHING, Segmenter


@dataclass(frozen=True)
class Masking:
    """What a label may take.

    Attributes:
        overwrite: voxels of other labels, too.
        editable: (k, j, i) bool; only these voxels may change. None: all.
    """

    overwrite: bool = False
    editable: np.ndarray | None = None


class Session:
    """Prompts in, changes of a label map out.

    Args:
        image: that is segmented; values as they are.
        segmenter: makes the answers.
        labels: (k, j, i) to start from; None: empty. It is copied.
        prompts: that were drawn before; they are told to the segmenter, and labels are as given.
    """

    def __init__(
        self,
        image: Image,
        segmenter: Segmenter,
        labels: np.ndarray | None = None,
        prompts: Iterable[Prompt] = (),
    ) -> None:
        if labels is not None and labels.shape != image.shape:
            raise UsageError(f"The labels have another grid than {image.name}.")
        self.image, self._segmenter = image, segmenter
        start = np.zeros(image.shape, np.uint16) if labels is None else labels.astype(np.uint16, copy=True)
        self._history = History(start)
        self.prompts: list[Prompt] = list(prompts)
        self._undone: list[Prompt] = []
        self.notes: tuple[str, ...] = ()

    @property
    def labels(self) -> Image:
        """The labels as they are now."""
        return Image(self._history.labels, self.image.affine, f"{self.image.name} labels", Kind.LABEL)

    def mask(self, label: int = 1) -> np.ndarray:
        """(k, j, i) bool."""
        return self._history.labels == label

    def add(self, prompt: Prompt, masking: Masking = Masking()) -> Change:
        """Obey a prompt; what was undone before is forgotten.

        Args:
            prompt: drawn by the user.
            masking: what may change.

        Returns:
            What changed; one step for :meth:`undo`.

        Raises:
            ContentError: the prompt lies outside of the volume. The session is as before.
        """
        marks = marks_of([*self.prompts, prompt], prompt.label, self.image.shape, self.image.affine)
        labels = self._history.labels
        current = labels == prompt.label
        if marks.empty and not current.any():
            # Only "not this" was said, of something that is not there yet.
            box, after = NOTHING, labels[NOTHING]
        else:
            answer = self._segmenter.answer(prompt.label, marks, current)
            box, self.notes = answer.box, answer.notes
            after = _merged(labels[box], answer.inside, prompt.label, box, masking)
        self.prompts.append(prompt)
        self._undone.clear()
        return self._history.put(box, after)

    def undo(self) -> Change | None:
        """Take the last prompt back; None where there is none of this session."""
        change = self._history.undo()
        if change is not None:
            self._undone.append(self.prompts.pop())
        return change

    def redo(self) -> Change | None:
        """Obey the prompt again that was undone last; None where none was."""
        change = self._history.redo()
        if change is not None:
            self.prompts.append(self._undone.pop())
        return change


def _merged(before: np.ndarray, found: np.ndarray, label: int, box: Box, masking: Masking) -> np.ndarray:
    """Labels of a box after an object was found in it."""
    after = before.copy()
    free = np.ones(before.shape, bool) if masking.editable is None else masking.editable[box]
    own = before == label
    after[own & ~found & free] = 0
    takes = found & free & (own | (before == 0) | masking.overwrite)
    after[takes] = label
    return after
