"""Label maps in memory: reoriented to RAS, cropped to the head, one byte per voxel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import ReadError
from ..files import read_image
from ..files.formats import stem_of
from ..geometry import Spacing
from ..image import Kind
from ..spatial import reorient
from .classes import ClassTable


@dataclass(frozen=True)
class LabelMap:
    """One subject.

    Attributes:
        name: its file's name without ending.
        indices: uint8 (k, j, i), RAS, indices into :attr:`ClassTable.codes`; the outermost voxels are background.
        spacing: mm, (k, j, i).
        center: voxel coordinates (k, j, i) of the middle of the brain's bounding box.
    """

    name: str
    indices: torch.Tensor
    spacing: Spacing
    center: tuple[float, float, float]

    def to(self, device: torch.device | str) -> LabelMap:
        """The same with its voxels on another device."""
        return LabelMap(self.name, self.indices.to(device), self.spacing, self.center)


def label_map(name: str, labels: np.ndarray, spacing: Spacing, table: ClassTable) -> LabelMap:
    """Crop a RAS array of label codes to the head and encode it.

    Raises:
        UsageError: a code is not in the table.
        ReadError: no voxel belongs to a class that is reported.
    """
    indices = table.encode(labels, name)
    head = np.nonzero(indices)
    inside = np.nonzero(~table.outside[indices] & (indices > 0))
    if not inside[0].size:
        raise ReadError(f"{name} holds none of the structures that the recipe trains.")
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in head)
    center = [
        (float(axis.min()) + float(axis.max())) / 2 - part.start + 1 for axis, part in zip(inside, box, strict=True)
    ]
    padded = np.pad(indices[box], 1)
    return LabelMap(name, torch.from_numpy(padded), spacing, (center[0], center[1], center[2]))


def read_maps(files: Iterable[Path], table: ClassTable) -> list[LabelMap]:
    """Read label maps from files.

    Raises:
        ReadError: a file is missing or damaged, or holds nothing to train on.
        UsageError: a file has a code that the recipe does not name.
    """
    return [_read(file, table) for file in files]


def _read(file: Path, table: ClassTable) -> LabelMap:
    image = reorient(read_image(file, Kind.LABEL), "RAS")
    return label_map(stem_of(file), image.array, image.spacing, table)
