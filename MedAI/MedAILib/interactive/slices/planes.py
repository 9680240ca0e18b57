"""From prompts in a volume to prompts on slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...geometry import axial_first, thickest_axes
from ...image import Image
from ..marks import Box, Marks
from ..segmenter import NOTHING

Rectangle = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class SlicePrompts:
    """What was said about an object on one slice.

    Attributes:
        label: of the object.
        inside, outside: (n, 2) pixels (row, column).
        newest: (n, 2) pixels of the latest prompt, as far as they lie on this slice.
        positive: what that prompt said.
        frame: rows and columns that the object lies in; None where none was drawn.
        current: (h, w) bool, the object as it is.
    """

    label: int
    inside: np.ndarray
    outside: np.ndarray
    newest: np.ndarray
    positive: bool
    frame: Rectangle | None
    current: np.ndarray

    @property
    def agree(self) -> bool:
        """Whether the object is there and just as it was said."""
        return bool(self.current.any()) and bool((self.obeyed(self.current) == self.current).all())

    @property
    def left(self) -> np.ndarray:
        """What of the object nobody said to be outside, (h, w) bool."""
        return self.current & self.obeyed(self.current)

    def obeyed(self, found: np.ndarray) -> np.ndarray:
        """An object (h, w) with everything that was said."""
        result = found.copy()
        if self.frame is not None:
            result[:] = False
            result[self.frame] = found[self.frame]
        result[tuple(self.inside.T)] = True
        result[tuple(self.outside.T)] = False
        return result


def plane_axis(image: Image, newest: np.ndarray) -> int:
    """The axis (0, 1, 2 for k, j, i) along which the slices lie: that of the thickest, or of the only one.

    Where all are equally thick, the newest prompt tells, if it was drawn in one plane; otherwise slices are axial.

    Args:
        image: the volume.
        newest: (n, 3) voxels of the newest prompt.
    """
    thick = thickest_axes(image.shape, image.affine)
    if len(newest) and thick.sum() > 1:
        flat = thick & (np.ptp(newest, 0) == 0)
        thick = flat if flat.any() else thick
    return axial_first(thick, image.affine)


def numbers(marks: Marks, axis: int, current: np.ndarray, framed: bool) -> list[int]:
    """The slices that the newest prompt lies on, in order.

    Args:
        marks: in the volume.
        axis: of the slices.
        current: (k, j, i) bool, the object as it is.
        framed: the frame is new, so that its slices belong to them, and those where the object is beyond it.
    """
    found = set(marks.newest[:, axis].tolist())
    if framed and marks.frame is not None:
        others = tuple(other for other in range(3) if other != axis)
        found |= set(range(marks.frame[axis].start, marks.frame[axis].stop))
        found |= set(np.flatnonzero(current.any(others)).tolist())
    return sorted(found)


def prompts_on(marks: Marks, axis: int, number: int, current: np.ndarray, label: int) -> SlicePrompts:
    """What the marks say on one slice.

    Args:
        marks: in the volume.
        axis, number: of the slice.
        current: (k, j, i) bool, the object as it is.
        label: of the object.
    """

    def here(voxels: np.ndarray) -> np.ndarray:
        return np.delete(voxels[voxels[:, axis] == number], axis, 1)

    frame: Rectangle | None = None
    if marks.frame is not None:
        rows, columns = (side for other, side in enumerate(marks.frame) if other != axis)
        through = marks.frame[axis].start <= number < marks.frame[axis].stop
        frame = (rows, columns) if through else (slice(0, 0), slice(0, 0))
    return SlicePrompts(
        label,
        here(marks.inside),
        here(marks.outside),
        here(marks.newest),
        marks.positive,
        frame,
        current.take(number, axis),
    )


def changed_box(axis: int, found: dict[int, np.ndarray], current: np.ndarray) -> tuple[Box, np.ndarray]:
    """The smallest box around all that changes on some slices, and what is in it.

    Args:
        axis: of the slices.
        found: (h, w) bool by slice number, at least one.
        current: (k, j, i) bool.
    """
    changed = {number: mask for number, mask in found.items() if (mask != current.take(number, axis)).any()}
    if not changed:
        return NOTHING, np.zeros((0, 0, 0), bool)
    union = np.zeros(next(iter(changed.values())).shape, bool)
    for number, mask in changed.items():
        union |= mask != current.take(number, axis)
    sides = [slice(int(at.min()), int(at.max()) + 1) for at in union.nonzero()]
    rectangle = tuple(sides)
    first = min(changed)
    sides.insert(axis, slice(first, max(changed) + 1))
    k, j, i = sides
    inside = np.moveaxis(current[k, j, i].copy(), axis, 0)
    for number, mask in changed.items():
        inside[number - first] = mask[rectangle]
    return (k, j, i), np.moveaxis(inside, 0, axis)
