"""A user who always corrects the largest error, and what that leads to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MedAILib.image import Image
from MedAILib.interactive.answering import answer_prompts
from MedAILib.interactive.prompts import Prompt
from MedAILib.interactive.segmenter import Segmenter
from MedAILib.label_boxes import mask_box

DRAWN = 0.5
"""Share of the longest chord through the center of an error that a stroke covers."""
_DIRECTIONS = 24


@dataclass(frozen=True)
class Step:
    """What one prompt led to.

    Attributes:
        dice: with the truth.
        seconds: CPU time that the answer took.
    """

    dice: float
    seconds: float


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Dice's coefficient of two masks."""
    return 2.0 * float((found & truth).sum()) / max(1.0, float(found.sum()) + float(truth.sum()))


def play(segmenter: Segmenter, image: Image, truth: np.ndarray, count: int, clicks: bool = False) -> Iterator[Step]:
    """Prompt a segmenter again and again; each step is yielded as it is made.

    Args:
        segmenter: fresh.
        image: that it segments.
        truth: (k, j, i) bool.
        count: of the prompts; fewer where no error is left, the last step is repeated then.
        clicks: points instead of strokes.
    """
    mask = np.zeros(image.shape, bool)
    prompts: list[Prompt] = []
    step = Step(0.0, 0.0)
    for _ in range(count):
        prompt = correction(mask, truth, image.affine, image.spacing, clicks)
        if prompt is not None:
            prompts.append(prompt)
            start = time.process_time()
            answer = answer_prompts(segmenter, image, prompts, 1, mask)
            seconds = time.process_time() - start
            mask[answer.box] = answer.inside
            step = Step(dice(mask, truth), seconds)
        yield step


def correction(
    mask: np.ndarray, truth: np.ndarray, affine: np.ndarray, spacing: tuple[float, float, float], clicks: bool
) -> Prompt | None:
    """What is drawn into the largest error; None where there is none."""
    wrong = [_largest(truth & ~mask), _largest(mask & ~truth)]
    sizes = [0 if each is None else each[1].sum() for each in wrong]
    positive = sizes[0] >= sizes[1]
    error = wrong[0] if positive else wrong[1]
    if error is None:
        return None
    start, region = error
    center = deepest(region, spacing)
    ends = [center] if clicks else chord(region, center, spacing)
    points = [(affine @ [*(end + start)[::-1], 1.0])[:3] for end in ends]
    return Prompt("point" if clicks else "stroke", np.array(points), bool(positive))


def _largest(wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """First voxel and mask of the box around the largest component."""
    around = mask_box(wrong)
    if around is None:
        return None
    parts, _ = ndimage.label(wrong[around])
    number = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    box = ndimage.find_objects(parts)[number - 1]
    return np.array([a.start + b.start for a, b in zip(around, box, strict=True)]), parts[box] == number


def deepest(region: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """The voxel (3,) that lies farthest from the outside, in mm."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    return np.array(np.unravel_index(int(depth.argmax()), region.shape))


def chord(region: np.ndarray, center: np.ndarray, spacing: tuple[float, float, float]) -> list[np.ndarray]:
    """Two voxels: the middle part of the longest line through the center that stays in the slice and in the region."""
    plane = region[center[0]]
    best = (-1.0, center, center)
    for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS:
        direction = np.array([np.sin(angle), np.cos(angle)]) / spacing[1:]
        direction /= np.abs(direction).max()
        reach = [_reach(plane, center[1:], sign * direction) for sign in (1.0, -1.0)]
        length = float(np.linalg.norm(direction * spacing[1:])) * sum(reach)
        if length > best[0]:
            ends = [
                np.rint(center[1:] + sign * direction * DRAWN * n) for sign, n in zip((1.0, -1.0), reach, strict=True)
            ]
            best = (length, *(np.array([center[0], *end.astype(int)]) for end in ends))
    return [best[1], best[2]]


def _reach(plane: np.ndarray, start: np.ndarray, direction: np.ndarray) -> int:
    """Steps from a pixel until the region is left."""
    count = 0
    while True:
        at = np.rint(start + (count + 1) * direction).astype(int)
        if (at < 0).any() or (at >= plane.shape).any() or not plane[tuple(at)]:
            return count
        count += 1
