"""The small copies of a volume that linear registration works on: averaged, normalized, with the subject marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ..errors import ContentError
from ..geometry import Shape, centre_shift, spacing_of
from ..image import Image
from .foreground import foreground

_BASE_VOXELS = 8e6
"""About the finest grid that is ever looked at; what is larger is averaged while it is read."""
_DETECT_VOXELS = 6e4
_SAMPLES = 6
_PIECE = 4_000_000
"""Voxels that are turned into float32 at a time."""


@dataclass(frozen=True)
class Grid:
    """A volume to register.

    Attributes:
        values: (k, j, i) float32, about 0 to 1.
        subject: (k, j, i) bool, where it shows something: the user's mask, or the foreground.
        mask: (k, j, i) bool, the only places to look at, or None for all.
        affine: float64 (4, 4), IJK to RAS mm.
        name: for messages.
    """

    values: torch.Tensor
    subject: torch.Tensor
    mask: torch.Tensor | None
    affine: np.ndarray
    name: str

    @property
    def shape(self) -> Shape:
        k, j, i = self.values.shape
        return int(k), int(j), int(i)

    def thinned(self, factors: Sequence[int]) -> Grid:
        """Averaged over boxes of ``factors`` (k, j, i) voxels; a mask stays where at least half of a box has it."""
        if max(factors) == 1:
            return self

        def half(mask: torch.Tensor) -> torch.Tensor:
            return averaged(mask.float(), factors) >= 0.5

        mask = None if self.mask is None else half(self.mask)
        values = averaged(self.values, factors)
        return Grid(values, half(self.subject), mask, thinned_affine(self.affine, factors), self.name)


def averaged(values: torch.Tensor, factors: Sequence[int]) -> torch.Tensor:
    """Means over boxes of ``factors`` voxels; incomplete boxes at the end over what they have."""
    window = [min(int(factor), length) for factor, length in zip(factors, values.shape, strict=True)]
    return functional.avg_pool3d(values[None, None], window, window, ceil_mode=True, count_include_pad=False)[0, 0]


def thinned_affine(affine: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """The affine of a grid of boxes of ``factors`` (k, j, i) voxels."""
    moved = centre_shift(affine, ((factors[0] - 1) / 2, (factors[1] - 1) / 2, (factors[2] - 1) / 2))
    moved[:3, :3] *= np.array(factors[::-1], float)
    return moved


def factors_for(spacing: Sequence[float], lengths: Sequence[float], wanted: float) -> list[int]:
    """How many voxels to average along each axis so that one is about ``wanted`` mm.

    Args:
        spacing: mm, (k, j, i).
        lengths: voxels of the subject along each axis; a thin one keeps at least six samples.
        wanted: mm.
    """
    return [
        max(1, min(round(wanted / size), int(length / _SAMPLES))) for size, length in zip(spacing, lengths, strict=True)
    ]


def factors_to(spacing: Sequence[float], lengths: Sequence[float], voxels: float) -> list[int]:
    """As :func:`factors_for`, for voxels of such a size that a box of ``lengths`` has about ``voxels`` of them.

    Nearly cubic voxels matter more than their number: blocks of long ones see structure along one axis only.
    """
    wanted, found, error = min(spacing), [1, 1, 1], math.inf
    while True:
        factors = factors_for(spacing, lengths, wanted)
        count = math.prod(length / factor for length, factor in zip(lengths, factors, strict=True))
        if abs(math.log(count / voxels)) < error:
            found, error = factors, abs(math.log(count / voxels))
        if count < voxels or wanted > max(size * length for size, length in zip(spacing, lengths, strict=True)):
            return found
        wanted *= 1.05


def prepare(image: Image, mask: Image | None, device: torch.device) -> Grid:
    """The volume at up to about 8 million voxels, its intensities brought to 0..1.

    Args:
        image: (k, j, i), finite, not constant.
        mask: on the same grid; voxels that are not 0 are the ones to look at. None: the foreground is found.

    Raises:
        ContentError: the mask has another grid or marks nothing.
    """
    factors = factors_to(image.spacing, image.shape, _BASE_VOXELS)
    values = _read(image.array, factors, device)
    affine = thinned_affine(image.affine, factors)
    given = None
    if mask is not None:
        if mask.shape != image.shape:
            raise ContentError(f"The mask {mask.name} has another grid than {image.name}.")
        given = _read(mask.array != 0, factors, device) >= 0.5
        if not bool(given.any()):
            raise ContentError(f"The mask {mask.name} marks nothing. Choose another one, or none.")
    coarse = factors_to(spacing_of(affine), values.shape, _DETECT_VOXELS)
    if given is None:
        found = torch.from_numpy(foreground(averaged(values, coarse).cpu().numpy())).to(device)
    else:
        found = averaged(given.float(), coarse) > 0.0
    around = _spread(widened(found, 1), coarse, values.shape)
    subject = _spread(found, coarse, values.shape) if given is None else given
    return Grid(_normalized(values, around), subject, given, affine, image.name)


def _read(array: np.ndarray, factors: list[int], device: torch.device) -> torch.Tensor:
    """The array as float32 on the device, averaged slab by slab."""
    step = max(1, _PIECE // max(1, array.shape[1] * array.shape[2]) // factors[0]) * factors[0]
    parts = []
    for start in range(0, array.shape[0], step):
        part = torch.from_numpy(np.ascontiguousarray(array[start : start + step], dtype=np.float32))
        parts.append(averaged(part, factors) if max(factors) > 1 else part)
    return torch.cat(parts).to(device)


def _spread(mask: torch.Tensor, factors: list[int], shape: torch.Size) -> torch.Tensor:
    """A mask of the thinned grid on the grid itself."""
    for axis, factor in enumerate(factors):
        mask = mask.repeat_interleave(factor, axis).narrow(axis, 0, shape[axis])
    return mask


def _normalized(values: torch.Tensor, around: torch.Tensor) -> torch.Tensor:
    """0..1 between the 0.5 and 99.5 percentiles of the subject and its rim, which shows what the background is like."""
    step = max(1, values.numel() // 300_000)
    chosen = values.flatten()[::step][around.flatten()[::step]]
    limits = torch.quantile(chosen, torch.tensor([0.005, 0.995], device=values.device))
    low, high = float(limits[0]), float(limits[1])
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return ((values - low) / max(high - low, 1e-12)).clamp_(0.0, 1.0)


def widened(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """The bool mask grown by ``voxels`` along each axis."""
    grown = mask[None, None].float()
    for axis in range(3):
        window = [1, 1, 1]
        window[axis] = 2 * voxels + 1
        grown = functional.max_pool3d(grown, window, 1, [side // 2 for side in window])
    return grown[0, 0] > 0.5


def box_of(mask: torch.Tensor) -> tuple[slice, slice, slice]:
    """The slices (k, j, i) around the True voxels, of which there must be one."""
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        seen = torch.nonzero(mask.any(dim=others[1]).any(dim=others[0]))
        sides.append(slice(int(seen[0]), int(seen[-1]) + 1))
    return sides[0], sides[1], sides[2]
