"""Patches of training cases: where they lie, and what becomes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ...geometry import Shape, axis_codes
from ..draw import Draw
from .augment import change_intensities, flipped_axes, random_matrix
from .batch import Batch
from .prepared import PreparedCase
from .settings import AugmentationSettings

_FLAT = 3
"""A patch this many times as wide as it is deep is turned and scaled within slices only (nnU-Net's "dummy 2D")."""


class Patches:
    """Draws batches from cases; the same seeds give the same batch.

    Args:
        cases: to draw from, each as often as every other.
        shape: of a patch, (k, j, i).
        settings: share of patches on structures, and augmentation.
        device: where batches are wanted.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], shape: Shape, settings: AugmentationSettings, device: torch.device
    ) -> None:
        self.cases, self.shape, self.settings, self.device = list(cases), shape, settings, device
        self.flat = shape[0] * _FLAT < max(shape)

    def batch(self, seeds: Sequence[tuple[int, ...]], fraction: float) -> Batch:
        """One patch for each seed.

        Args:
            seeds: non-negative integers.
            fraction: done share of the training.
        """
        images, targets, numbers = [], [], []
        for seed in seeds:
            draw = Draw(seed)
            number = draw.integer(0, len(self.cases) - 1)
            image, target = self.patch(draw, self.cases[number])
            images.append(image)
            targets.append(target)
            numbers.append(number)
        stacked = torch.stack(images).to(self.device).contiguous(memory_format=torch.channels_last_3d)
        shapes = tuple(self.cases[number].shape for number in numbers)
        return Batch(stacked, torch.stack(targets).to(self.device), tuple(numbers), shapes, fraction, seeds[0])

    def patch(self, draw: Draw, case: PreparedCase) -> tuple[torch.Tensor, torch.Tensor]:
        """(c, k, j, i) float32 and (k, j, i) uint8 of a case; outside the case both are 0."""
        start = self._start(draw, case)
        matrix = random_matrix(draw, self.settings, case.spacing, self.flat)
        if matrix is None:
            image = torch.from_numpy(cut(case.image, start, self.shape))
            target = torch.from_numpy(cut(case.target, start, self.shape))
        else:
            image, target = _warped(case, start, self.shape, matrix)
        axes = flipped_axes(draw, self.settings, left_right_axis(case))
        if axes:
            image, target = image.flip([axis + 1 for axis in axes]), target.flip(axes)
        return change_intensities(draw, image, self.settings), target

    def _start(self, draw: Draw, case: PreparedCase) -> Shape:
        """First voxel of the patch; a case that is smaller lies in its middle."""
        low = [min(0, -((side - size) // 2)) for side, size in zip(self.shape, case.shape, strict=True)]
        high = [max(size - side, least) for side, size, least in zip(self.shape, case.shape, low, strict=True)]
        if case.spots and draw.chance(self.settings.foreground):
            spots = case.spots[sorted(case.spots)[draw.integer(0, len(case.spots) - 1)]]
            middle = spots[draw.integer(0, len(spots) - 1)]
            start = [int(m) - side // 2 for m, side in zip(middle, self.shape, strict=True)]
        else:
            start = [draw.integer(least, most) for least, most in zip(low, high, strict=True)]
        k, j, i = (min(max(s, least), most) for s, least, most in zip(start, low, high, strict=True))
        return k, j, i


def left_right_axis(case: PreparedCase) -> int:
    """The axis 0 to 2 of a case's arrays that runs between left and right."""
    codes = axis_codes(case.affine)
    return 2 - next(axis for axis, letter in enumerate(codes) if letter in "LR")


def cut(array: np.ndarray, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """The box of the last three axes at ``start``, which may be negative; what lies outside is 0, or NaN in a channel
    that the case lacks. Always a copy."""
    size = array.shape[-3:]
    inside = [slice(max(s, 0), max(0, min(s + n, full))) for s, n, full in zip(start, shape, size, strict=True)]
    result = np.zeros((*array.shape[:-3], *shape), array.dtype)
    target: tuple[Any, ...] = (
        Ellipsis,
        *(slice(part.start - s, part.stop - s) for part, s in zip(inside, start, strict=True)),
    )
    source: tuple[Any, ...] = (Ellipsis, *inside)
    if all(part.stop > part.start for part in inside):
        result[target] = array[source]
    if array.dtype.kind == "f":
        for channel, whole in zip(result.reshape(-1, *shape), array.reshape(-1, *size), strict=True):
            if np.isnan(whole[0, 0, 0]):
                channel[...] = np.nan
    return result


def _warped(case: PreparedCase, start: Shape, shape: Shape, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A turned and scaled patch, whose middle stays; only the box that it looks into is read."""
    half = [(side - 1) / 2 for side in shape]
    reach = (matrix.abs() @ torch.tensor(half)).tolist()
    middle = [s + h for s, h in zip(start, half, strict=True)]
    low = [math.floor(m - r) for m, r in zip(middle, reach, strict=True)]
    box = [max(2, math.ceil(m + r) - b + 1) for m, r, b in zip(middle, reach, low, strict=True)]
    image = torch.from_numpy(cut(case.image, low, box))
    target = torch.from_numpy(cut(case.target, low, box))
    axes = [torch.arange(side) - h for side, h in zip(shape, half, strict=True)]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    positions = torch.einsum("ab,bkji->akji", matrix, offsets)
    scale = torch.tensor([2.0 / max(1, side - 1) for side in box])
    origin = torch.tensor([m - b for m, b in zip(middle, low, strict=True)])
    grid = ((positions + origin[:, None, None, None]) * scale[:, None, None, None] - 1.0).flip(0).movedim(0, -1)[None]
    moved = functional.grid_sample(image[None], grid, align_corners=True)[0]
    classes = functional.grid_sample(target[None, None].float(), grid, mode="nearest", align_corners=True)[0, 0]
    for channel, whole in zip(moved, image, strict=True):
        if whole[0, 0, 0].isnan():
            channel.fill_(math.nan)
    return moved, classes.to(torch.uint8)
