"""Pairs of a user's own images, which lie affinely aligned in the world: all are brought to the grid of the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import UsageError
from ...files import read_image
from ...files.formats import stem_of
from ...geometry import Shape
from ...image import Kind
from ...pipeline.intensity import prepare
from ...spatial import reorient, resample, rescaled_grid
from ..draw import Draw
from .config import PairData
from .sample import TrainingPair

RANGE = {"method": "percentile", "low": 0.5, "high": 99.5}


@dataclass(frozen=True)
class Scan:
    """One image in memory.

    Attributes:
        name: its file's name without ending.
        image: float32 (k, j, i), RAS, 0 to 1.
        labels: class numbers, same shape, or None.
    """

    name: str
    image: torch.Tensor
    labels: torch.Tensor | None


def read_scans(files: Sequence[Path], data: PairData, folder: Path) -> tuple[list[Scan], int]:
    """Read images and, if the recipe names a folder for them, their label maps.

    Returns:
        The scans, and the number of classes, background included (1 without labels).

    Raises:
        ReadError: a file is missing or damaged.
    """
    first = reorient(read_image(files[0]), "RAS")
    grid = rescaled_grid(first.shape, first.affine, data.spacing)
    images = [resample(read_image(file), *grid) for file in files]
    arrays = [prepare(image.array, RANGE) for image in images]
    if not data.labels:
        return [_scan(file, array, None) for file, array in zip(files, arrays, strict=True)], 1
    maps = [resample(read_image(folder / data.labels / file.name, Kind.LABEL), *grid).array for file in files]
    codes = np.unique(np.concatenate([np.unique(labels) for labels in maps] + [np.zeros(1, np.int64)]))
    return [
        _scan(file, array, np.searchsorted(codes, labels))
        for file, array, labels in zip(files, arrays, maps, strict=True)
    ], len(codes)


def _scan(file: Path, image: np.ndarray, labels: np.ndarray | None) -> Scan:
    whole = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels.astype(np.int64)))
    return Scan(stem_of(file), torch.from_numpy(np.ascontiguousarray(image)), whole)


def fit(array: torch.Tensor, shape: Shape) -> torch.Tensor:
    """The middle of a (k, j, i) array, cropped or padded with 0 to ``shape``."""
    result = array.new_zeros(tuple(shape))
    source, target = [], []
    for have, want in zip(array.shape, shape, strict=True):
        kept = min(have, want)
        source.append(slice((have - kept) // 2, (have - kept) // 2 + kept))
        target.append(slice((want - kept) // 2, (want - kept) // 2 + kept))
    result[tuple(target)] = array[tuple(source)]
    return result


class ImagePairs:
    """Draws two scans at a time.

    Args:
        scans: to draw from.
        pairs: (fixed, moving) names; empty: any two different scans, in either order.
        device: where pairs go.

    Raises:
        UsageError: fewer than two scans, or a name that none has.
    """

    def __init__(
        self, scans: Sequence[Scan], pairs: Sequence[tuple[str, str]] = (), device: torch.device | str = "cpu"
    ) -> None:
        if len(scans) < 2:
            raise UsageError("Training on images needs two of them at least.")
        self.device = torch.device(device)
        self.scans = {scan.name: scan for scan in scans}
        unknown = sorted({name for pair in pairs for name in pair} - set(self.scans))
        if unknown:
            raise UsageError(f"The recipe's pairs name images that the data folder lacks: {', '.join(unknown)}.")
        self.pairs = list(pairs) or [(a, b) for a in self.scans for b in self.scans if a != b]

    def sample(self, seed: Sequence[int], shape: Shape) -> TrainingPair:
        fixed, moving = (self.scans[name] for name in self.pairs[Draw(seed).integer(0, len(self.pairs) - 1)])
        parts = [None if part is None else fit(part, shape).to(self.device) for part in (fixed.labels, moving.labels)]
        return TrainingPair(
            fit(fixed.image, shape).to(self.device), fit(moving.image, shape).to(self.device), parts[0], parts[1]
        )
