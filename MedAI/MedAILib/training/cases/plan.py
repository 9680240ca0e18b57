"""From what was found in the data to how it is trained on, after nnU-Net's published rules. Needs no torch.

Isensee et al. 2021 (nnU-Net, Nature Methods 18, supplementary note 2): the spacing is the median over the cases, along
an axis of much thicker slices their tenth percentile; the patch begins as the median case and shrinks along the axis
that it covers most until it fits; CT is clipped to the 0.5 and 99.5 percentiles of the structures' intensities and
standardized with their mean and standard deviation, everything else with each image's own. Differences: the patch's
sides are rounded to the nearest multiple that the network takes, not up, which costs up to threefold on small
structures; and the size is limited by the device's memory and speed, not by a fixed memory of 8 GB.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ReadError, UsageError
from ...geometry import Shape, Spacing
from ...image import Image
from ...labels import Label
from ...models.card import Preparation
from ...spatial import SLICES, network_axes
from .report import CaseFacts, Report
from .settings import CaseValidation, PlanSettings
from .subjects import by_subject

ANISOTROPIC = 3.0
_LETTER_FIRST = {"S": "RAS", "A": "RSA", "R": "ASR"}
"""Axis codes whose k axis is this one."""


@dataclass(frozen=True)
class Plan:
    """How a folder of cases is trained on.

    Attributes:
        orientation, spacing, intensity, preparation: of the network's grid, as in the model's card.
        patch: (k, j, i) voxels of that grid.
        batch: patches per step.
        channels: of the image.
        inputs: their names; may be empty.
        modality: DICOM code.
        table: the classes 1, 2, … in order.
        instances: values of the label maps are objects of the one class.
        trained, held_out: names of the cases.
        why: one sentence for each decision.
    """

    orientation: str
    spacing: Spacing
    intensity: Mapping[str, Any]
    patch: Shape
    batch: int
    channels: int
    modality: str
    table: tuple[Label, ...]
    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    instances: bool = False
    preparation: Preparation = field(default_factory=lambda: Preparation(crop="none"))
    inputs: tuple[str, ...] = ()
    why: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "orientation": self.orientation,
            "spacing": list(self.spacing),
            "intensity": dict(self.intensity),
            "patch": list(self.patch),
            "batch": self.batch,
            "channels": self.channels,
            "inputs": list(self.inputs),
            "modality": self.modality,
            "labels": [label.to_json() for label in self.table],
            "trained": list(self.trained),
            "held_out": list(self.held_out),
            "instances": self.instances,
            "preparation": asdict(self.preparation),
            "why": list(self.why),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that :meth:`to_json` wrote."""
        values = dict(data)
        table = tuple(Label.from_json(one) for one in values.pop("labels"))
        tuples: dict[str, Any] = {
            name: tuple(values.pop(name)) for name in ("spacing", "patch", "trained", "held_out", "inputs", "why")
        }
        preparation = Preparation(**values.pop("preparation"))
        return cls(table=table, preparation=preparation, **tuples, **values)


def read_plan(file: Path) -> Plan:
    """The plan of a run; raises ReadError."""
    try:
        return Plan.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ReadError(f"{file}: no usable plan ({error}). Choose another folder for the run.") from error


@dataclass(frozen=True)
class Grid:
    """The network's grid, before the patch is known.

    Attributes:
        orientation, spacing: as in the plan.
        median, largest: (k, j, i) of the cases on it.
        why: sentences.
    """

    orientation: str
    spacing: Spacing
    median: Shape
    largest: Shape
    why: tuple[str, ...]


def choose_grid(facts: Sequence[CaseFacts], settings: PlanSettings, slicewise: bool) -> Grid:
    """Axes and spacing.

    Args:
        facts: of the cases; at least one.
        settings: what is decided already.
        slicewise: the network looks at slices one by one.
    """
    why = []
    orientation = settings.orientation or (SLICES if slicewise else _orientation(facts))
    turned = [_turned(one, orientation) for one in facts]
    spacings = np.array([image.spacing for image in turned])
    if settings.spacing is not None:
        spacing = settings.spacing
        why.append(f"Spacing {_mm(spacing)}, as asked for.")
    else:
        spacing = _spacing(spacings, np.array([image.shape for image in turned]), orientation)
        kind = "the median of the cases"
        if orientation != SLICES and not np.allclose(spacing, np.median(spacings, 0)):
            kind += ", thinner along the axis of thick slices"
        why.append(f"Spacing {_mm(spacing)} (k, j, i): {kind}.")
    if orientation != "RAS":
        why.append(f"Axes {orientation}, so that thick slices lie along k.")
    shapes = [
        [max(1, round(n * s / w)) for n, s, w in zip(image.shape, image.spacing, spacing, strict=True)]
        for image in turned
    ]
    if orientation == SLICES:
        shapes = [[image.shape[0], *shape[1:]] for image, shape in zip(turned, shapes, strict=True)]
    median, largest = np.median(shapes, 0), np.max(shapes, 0)
    return Grid(orientation, spacing, _shape(np.rint(median)), _shape(largest), tuple(why))


def choose_patch(grid: Grid, unit: Shape, voxels: int, settings: PlanSettings, slicewise: bool) -> Shape:
    """The patch's sides.

    Args:
        grid: of the network.
        unit: what they must be divisible by.
        voxels: that a patch may have.
        settings: what is decided already.
        slicewise: the network looks at slices one by one.

    Raises:
        UsageError: the patch that was asked for does not fit the network.
    """
    if settings.patch == "whole":
        return _shape([-(-side // step) * step for side, step in zip(grid.largest, unit, strict=True)])
    if settings.patch is not None:
        asked = _shape(settings.patch)
        if any(side % step for side, step in zip(asked, unit, strict=True)):
            raise UsageError(f"Patches of {asked} voxels do not fit the network; it needs sides divisible by {unit}.")
        return asked
    median = [1, *grid.median[1:]] if slicewise else list(grid.median)
    steps = [max(1, int(side / step + 0.5)) for side, step in zip(median, unit, strict=True)]
    while np.prod([n * step for n, step in zip(steps, unit, strict=True)]) > voxels and max(steps) > 1:
        ratios = [n * step / side if n > 1 else 0.0 for n, step, side in zip(steps, unit, median, strict=True)]
        cube = [n * step * mm if n > 1 else 0.0 for n, step, mm in zip(steps, unit, grid.spacing, strict=True)]
        # The side that covers most of the case gives way; of those that cover it all, the longest.
        steps[max(range(3), key=lambda axis: (round(min(1.0, ratios[axis]), 1), cube[axis]))] -= 1
    if max(steps) == 1 and max(unit) > 1:
        steps[int(np.argmax(median))] = 2  # statistics of a single voxel at the coarsest level mean nothing
    return _shape([n * step for n, step in zip(steps, unit, strict=True)])


def make_plan(
    report: Report,
    settings: PlanSettings,
    validation: CaseValidation,
    grid: Grid,
    patch: Shape,
    batch: int,
    seed: int,
) -> Plan:
    """Put everything together.

    Args:
        report: without fatal problems.
        settings: what the user decided.
        validation: which cases are held out.
        grid, patch: see :func:`choose_grid`, :func:`choose_patch`.
        batch: patches per step, if the settings do not say.
        seed: draws the cases to hold out.

    Raises:
        UsageError: a case that is to be held out is not there, or none is left to train on.
    """
    facts = report.facts
    ct = all(one.ct for one in facts)
    modality = settings.modality or report.modality or ("CT" if ct else "OT" if facts[0].shape[0] == 1 else "MR")
    if settings.intensity is not None:
        intensity, sentence = dict(settings.intensity), "Intensities as asked for."
    else:
        intensity, sentence = _intensity(report, modality)
    trained, held_out = split(report, validation, seed)
    table = report.table
    if settings.instances:
        table = table[:1]
    size = " x ".join(map(str, patch))
    subjects = by_subject((*trained, *held_out), validation.subject)
    whose = f" (of {len(subjects)} subjects, by their names)" if len(subjects) < len(facts) else ""
    why = (
        *grid.why,
        f"Patches of {size} voxels (k x j x i); the median case has {' x '.join(map(str, grid.median))}.",
        sentence,
        f"{len(trained)} cases are trained on, {len(held_out)} are held out to measure{whose}.",
    )
    return Plan(
        orientation=grid.orientation,
        spacing=grid.spacing,
        intensity=intensity,
        patch=patch,
        batch=settings.batch or batch,
        channels=facts[0].channels,
        modality=modality.upper(),
        table=table,
        trained=trained,
        held_out=held_out,
        instances=settings.instances,
        inputs=report.inputs,
        why=why,
    )


def split(report: Report, validation: CaseValidation, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the cases to train on and of those held out: whole subjects, and none whose structures no other has.

    Raises:
        UsageError: a case that is to be held out is not there, or none is left to train on.
    """
    names = [one.name for one in report.facts]
    if validation.cases:
        missing = sorted(set(validation.cases) - set(names))
        if missing:
            raise UsageError(f"{missing[0]} is to be held out, but there is no such case.")
        held = set(validation.cases)
    else:
        held = _drawn(report, by_subject(names, validation.subject), validation.share, seed)
    trained = tuple(name for name in names if name not in held)
    if not trained:
        raise UsageError("All cases are held out; none is left to train on.")
    return trained, tuple(name for name in names if name in held)


def _drawn(report: Report, subjects: Mapping[str, list[str]], share: float, seed: int) -> set[str]:
    """The cases of subjects that are drawn."""
    count = min(len(subjects) - 1, max(1, round(share * len(subjects)))) if share else 0
    needed = set()
    for one in report.classes:
        owners = {subject for subject, cases in subjects.items() if set(cases) & set(one.cases)}
        needed |= owners if len(owners) == 1 else set()
    free = [subject for subject in subjects if subject not in needed] or list(subjects)
    random.Random(seed).shuffle(free)
    return {name for subject in free[:count] for name in subjects[subject]}


def _orientation(facts: Sequence[CaseFacts]) -> str:
    """Thick slices along k, if most cases have them along the same axis of the body."""
    letters = []
    for one in facts:
        k, j, i = one.spacing
        sides = sorted((k, j, i))
        if sides[2] < ANISOTROPIC * sides[1]:
            continue
        axis = one.codes[2 - one.spacing.index(sides[2])]
        letters.append({"L": "R", "P": "A", "I": "S"}.get(axis, axis))
    usual = max(set(letters), key=letters.count) if letters else "S"
    return _LETTER_FIRST[usual if letters.count(usual) > len(facts) / 2 else "S"]


def _turned(facts: CaseFacts, orientation: str) -> Image:
    """An image without voxels of its own in the place of the case, with the network's axes."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for axis, (letter, size) in enumerate(zip(facts.codes, facts.spacing[::-1], strict=True)):
        row = next(n for n, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[row, axis] = size if letter in "RAS" else -size
    return network_axes(Image(np.zeros(facts.shape, np.uint8), affine), orientation)


def _spacing(spacings: np.ndarray, shapes: np.ndarray, orientation: str) -> Spacing:
    """nnU-Net's target spacing."""
    target = np.median(spacings, 0)
    size = np.median(shapes, 0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    coarse = target[worst] > ANISOTROPIC * target[others].max()
    if orientation != SLICES and coarse and size[worst] * ANISOTROPIC < size[others].min():
        tenth = float(np.percentile(spacings[:, worst], 10))
        target[worst] = max(min(tenth, target[worst]), target[others].max() + 1e-5)
    k, j, i = (float(f"{value:.6g}") for value in target)
    return k, j, i


def _intensity(report: Report, modality: str) -> tuple[dict[str, Any], str]:
    """How intensities are prepared, and a sentence; nnU-Net looks at each channel's name."""
    facts, count = report.facts, report.facts[0].channels
    names = report.inputs or [modality] * count
    specs = [_ct(facts, n) if name.upper() == "CT" else None for n, name in enumerate(names)]
    empty = float(np.median([one.empty for one in facts])) > 0.25
    where = "that are not 0" if empty else "of each image"
    plain = {"method": "zscore", "foreground": empty}
    if count == 1 and specs[0] is not None:
        low, high = specs[0]["low"], specs[0]["high"]
        return specs[0], f"CT: intensities are clipped to {low:g} to {high:g} HU, then standardized."
    sentence = f"Intensities are standardized over the voxels {where}."
    if not any(specs):
        return plain, sentence
    channels = [spec or plain for spec in specs]
    return {"method": "channels", "channels": channels}, f"CT is clipped to what structures have. {sentence}"


def _ct(facts: Sequence[CaseFacts], channel: int) -> dict[str, Any]:
    """nnU-Net's preparation of CT: percentiles, mean and standard deviation inside the structures of all cases."""
    samples = [np.array(one.values[channel]) for one in facts if channel < len(one.values)]
    values = np.concatenate(samples) if any(len(one) for one in samples) else np.zeros(1)
    low, high = np.percentile(values, (0.5, 99.5))
    figures = {"low": low, "high": high, "mean": values.mean(), "sd": values.std()}
    return {"method": "clip", **{name: float(f"{value:.6g}") for name, value in figures.items()}}


def _shape(values: Sequence[Any] | np.ndarray) -> Shape:
    k, j, i = (max(1, int(value)) for value in values)
    return k, j, i


def _mm(spacing: Spacing) -> str:
    return " x ".join(f"{value:g}" for value in spacing) + " mm"
