"""From prompts to an object: what was drawn goes to a segmenter, and what it answers is held to what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..image import Image
from ..label_boxes import mask_box
from .marks import Box, Marks, marks_of
from .prompts import Prompt
from .segmenter import NOTHING, Answer, Segmenter, go_on

NOTHING_YET = "Nothing was marked as inside yet, so there is nothing to take away from. Mark the object first."


def answer_prompts(
    segmenter: Segmenter,
    image: Image,
    prompts: Sequence[Prompt],
    label: int,
    current: np.ndarray,
    check: Callable[[], None] = go_on,
) -> Answer:
    """The object of a label after everything that was drawn.

    Args:
        segmenter: that works on the image.
        image: that was drawn on.
        prompts: all of them, of all labels, in the order in which they were drawn; the last one is new.
        label: whose object is asked for.
        current: (k, j, i) bool, the object as it is now.
        check: is called now and then; what it raises ends the answer.

    Raises:
        ContentError: a prompt lies outside of the image.
    """
    marks = marks_of(prompts, label, image.shape, image.affine)
    if marks.empty and not current.any():
        return Answer(NOTHING, np.zeros((0, 0, 0), bool), (NOTHING_YET,))
    return _obeying(segmenter.answer(label, marks, current, check), marks, current)


@dataclass(frozen=True)
class Direct:
    """Answers a session in this process; needs what the segmenter needs, e.g. torch.

    Attributes:
        segmenter: that works on the image.
        image: that is drawn on.
        device: of refinements.
    """

    segmenter: Segmenter
    image: Image
    device: str = "cpu"

    def respond(self, prompts: Sequence[Prompt], label: int, current: np.ndarray) -> Answer:
        """See :func:`answer_prompts`."""
        return answer_prompts(self.segmenter, self.image, prompts, label, current)

    def refine(self, mask: np.ndarray, width: float) -> Answer:
        """See :func:`MedAILib.interactive.refine.refine`."""
        from .refine import refine

        found = refine(self.image, mask, width, self.device)
        return Answer(found.box, found.inside)


def _obeying(answer: Answer, marks: Marks, current: np.ndarray) -> Answer:
    """The same with every mark obeyed and nothing beyond the frame, also outside of the answer's box."""
    disobeyed = [marks.inside[~current[tuple(marks.inside.T)]], marks.outside[current[tuple(marks.outside.T)]]]
    whole = tuple(slice(0, side) for side in current.shape)
    for gone in (*marks.barred, *(() if marks.frame is None else (whole,))):
        held = mask_box(current[gone])
        if held is not None:
            corners = [[a.start + b.start, a.start + b.stop - 1] for a, b in zip(gone, held, strict=True)]
            disobeyed.append(np.array(corners).T)
    box, inside = _holding(answer, np.concatenate(disobeyed), current)
    start = np.array([side.start for side in box])
    for barred in marks.barred:
        inside[_within(barred, box)] = False
    if marks.frame is not None:
        framed = np.zeros_like(inside)
        framed[_within(marks.frame, box)] = True
        inside &= framed
    for voxels, value in ((marks.inside, True), (marks.outside, False)):
        at = voxels - start
        at = at[((at >= 0) & (at < inside.shape)).all(1)]
        inside[tuple(at.T)] = value
    return Answer(box, inside, answer.notes)


def _within(part: Box, box: Box) -> tuple[slice, ...]:
    """What of a part of the volume lies in a box, as slices of the box."""
    return tuple(slice(max(0, a.start - b.start), max(0, a.stop - b.start)) for a, b in zip(part, box, strict=True))


def _holding(answer: Answer, voxels: np.ndarray, current: np.ndarray) -> tuple[Box, np.ndarray]:
    """Box and content of an answer, the box grown so that it holds the voxels (n, 3); content is a copy."""
    corners = [voxels] if len(voxels) else []
    if answer.inside.size:
        corners.append(np.array([[side.start, side.stop - 1] for side in answer.box]).T)
    if not corners:
        return answer.box, np.array(answer.inside, bool)
    low, high = np.concatenate(corners).min(0), np.concatenate(corners).max(0) + 1
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    inside = np.array(current[k, j, i], bool)
    if answer.inside.size:
        within = tuple(slice(side.start - a, side.stop - a) for side, a in zip(answer.box, low, strict=True))
        inside[within] = answer.inside
    return (k, j, i), inside
