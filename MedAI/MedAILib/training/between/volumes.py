"""Pairs of thick slices and the thin one between them, from volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import ReadError
from ...files import read_image
from ...files.formats import stem_of
from ...superres.operators import slice_matrix
from ...superres.stack import Line
from ..draw import Draw
from .config import BetweenSettings


@dataclass(frozen=True)
class Between:
    """A batch.

    Attributes:
        pair: (b, 2, y, x) two neighboring thick slices, −1 to 1.
        offset: (b,) where the wanted one lies between them, 0 to 1.
        wanted: (b, 1, y, x).
    """

    pair: torch.Tensor
    offset: torch.Tensor
    wanted: torch.Tensor


def read_volumes(settings: BetweenSettings, folder: Path) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Volumes (k, j, i), −1 to 1: those to train on, and those held out.

    Raises:
        ReadError: there is none, one is missing or damaged, or one is too small for the recipe.
    """
    files = sorted(folder.glob(settings.pattern)) if folder.is_dir() else []
    held = [file for file in files if stem_of(file) in settings.held_out]
    if len(held) == len(files) or len(held) != len(settings.held_out):
        raise ReadError(
            f"{folder}: found {len(files)} files {settings.pattern}, {len(held)} of the {len(settings.held_out)} to "
            "hold out among them. Check the data folder."
        )
    return [_read(file, settings) for file in files if file not in held], [_read(file, settings) for file in held]


def _read(file: Path, settings: BetweenSettings) -> torch.Tensor:
    array = np.nan_to_num(read_image(file).array.astype(np.float32), posinf=0.0, neginf=0.0)
    if array.ndim != 3 or min(array.shape) <= max(settings.ratios):
        raise ReadError(f"{file}: shape {array.shape} is too small for ratios up to {max(settings.ratios)}.")
    low, high = float(array.min()), float(np.quantile(array, 0.999))
    return torch.from_numpy(2.0 * (array - low) / max(high - low, 1e-6) - 1.0)


def pair_weights(count: int, first: int, ratio: int, profile: str) -> torch.Tensor:
    """(2, count): how two thick slices, ``ratio`` apart, average fine ones; the first is centered at ``first``.

    "none" takes the fine slices themselves.
    """
    if profile == "none":
        result = torch.zeros(2, count)
        result[0, first], result[1, first + ratio] = 1.0, 1.0
        return result
    return torch.from_numpy(
        slice_matrix(2, float(ratio), Line(-float(first), 1.0, count), float(ratio), profile).astype(np.float32)
    )


def draw(seeds: Sequence[Sequence[int]], volumes: Sequence[torch.Tensor], settings: BetweenSettings) -> Between:
    """One sample per seed."""
    samples = [_sample(Draw(seed), volumes, settings) for seed in seeds]
    pairs, offsets, wanted = zip(*samples, strict=True)
    return Between(torch.stack(pairs), torch.tensor(offsets), torch.stack(wanted))


def _sample(
    random: Draw, volumes: Sequence[torch.Tensor], settings: BetweenSettings
) -> tuple[torch.Tensor, float, torch.Tensor]:
    volume = volumes[random.integer(0, len(volumes) - 1)]
    volume = volume.movedim(settings.axes[random.integer(0, len(settings.axes) - 1)], 0)
    ratio = settings.ratios[random.integer(0, len(settings.ratios) - 1)]
    first = random.integer(0, len(volume) - ratio - 1)
    between = random.integer(0, ratio)
    near = slice(max(0, first - 2 * ratio), first + 3 * ratio + 1)
    part = cropped(volume[near], random, settings.crop)
    weights = pair_weights(len(part), first - near.start, ratio, settings.profile)
    pair = torch.tensordot(weights, part, dims=1)
    wanted = part[first - near.start + between][None]
    if random.integer(0, 1):
        pair, wanted = pair.flip(-1), wanted.flip(-1)
    return pair, between / ratio, wanted


def cropped(part: torch.Tensor, random: Draw, side: int) -> torch.Tensor:
    """A square of pictures, repeated at the border where they are smaller."""
    for axis in (1, 2):
        size = part.shape[axis]
        if size >= side:
            part = part.narrow(axis, random.integer(0, size - side), side)
        else:
            index = torch.arange(side).clamp(max=size - 1)
            part = part.index_select(axis, index)
    return part
