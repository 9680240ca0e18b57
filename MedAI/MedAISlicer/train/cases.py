"""The scene's segmentations as training cases: each one with the volume that it was made on, written to files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from MedAILib.errors import MedAIError, WriteError
from MedAILib.files import write_image, write_labels, write_text
from MedAILib.files.pictures import COLORS
from MedAILib.image import Image, Kind
from MedAILib.labels import Label
from MedAILib.training.cases.report import Problem

from .. import mrml

Node = Any

CASES = "cases"
"""Folder of a training that holds the cases of a scene."""

IMAGES, LABELS = "images", "labels"
"""Folders in it; the files of a case are named alike in both."""

DESCRIPTION = "dataset.json"
"""Names the channels of pictures in colors."""


@dataclass(frozen=True)
class SceneCase:
    """A case that can be written.

    Attributes:
        name: of its files.
        segmentation, volume: the nodes.
    """

    name: str
    segmentation: Node
    volume: Node

    def uses(self, node: Node) -> bool:
        """Whether it is one of the case's nodes."""
        return node is self.segmentation or node is self.volume


@dataclass(frozen=True)
class SceneCases:
    """What the chosen segmentations are good for.

    Attributes:
        cases: those that can be written.
        classes: key of each class to its number, from 1; see :func:`key_of`.
        problems: what stands in the way of the others.
    """

    cases: tuple[SceneCase, ...]
    classes: dict[str, int]
    problems: tuple[Problem, ...]


def source_of(segmentation: Node) -> Node | None:
    """The volume that a segmentation was made on; None if that is not known."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def key_of(name: str) -> str:
    """What two segments have in common that are the same structure: their name but for spaces and upper case."""
    return " ".join(name.split()).casefold()


def cases_of(segmentations: Iterable[Node]) -> SceneCases:
    """Look which segmentations can be cases, and number the structures in the order in which they are met."""
    cases: list[SceneCase] = []
    classes: dict[str, int] = {}
    problems: list[Problem] = []
    for segmentation in segmentations:
        name, volume = segmentation.GetName() or "", source_of(segmentation)
        message = _why_not(segmentation, volume, cases)
        if message or volume is None:
            problems.append(Problem(name, message))
            continue
        cases.append(SceneCase(_file_name(volume.GetName() or name, cases), segmentation, volume))
        for segment in _segments(segmentation):
            classes.setdefault(key_of(segment.GetName()), len(classes) + 1)
    return SceneCases(tuple(cases), classes, tuple(problems))


def write_case(case: SceneCase, classes: dict[str, int], folder: Path) -> list[Problem]:
    """Write image and labels of a case, both on the volume's voxels and where they are in the world.

    The label map is a segmentation file, so that names, colors and codes of the segments go along. The image is not
    compressed: that takes seconds for a large one, in which Slicer would stand still.

    Returns:
        What the user should know of it; none of that is fatal.

    Raises:
        ContentError, GeometryError, WriteError: as their messages say.
    """
    image = mrml.image_from_node(case.volume, colors=True)
    labels, table = mrml.labels_from_segmentation(case.segmentation, like=image)
    numbers = [classes[key_of(label.name)] for label in table]
    values = np.array([0, *numbers], np.uint8 if len(classes) < 256 else np.uint16)
    named: dict[int, Label] = {}
    for number, label in zip(numbers, table, strict=True):
        named.setdefault(number, replace(label, value=number))
    place = _place(folder, IMAGES)
    if image.array.ndim == 3:
        write_image(place / f"{case.name}.nii", image, overwrite=True)
    else:
        for number, color in enumerate(image.array):
            write_image(place / f"{case.name}_{number:04d}.nii", image.with_array(color), overwrite=True)
        names = {str(number): name for number, name in enumerate(COLORS)}
        write_text(folder / DESCRIPTION, json.dumps({"channel_names": names}) + "\n", overwrite=True)
    renumbered = labels.with_array(values[labels.array], kind=Kind.LABEL)
    write_labels(_place(folder, LABELS) / f"{case.name}.seg.nrrd", renumbered, list(named.values()), overwrite=True)
    return _overlaps(case, labels)


def clear(folder: Path) -> None:
    """Remove the cases that an earlier look at the scene has written.

    Raises:
        WriteError: they cannot be removed.
    """
    try:
        for name in (IMAGES, LABELS):
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
        (folder / DESCRIPTION).unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"{folder}: earlier cases cannot be removed ({error.strerror or error}).") from error


def failed(case: SceneCase, error: MedAIError) -> Problem:
    """A case that could not be written."""
    name = case.segmentation.GetName() or case.name
    return Problem(name, f"{name}: {str(error).partition(chr(10))[0]}")


def _overlaps(case: SceneCase, labels: Image) -> list[Problem]:
    """A label map holds one structure per voxel; where segments overlap, the others are lost there."""
    layers = mrml.layers_of(case.segmentation)
    if len(layers) < 2:
        return []
    alone = [mrml.labels_from_segmentation(case.segmentation, labels, list(segments))[0] for _, segments in layers]
    lost = sum(np.count_nonzero(one.array) for one in alone) - np.count_nonzero(labels.array)
    if not lost:
        return []
    name = case.segmentation.GetName() or case.name
    text = f"{name}: segments overlap in {lost} voxels, which are learned as the one that is later in the list."
    return [Problem(name, text, fatal=False)]


def _why_not(segmentation: Node, volume: Node | None, earlier: Sequence[SceneCase]) -> str:
    """Why a segmentation is no case; empty if it is one."""
    name = segmentation.GetName()
    if volume is None:
        return f"{name} has no source volume, so there is no image to learn from. Choose one in the Segment Editor."
    if not _segments(segmentation):
        return f"{name} has no segments. Draw one, or uncheck it."
    other = next((case for case in earlier if mrml.is_colored(case.volume) is not mrml.is_colored(volume)), None)
    if other is not None:
        return f"Of {volume.GetName()} and {other.volume.GetName()} one is in colors, one gray. Uncheck one of them."
    twin = next((case for case in earlier if case.volume is volume), None)
    if twin is not None:
        first = twin.segmentation.GetName()
        return f"{name} and {first} are both segmentations of {volume.GetName()}. Uncheck one of them."
    return ""


def _segments(segmentation: Node) -> list[Node]:
    content = segmentation.GetSegmentation()
    return [content.GetNthSegment(number) for number in range(content.GetNumberOfSegments())]


def _file_name(name: str, earlier: Sequence[SceneCase]) -> str:
    """A name that every file system takes and no earlier case has."""
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "case"
    taken = {case.name.lower() for case in earlier}
    names = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(earlier) + 2))
    return next(one for one in names if one.lower() not in taken)


def _place(folder: Path, name: str) -> Path:
    place = folder / name
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{place} cannot be made: {error.strerror or error}.") from error
    return place
