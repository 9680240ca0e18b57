"""A session: a volume, what the user drew on it, and the labels that follow from that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import UsageError
from ..image import Image, Kind
from .drawing import Drawing
from .history import Change, History
from .marks import Box
from .prompts import Prompt
from .segmenter import Answer


class Responder(Protocol):
    """What answers a session, here or in the worker."""

    def respond(self, prompts: Sequence[Prompt], label: int, current: np.ndarray) -> Answer:
        """See :func:`MedAILib.interactive.answering.answer_prompts`."""
        ...

    def refine(self, mask: np.ndarray, width: float) -> Answer:
        """See :func:`MedAILib.interactive.refine.refine`."""
        ...


@dataclass(frozen=True)
class Masking:
    """What a label may take.

    Attributes:
        overwrite: voxels of other labels, too.
        editable: (k, j, i) bool; only these voxels may change. None: all.
    """

    overwrite: bool = False
    editable: np.ndarray | None = None


CAREFUL = Masking()
"""Everything may change but the voxels of other labels."""


class Session(Drawing):
    """Prompts in, changes of a label map out.

    Args:
        image: that is segmented; values as they are.
        responder: makes the answers.
        labels: (k, j, i) to start from; None: empty. It is copied.
        prompts: that were drawn before; labels are as given, and later answers know of them.

    Attributes:
        prompts: all that are in force, in the order in which they were drawn.
        answer: the last one; None before the first.
    """

    def __init__(
        self,
        image: Image,
        responder: Responder,
        labels: np.ndarray | None = None,
        prompts: Iterable[Prompt] = (),
    ) -> None:
        if labels is not None and labels.shape != image.shape:
            raise UsageError(f"The labels have another grid than {image.name}.")
        self.image, self._responder = image, responder
        start = np.zeros(image.shape, np.uint16) if labels is None else labels.astype(np.uint16, copy=True)
        self._history = History(start)
        self.prompts: list[Prompt] = list(prompts)
        self.answer: Answer | None = None
        # What each step of the history added; None for those that nothing was drawn for.
        self._done: list[Prompt | None] = []
        self._undone: list[Prompt | None] = []

    @property
    def labels(self) -> Image:
        """The labels as they are now."""
        return Image(self._history.labels, self.image.affine, f"{self.image.name} labels", Kind.LABEL)

    def mask(self, label: int = 1) -> np.ndarray:
        """(k, j, i) bool."""
        return self._history.labels == label

    def add(self, prompt: Prompt, masking: Masking = CAREFUL) -> Change:
        """Obey a prompt; what was undone before is forgotten.

        Args:
            prompt: drawn by the user.
            masking: what may change.

        Returns:
            What changed; one step for :meth:`undo`.

        Raises:
            ContentError: the prompt lies outside of the volume. The session is as before.
        """
        answer = self._responder.respond([*self.prompts, prompt], prompt.label, self.mask(prompt.label))
        self.prompts.append(prompt)
        return self._take(answer, prompt.label, masking, prompt)

    def refine(self, label: int = 1, width: float = 3.0, masking: Masking = CAREFUL) -> Change:
        """Move the boundary of a label to the edges in the image nearby.

        Args:
            label: that has voxels.
            width: mm that the boundary may move.
            masking: what may change.

        Raises:
            UsageError: the label has no voxels.
        """
        mask = self.mask(label)
        if not mask.any():
            raise UsageError(f"Label {label} has no voxels whose boundary could be refined.")
        return self._take(self._responder.refine(mask, width), label, masking, None)

    def undo(self) -> Change | None:
        """Take the last step back, with its prompt; None where there is none of this session."""
        change = self._history.undo()
        if change is not None:
            prompt = self._done.pop()
            self._undone.append(prompt)
            if prompt is not None:
                self.prompts.pop()
        return change

    def redo(self) -> Change | None:
        """Do the step again that was undone last; None where none was."""
        change = self._history.redo()
        if change is not None:
            prompt = self._undone.pop()
            self._done.append(prompt)
            if prompt is not None:
                self.prompts.append(prompt)
        return change

    def _take(self, answer: Answer, label: int, masking: Masking, prompt: Prompt | None) -> Change:
        self.answer = answer
        before = self._history.labels[answer.box]
        self._done.append(prompt)
        self._undone.clear()
        return self._history.put(answer.box, _merged(before, answer.inside, label, answer.box, masking))


def _merged(before: np.ndarray, found: np.ndarray, label: int, box: Box, masking: Masking) -> np.ndarray:
    """Labels of a box after an object was found in it."""
    after = before.copy()
    free = np.ones(before.shape, bool) if masking.editable is None else masking.editable[box]
    own = before == label
    after[own & ~found & free] = 0
    takes = found & free & (own | (before == 0) | masking.overwrite)
    after[takes] = label
    return after
