"""Label maps and labelled scans in memory, and where their structures lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import ReadError
from ...files import read_image
from ...files.formats import stem_of
from ...geometry import Spacing
from ...image import Image, Kind
from ...spatial import reorient, resample
from .config import ClickData

_FEWEST = 30
"""Voxels of a structure that is worth being found."""
_KEPT = 512
"""Voxels of a structure that are remembered, to put one of them into the middle of a region."""
_MOST = 254
"""Structures of a subject: classes are bytes, 0 is what belongs to none."""


@dataclass(frozen=True)
class Structure:
    """One object of a subject.

    Attributes:
        number: its class.
        middle: voxel coordinates (k, j, i) of the middle of its bounding box.
        extent: longest side of that box, mm.
        volume: number of its voxels.
        voxels: (n, 3) some of them.
    """

    number: int
    middle: tuple[float, float, float]
    extent: float
    volume: int
    voxels: np.ndarray


@dataclass(frozen=True)
class Subject:
    """One scan or one label map.

    Attributes:
        name: its file's name without ending.
        labels: (k, j, i) uint8 class numbers, 0 where nothing is known; RAS.
        image: float32 of the same shape; None for a label map, which is painted.
        spacing: mm, (k, j, i).
        structures: its objects.
    """

    name: str
    labels: torch.Tensor
    image: torch.Tensor | None
    spacing: Spacing
    structures: tuple[Structure, ...]


def read_subjects(data: ClickData, folder: Path) -> tuple[list[Subject], list[Subject]]:
    """The subjects to train on and those held out.

    Raises:
        ReadError: a file is missing or damaged, a pattern fits no file, or an image and its labels have nothing in
            common.
    """
    maps: list[Path] = []
    for pattern in data.maps:
        found = sorted(folder.glob(pattern)) if folder.is_dir() else []
        if not found:
            raise ReadError(f"{folder}: holds no {pattern}. Check the data folder.")
        maps += found
    held = {folder / name for name in data.held_out}
    missing = held - {*maps, *(folder / image for image, _ in data.scans)}
    if missing:
        raise ReadError(f"{folder}: {min(missing)} is to be held out, but is none of the recipe's files.")
    trained: list[Subject] = []
    kept: list[Subject] = []
    for file in maps:
        (kept if file in held else trained).append(
            map_subject(read_image(file, Kind.LABEL), stem_of(file), data.ignored)
        )
    for image, labels in data.scans:
        pair = read_image(folder / image), read_image(folder / labels, Kind.LABEL)
        subject = scan_subject(*pair, stem_of(folder / labels), data.ignored)
        (kept if folder / image in held else trained).append(subject)
    return trained, kept


def map_subject(labels: Image, name: str, ignored: Sequence[int] = ()) -> Subject:
    """A label map to be painted; structures with an ignored code are no objects."""
    turned = reorient(labels, "RAS")
    return _subject(name, turned.array, None, turned.spacing, ignored)


def scan_subject(image: Image, labels: Image, name: str, ignored: Sequence[int] = ()) -> Subject:
    """A scan with labels, which may lie on another grid.

    Raises:
        ReadError: one of the two is no single volume.
    """
    if image.array.ndim != 3 or labels.array.ndim != 3:
        raise ReadError(f"{name}: image and labels must be single volumes.")
    turned = reorient(image, "RAS")
    array = np.nan_to_num(turned.array.astype(np.float32), posinf=0.0, neginf=0.0)
    moved = resample(labels, turned.shape, turned.affine).array
    return _subject(name, moved, array, turned.spacing, ignored)


def _subject(
    name: str, labels: np.ndarray, image: np.ndarray | None, spacing: Spacing, ignored: Sequence[int]
) -> Subject:
    codes, counts = np.unique(labels, return_counts=True)
    codes = codes[(codes != 0) & (counts >= _FEWEST)][:_MOST]
    if not len(codes):
        raise ReadError(f"{name} holds no structure of {_FEWEST} voxels or more.")
    table = np.zeros(int(labels.max()) - min(0, int(labels.min())) + 1, np.uint8)
    table[codes] = np.arange(1, len(codes) + 1)  # negative labels index from the end, where the table says 0
    numbers = table[labels]
    wanted = [number for number, code in enumerate(codes.tolist(), 1) if code not in set(ignored)]
    structures = [_structure(numbers, number, spacing) for number in wanted]
    kept = None if image is None else torch.from_numpy(np.ascontiguousarray(image))
    return Subject(name, torch.from_numpy(numbers), kept, spacing, tuple(structures))


def _structure(numbers: np.ndarray, number: int, spacing: Spacing) -> Structure:
    flat = np.flatnonzero(numbers == number)
    voxels = np.stack(np.unravel_index(flat, numbers.shape), axis=1)
    low, high = voxels.min(0), voxels.max(0)
    middle = (low + high) / 2
    extent = float(((high - low + 1) * np.array(spacing)).max())
    thin = voxels[:: max(1, len(voxels) // _KEPT)]
    return Structure(number, (float(middle[0]), float(middle[1]), float(middle[2])), extent, len(voxels), thin)


def split_kinds(subjects: Sequence[Subject]) -> tuple[list[Subject], list[Subject]]:
    """Scans, and maps without an image."""
    return [s for s in subjects if s.image is not None], [s for s in subjects if s.image is None]
