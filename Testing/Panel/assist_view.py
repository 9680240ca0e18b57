"""A picture of AI assist: an object from nothing in three strokes, and a mask that lost a part and gets it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from MedAILib.image import Image
from MedAILib.spatial import crop
from Panel.assist_steps import Bench
from Panel.view_parts import gray, joined, view

MARGIN = 22
"""Voxels around the object that are shown."""
LINE, INSIDE, OUTSIDE = (1.0, 0.85, 0.1), (0.2, 0.9, 0.25), (0.95, 0.25, 0.2)
REACH = 4
"""Voxels that a stroke is long to either side."""


@dataclass(frozen=True, eq=False)
class Step:
    """What there is to see after a stroke.

    Attributes:
        mask: (k, j, i) bool.
        strokes: voxels (n, 3) and sign of all strokes so far.
    """

    mask: np.ndarray
    strokes: tuple[tuple[np.ndarray, bool], ...]


def lead(bench: Bench, truth: np.ndarray, plane: int, count: int, name: str) -> list[Step]:
    """Do what a user does: look at a coronal plane, and draw where the mask is most wrong.

    Args:
        bench: the editor, with the coronal slice view at the plane.
        truth: (k, j, i) bool, what the user has in mind.
        plane: j.
        count: strokes.
        name: of the segment.
    """
    view = bench.desk.views.sliceWidget("Coronal")
    strokes: list[tuple[np.ndarray, bool]] = []
    steps = [Step(bench.mask(name), ())]
    for _ in range(count):
        mask = bench.mask(name)
        voxels, positive = _next_stroke(truth[:, plane], mask[:, plane])
        if not len(voxels):
            break
        places = [(int(k), plane, int(i)) for k, i in voxels]
        bench.draw(places, view, control=not positive)
        if not bench.desk.wait(lambda: not bench.controller.busy, 300.0) or bench.controller.status.failed:
            raise RuntimeError(bench.line)
        print(bench.line.replace("\n", " "))
        strokes.append((np.array(places), positive))
        steps.append(Step(bench.mask(name), tuple(strokes)))
    return steps


def _next_stroke(truth: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, bool]:
    """Ends (2, 2) of a level line through the middle of the largest error of a plane, and its sign."""
    best, found, positive = 0.0, np.zeros((0, 2), int), True
    for wrong, sign in ((truth & ~mask, True), (mask & ~truth, False)):
        deep = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
        if deep.max() > best:
            best, positive = float(deep.max()), sign
            k, i = np.unravel_index(int(deep.argmax()), deep.shape)
            row = np.flatnonzero(ndimage.label(wrong[k])[0] == ndimage.label(wrong[k])[0][i])
            found = np.array([[k, max(row[0], i - REACH)], [k, min(row[-1], i + REACH)]])
    return found, positive


def assist_view(image: Image, plane: int, rows: Sequence[Sequence[Step]]) -> np.ndarray:
    """The steps beside each other, one row below the other; uint8 (rows, columns, 3).

    Args:
        image: RAS.
        plane: j.
        rows: of steps.
    """
    shown = np.any([step.mask[:, plane] for row in rows for step in row], axis=0)
    ks, is_ = (np.flatnonzero(shown.any(axis)) for axis in (1, 0))
    start = max(ks[0] - MARGIN, 0), max(is_[0] - MARGIN, 0)
    size = min(ks[-1] + MARGIN, image.shape[0]) - start[0], min(is_[-1] + MARGIN, image.shape[2]) - start[1]
    part = crop(image, (start[0], plane, start[1]), (size[0], 1, size[1]))
    low, high = np.percentile(part.array, (1, 99.5))
    pictures = []
    for row in rows:
        pictures.append(joined([_picture(part, start, plane, step, (low, high)) for step in row], 1))
    width = max(picture.shape[1] for picture in pictures)
    filled = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=1.0) for one in pictures]
    return (joined(filled, 0) * 255).astype(np.uint8)


def _picture(part: Image, start: tuple[int, int], plane: int, step: Step, window: Any) -> np.ndarray:
    picture = gray(view(part, part.array), window)
    k, i = part.shape[0], part.shape[2]
    mask = step.mask[start[0] : start[0] + k, plane, start[1] : start[1] + i]
    large = view(part, mask[:, np.newaxis].astype(float)) > 0.5
    picture[large & ~ndimage.binary_erosion(large, iterations=2)] = LINE
    for voxels, positive in step.strokes:
        line = np.zeros((k, 1, i))
        low, high = voxels.min(0), voxels.max(0)
        line[low[0] - start[0], 0, low[2] - start[1] : high[2] - start[1] + 1] = 1.0
        picture[view(part, line, 0) > 0.5] = INSIDE if positive else OUTSIDE
    return picture
