"""What the newest prompt asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...geometry import Shape, Spacing
from ...label_boxes import mask_box
from ..marks import Box, Marks
from .region import Region

_RIM = 0.25
"""How far one looks beyond a frame to learn what is not the object, in units of the prompt's length."""

_SHORT = 3.0
"""Voxels that a negative stroke is taken to be long at least, of the finest axis."""

_LOOKED_AT = 50_000
"""Voxels of an object among which the nearest one is looked for."""


@dataclass(frozen=True, eq=False)
class Task:
    """A change of the object around some voxels.

    Attributes:
        newest: (n, 3) voxels that the newest prompt marks and that are not yet as it says.
        positive: whether they shall be inside.
        inside, outside: (n, 3), all marks.
        frame: the object lies within.
        fresh: there is no object yet.
        firm: whether ``newest`` are marks; of a frame alone it is only supposed that its middle is inside.
        pointed: ``newest`` does not tell the size of what it marks.
        length: mm, of the prompt.
        linked: (3,) voxel of the object that is nearest to a positive prompt; None for others.
    """

    newest: np.ndarray
    positive: bool
    inside: np.ndarray
    outside: np.ndarray
    frame: Box | None
    fresh: bool
    firm: bool
    pointed: bool
    length: float
    linked: np.ndarray | None = None

    def bounds(self, shape: Shape, spacing: Spacing) -> Box:
        """The part of the volume that may be looked at."""
        if self.frame is None:
            return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])
        rim = [max(2, round(_RIM * self.length / size)) for size in spacing]
        k, j, i = (
            slice(max(0, side.start - more), min(end, side.stop + more))
            for side, more, end in zip(self.frame, rim, shape, strict=True)
        )
        return k, j, i

    def around(self, opinion: tuple[Box, np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
        """First voxel (3,) and the one after the last of what has to be looked at."""
        low, high = self.newest.min(0), self.newest.max(0) + 1
        if self.linked is not None:
            low, high = np.minimum(low, self.linked), np.maximum(high, self.linked + 1)
        found = mask_box(opinion[1] > 0.5) if opinion is not None and self.fresh else None
        if opinion is not None and found is not None:
            corners = [[a.start + b.start, a.start + b.stop] for a, b in zip(opinion[0], found, strict=True)]
            low, high = np.minimum(low, np.array(corners)[:, 0]), np.maximum(high, np.array(corners)[:, 1])
        return low, high

    def changed(self, found: np.ndarray, current: np.ndarray, region: Region) -> np.ndarray:
        """The object of a region: of what was found only that which the newest prompt asks for.

        Args:
            found, current: bool of the region's box.
            region: that they are of.
        """
        from skimage.measure import label

        newest = tuple(region.local(self.newest).T)
        change = found & ~current if self.positive else current & ~found
        change[newest] = True
        parts = label(change, connectivity=1)
        change &= np.isin(parts, np.unique(parts[newest]))
        return current | change if self.positive else current & ~change


def task_of(marks: Marks, current: np.ndarray, spacing: Spacing, least: float) -> Task | None:
    """What the marks ask for; None where nothing has to be found for it.

    Args:
        marks: not empty, unless there is an object.
        current: (k, j, i) bool.
        spacing: of the volume, mm.
        least: mm, length of a point.
    """
    fresh, firm = not current.any(), True
    newest, positive = marks.newest, marks.positive
    if fresh:
        newest, positive, firm = marks.inside, True, len(marks.inside) > 0
        if not firm:
            assert marks.frame is not None
            newest = _middle(marks.frame)
    else:
        newest = newest[current[tuple(newest.T)] != positive]
        if len(newest) == 0 or marks.cut:
            return None
    length = float(np.linalg.norm(np.ptp(newest, 0) * spacing))
    pointed = len(newest) == 1 if fresh else marks.pointed
    if positive or pointed:
        length = max(length, least)
    else:
        # A short stroke says that what is too much there is little; what is missing may be as thin, but long.
        length = max(length + min(spacing), _SHORT * min(spacing))
    linked = None if fresh or not positive else _nearest(current, newest.mean(0), spacing)
    return Task(newest, positive, marks.inside, marks.outside, marks.frame, fresh, firm, pointed, length, linked)


def _nearest(mask: np.ndarray, place: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The voxel (3,) of a mask that is nearest to a place; of a large mask, nearly."""
    box = mask_box(mask)
    assert box is not None
    at = np.argwhere(mask[box])
    at = at[:: max(1, len(at) // _LOOKED_AT)] + [side.start for side in box]
    return at[int(np.square((at - place) * spacing).sum(1).argmin())]


def _middle(frame: Box) -> np.ndarray:
    """The middle half of the line (n, 3) through the center of a box along its longest side."""
    sides = [side.stop - side.start for side in frame]
    axis = int(np.argmax(sides))
    line = np.arange(frame[axis].start + sides[axis] // 4, frame[axis].stop - sides[axis] // 4)
    found = np.tile([(side.start + side.stop - 1) // 2 for side in frame], (len(line), 1))
    found[:, axis] = line
    return found
