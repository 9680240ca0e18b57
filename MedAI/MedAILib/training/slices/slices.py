"""Slices of the user's volumes, and how they are drawn and corrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import ReadError
from ...files import read_image
from ...superres.checks import axis_of, direction_name
from ...superres.request import SuperresRequest
from ...superres.restoration import framed
from ...superres.stack import levels
from ..artefacts import ArtefactSettings, corrupt
from ..between.volumes import cropped
from ..draw import Draw
from ..split import split_files
from .config import SliceSettings

_EMPTY = 0.05
"""A slice whose values differ by less than this, the volume's being 0 to 1, is not trained on."""


@dataclass(frozen=True, eq=False)
class Slices:
    """Those of one volume.

    Attributes:
        file: where they are from.
        values: (n, y, x), about 0 to 1.
        direction: of the slices, e.g. "inferior-superior".
        pixel: mm, geometric mean of both sides.
    """

    file: Path
    values: torch.Tensor
    direction: str
    pixel: float


def read_slices(settings: SliceSettings, folder: Path) -> tuple[list[Slices], list[Slices]]:
    """Those to train on, and those held out, volume by volume.

    Raises:
        ReadError: there is none, one is missing or damaged, or one has no content.
    """
    trained, held = split_files(folder, settings.pattern, settings.held_out, "volumes")
    return [_read(file, settings) for file in trained], [_read(file, settings) for file in held]


def _read(file: Path, settings: SliceSettings) -> Slices:
    image = read_image(file)
    if image.array.ndim != 3:
        raise ReadError(f"{file}: is no single volume.")
    axis = axis_of(image, SuperresRequest(axis=settings.axis))
    array = np.nan_to_num(image.array.astype(np.float32), posinf=0.0, neginf=0.0)
    low, full = levels(array)
    values = (np.moveaxis(array, axis, 0) - low) / full
    left = round(0.5 * (1.0 - settings.middle) * len(values))
    values = values[left : len(values) - left]
    values = values[np.ptp(values, axis=(1, 2)) > _EMPTY] if len(values) else values
    if not len(values):
        raise ReadError(f"{file}: has no slice with content.")
    sides = [size for other, size in enumerate(image.spacing) if other != axis]
    return Slices(
        file,
        torch.from_numpy(np.ascontiguousarray(values)),
        direction_name(image, axis),
        float(np.sqrt(np.prod(sides))),
    )


def split_sites(volumes: Sequence[Slices], folder: Path, target: str) -> tuple[list[Slices], list[Slices]]:
    """The volumes of the source sites, and those of the target site.

    Raises:
        ReadError: there is none of one of both.
    """
    files = set(folder.glob(target))
    sources = [one for one in volumes if one.file not in files]
    targets = [one for one in volumes if one.file in files]
    if not sources or not targets:
        raise ReadError(
            f"{folder}: {len(targets)} volumes {target} are of the target site and {len(sources)} of others. Both are "
            "needed; check the data folder and the recipe's target."
        )
    return sources, targets


def draw_crops(seeds: Sequence[Sequence[int]], volumes: Sequence[Slices], side: int) -> torch.Tensor:
    """One picture (b, 1, side, side) per seed."""
    pictures = []
    for seed in seeds:
        random = Draw(seed)
        pictures.append(cropped(_slice(random, volumes)[None], random, side))
    return torch.stack(pictures)


def draw_whole(seeds: Sequence[Sequence[int]], volumes: Sequence[Slices], side: int) -> torch.Tensor:
    """One whole slice (b, 1, side, side) per seed, in the middle of zeros."""
    return torch.stack([framed(_slice(Draw(seed), volumes), side) for seed in seeds])[:, None]


def _slice(random: Draw, volumes: Sequence[Slices]) -> torch.Tensor:
    values = volumes[random.integer(0, len(volumes) - 1)].values
    return values[random.integer(0, len(values) - 1)]


def corrupted(
    seeds: Sequence[Sequence[int]], pictures: torch.Tensor, variants: int, settings: ArtefactSettings
) -> torch.Tensor:
    """Each picture (b, 1, y, x) corrupted in ``variants`` independent ways: (b, v, y, x).

    Bias, loss of resolution, noise and gamma, without values below 0, which the least of a volume becomes; pixels count
    as 1 mm. The field of view is not cut: what lies beyond it cannot be restored.
    """
    found = []
    for seed, picture in zip(seeds, pictures, strict=True):
        for number in range(variants):
            draw = Draw((*seed, number + 1))
            one = corrupt(draw, picture, settings, (1.0, 1.0, 1.0)).clamp_min(0.0)
            gamma = 2.0 ** draw.normal(settings.gamma)
            found.append(one**gamma if draw.chance(0.7) else one)
    return torch.stack(found).reshape(len(pictures), variants, *pictures.shape[2:])
