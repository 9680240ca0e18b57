"""The voxels that the prompts of one label mark, the newest winning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..geometry import Shape
from .prompts import Prompt, box_of, marked

Box = tuple[slice, slice, slice]

_LISTED = 100_000
"""Voxels of a negative box that are listed one by one; a whole CT as a list would take gigabytes."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What the user said about one label.

    Attributes:
        inside, outside: (n, 3) voxels (k, j, i) that belong to it and that do not; none is in both.
        frame: the box that it lies in; None where none was drawn.
        newest: (n, 3) voxels of the latest prompt that marks any.
        positive: what that prompt said.
        barred: large negative boxes; of all that they hold only ``inside`` belongs to the label, and ``outside`` has
            some voxels of each only, spread evenly.
        cut: whether the latest prompt is a negative box, which says exactly what goes.
        pointed: whether it is a point, which does not tell the size of what it marks.
    """

    inside: np.ndarray
    outside: np.ndarray
    frame: Box | None
    newest: np.ndarray
    positive: bool
    barred: tuple[Box, ...] = ()
    cut: bool = False
    pointed: bool = False

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
    frame: Box | None = None
    barred: list[Box] = []
    said: list[tuple[np.ndarray, bool]] = []
    newest, latest, cut, pointed = np.empty((0, 3), np.int64), True, False, False
    for prompt in prompts:
        if prompt.kind == "box" and prompt.positive:
            box = box_of(prompt, shape, affine)
            if prompt.label == label:
                frame = joined(frame, box)
            continue
        if prompt.label != label and not prompt.positive:
            continue  # what is not another label may be anything
        if prompt.kind == "box":
            box = box_of(prompt, shape, affine)
            voxels, all_of_it = _spread(box)
            if not all_of_it:
                barred.append(box)
                said = [(earlier[~_within(earlier, box)], sign) for earlier, sign in said]
        else:
            voxels = marked(prompt, shape, affine)
        positive = prompt.positive and prompt.label == label
        said.append((voxels, positive))
        if prompt.label == label:
            newest, latest = voxels, positive
            cut, pointed = prompt.kind == "box", prompt.kind == "point"
    inside, outside = _last_said(said, shape)
    return Marks(inside, outside, frame, newest, latest, tuple(barred), cut, pointed)


def _last_said(said: Iterable[tuple[np.ndarray, bool]], shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """The voxels (n, 3) that were last said to be inside and those outside, both in rising order."""
    voxels = np.concatenate([np.empty((0, 3), np.int64), *(each for each, _ in said)])
    signs = np.concatenate([np.empty(0, bool), *(np.full(len(each), sign) for each, sign in said)])
    # Of voxels that are there several times, the first is found: from behind, that is the last.
    places, first = np.unique(np.ravel_multi_index(tuple(voxels[::-1].T), shape), return_index=True)
    inside = signs[::-1][first]
    found = np.stack(np.unravel_index(places, shape), 1).astype(np.int64)
    return found[inside], found[~inside]


def _spread(box: Box) -> tuple[np.ndarray, bool]:
    """Voxels (n, 3) of a box at even distances, few enough to be listed, and whether they are all of them."""
    sides = np.array([side.stop - side.start for side in box])
    step = np.ones(3, int)
    while np.prod(-(-sides // step)) > _LISTED:
        step[int(np.argmax(sides / step))] += 1
    lines = (np.arange(side.start, side.stop, each) for side, each in zip(box, step, strict=True))
    return np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, 3), bool((step == 1).all())


def _within(voxels: np.ndarray, box: Box) -> np.ndarray:
    """Which of the voxels (n, 3) lie in a box, (n,) bool."""
    low, high = np.array([[side.start, side.stop] for side in box]).T
    return ((voxels >= low) & (voxels < high)).all(axis=1)


def joined(frame: Box | None, box: Box) -> Box:
    """The smallest box that holds both."""
    if frame is None:
        return box
    k, j, i = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(frame, box, strict=True))
    return k, j, i
