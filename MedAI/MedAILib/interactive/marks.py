"""The voxels that the prompts of one label mark, the newest winning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..geometry import Shape
from .prompts import Prompt, box_of, marked

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Marks:
    """What the user said about one label.

    Attributes:
        inside, outside: (n, 3) voxels (k, j, i) that belong to it and that do not; none is in both.
        frame: the box that it lies in; None where none was drawn.
        newest: (n, 3) voxels of the latest prompt that marks any.
        positive: what that prompt said.
    """

    inside: np.ndarray
    outside: np.ndarray
    frame: Box | None
    newest: np.ndarray
    positive: bool

    @property
    def empty(self) -> bool:
        """Whether nothing tells what belongs to the label."""
        return len(self.inside) == 0 and self.frame is None


def marks_of(prompts: Iterable[Prompt], label: int, shape: Shape, affine: np.ndarray) -> Marks:
    """Gather what was drawn for a label; a voxel that was marked twice is what the later prompt says.

    What other labels were drawn on does not belong to this one. A positive box says that the object lies within, so
    that all beyond is outside; several boxes of a label are taken together. A negative box marks all that it holds.

    Args:
        prompts: in the order in which they were drawn.
        label: the one that is asked for.
        shape: of the volume, (k, j, i).
        affine: IJK to RAS mm.

    Raises:
        ContentError: a prompt lies outside of the volume.
    """
    said = np.zeros(shape, np.int8)
    frame: Box | None = None
    newest, latest = np.empty((0, 3), np.int64), True
    for prompt in prompts:
        if prompt.kind == "box" and prompt.positive:
            box = box_of(prompt, shape, affine)
            if prompt.label == label:
                frame = _joined(frame, box)
            continue
        voxels = marked(prompt, shape, affine)
        if prompt.label != label and not prompt.positive:
            continue  # what is not another label may be anything
        positive = prompt.positive and prompt.label == label
        said[tuple(voxels.T)] = 1 if positive else -1
        if prompt.label == label:
            newest, latest = voxels, positive
    return Marks(np.argwhere(said > 0), np.argwhere(said < 0), frame, newest, latest)


def _joined(frame: Box | None, box: Box) -> Box:
    """The smallest box that holds both."""
    if frame is None:
        return box
    k, j, i = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(frame, box, strict=True))
    return k, j, i
