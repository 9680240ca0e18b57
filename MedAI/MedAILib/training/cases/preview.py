"""An early look: the image of a case held out, its true outlines, and those that were found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import WriteError
from ...files.pictures import COLORS
from ...geometry import axis_codes
from ...onto import move_onto
from .measure import Scores
from .plan import Plan
from .prepared import PreparedCase
from .run_folder import PREVIEW

_LEAST = 240
"""Pixels of the shorter side of each of the three pictures, at least."""
_WIDE = 3
"""Pixels of an outline: the panel shows the pictures smaller than they are."""


def write_preview(folder: Path, cases: Sequence[PreparedCase], scores: Scores, plan: Plan) -> Path:
    """Write ``preview.png``: the slice with most structures of the case that stands in the middle by its Dice; image,
    truth, and answer side by side, anterior (or superior) up and the patient's right on the left.

    Raises:
        WriteError: the folder cannot be written.
    """
    import SimpleITK as sitk

    case = _typical(cases, scores)
    colors = np.array([[0.0, 0.0, 0.0], *(label.color for label in plan.table)], np.float32)
    answer = scores.answers[case.name]
    number = int((np.array(case.target) > 0).sum((1, 2)).argmax())
    shown = _shown(case.image[:, number], plan.inputs == COLORS)
    truth = np.minimum(case.target[number], len(plan.table))
    panels = [_panel(case, shown, classes, colors) for classes in (np.zeros_like(truth), truth, answer[number])]
    picture = np.concatenate(panels, 1)
    path, draft = folder / PREVIEW, folder / f".{PREVIEW}"
    try:
        sitk.WriteImage(sitk.GetImageFromArray((picture * 255).astype(np.uint8), isVector=True), str(draft))
        move_onto(draft, path)
    except (OSError, RuntimeError) as error:
        raise WriteError(f"{path}: the picture cannot be written ({error}).") from error
    return path


def _typical(cases: Sequence[PreparedCase], scores: Scores) -> PreparedCase:
    means = [np.nan_to_num(np.nanmean([0.0 if d != d else d for d in scores.cases[case.name]])) for case in cases]
    return cases[int(np.argsort(means, kind="stable")[len(means) // 2])]


def _shown(channels: np.ndarray, colored: bool) -> np.ndarray:
    """A slice (c, j, i) as (j, i, 3): a picture in its colors, else the first channel that there is."""
    if colored:
        return np.stack([_gray(channel) for channel in channels], -1)
    there = [channel for channel in channels if np.isfinite(channel).all()] or [channels[0]]
    return np.repeat(_gray(there[0])[..., None], 3, 2)


def _gray(values: np.ndarray) -> np.ndarray:
    """A slice (j, i) as 0 to 1."""
    values = np.nan_to_num(np.array(values, np.float32))
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip((values - low) / max(float(high - low), 1e-6), 0.0, 1.0)


def _panel(case: PreparedCase, shown: np.ndarray, classes: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """(rows, columns, 3), square pixels in space, enlarged."""
    along_j, along_i = case.spacing[1:]
    fine = min(along_j, along_i)
    zoom = max(1, -(-_LEAST // max(1, round(min(shown.shape[0] * along_j, shown.shape[1] * along_i) / fine))))
    rows = np.floor((np.arange(max(1, round(shown.shape[0] * along_j / fine)) * zoom) + 0.5) * fine / along_j / zoom)
    columns = np.floor((np.arange(max(1, round(shown.shape[1] * along_i / fine)) * zoom) + 0.5) * fine / along_i / zoom)
    pick = np.ix_(np.clip(rows.astype(int), 0, shown.shape[0] - 1), np.clip(columns.astype(int), 0, shown.shape[1] - 1))
    picture, numbers = shown[pick], classes[pick]
    edge = _outline(numbers)
    picture[edge] = colors[numbers[edge]]
    codes = axis_codes(case.affine)
    picture = picture[::-1] if codes[1] in "AS" else picture
    return picture[:, ::-1] if codes[0] == "R" else picture


def _outline(numbers: np.ndarray) -> np.ndarray:
    """Pixels of a class (rows, columns) that are near another."""
    edge = np.zeros(numbers.shape, bool)
    for axis in (0, 1):
        for shift in range(-_WIDE, _WIDE + 1):
            edge |= np.roll(numbers, shift, axis) != numbers
    return edge & (numbers > 0)
