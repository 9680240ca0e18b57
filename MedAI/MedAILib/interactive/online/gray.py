"""The gray values of a region, and how far they are from those that were marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ...geometry import Spacing
from .walker import Weights

_FEW = 4
"""Marked cells that say enough of the gray values."""
_LEAST = 1e-4
"""Weight of an edge across the sharpest border."""


@dataclass(frozen=True, eq=False)
class Gray:
    """Smoothed gray values.

    Attributes:
        values: (k, j, i) float32.
        spacing: mm.
        middle, spread: of the marked ones.
    """

    values: torch.Tensor
    spacing: Spacing
    middle: float
    spread: float

    @property
    def strangeness(self) -> torch.Tensor:
        """(k, j, i), how many spreads off the marked values each one is."""
        return (self.values - self.middle).abs() / self.spread

    def edges(self, sharp: float) -> Weights:
        """Of a random walk: the steeper the gray values, the less; those along long voxels are less, too.

        Args:
            sharp: factor of the squared difference in spreads.
        """
        finest = min(self.spacing)
        found = []
        for axis, size in enumerate(self.spacing):
            steep = torch.diff(self.values, dim=axis) / self.spread
            found.append((torch.exp(-sharp * steep.square()) + _LEAST) * (finest / size) ** 2)
        return Weights(*found)


def gray_of(values: torch.Tensor, marked: np.ndarray, spacing: Spacing, smooth: float, noisy: float) -> Gray:
    """Measure what was marked.

    Args:
        values: (k, j, i) float32.
        marked: (n, 3) cells.
        spacing: mm.
        smooth: standard deviation of the smoothing, in units of the finest spacing.
        noisy: spread that is taken at least, in units of the noise.
    """
    finest = min(spacing)
    soft = blurred(values, [smooth * finest / size for size in spacing])
    found = soft[torch.as_tensor(marked, device=values.device).unbind(1)]
    middle = float(found.median())
    robust = _deviation(found)
    if len(marked) < _FEW:
        # So few tell no spread, and their middle is uncertain: those around them are asked, unless they are others.
        near = soft[torch.as_tensor(_around(marked, values.shape), device=values.device).unbind(1)]
        robust = max(robust, _deviation(near))
        middle = float(near.median()) if abs(float(near.median()) - middle) <= 2.0 * robust else middle
    low, high = _ends(values)
    spread = max(robust, 0.7 * float(found.std(unbiased=False)), noisy * _noise(soft), 1e-3 * (high - low), 1e-6)
    return Gray(soft, spacing, middle, spread)


def blurred(values: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    """Gaussian smoothing of (k, j, i), standard deviations in voxels; beyond the border its values go on."""
    result = values[None, None]
    for axis, sigma in enumerate(sigmas):
        radius = int(np.ceil(3.0 * sigma))
        if sigma < 0.15 or values.shape[axis] == 1:
            continue
        taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=values.device) / sigma) ** 2)
        shape, padding = [1, 1, 1], [0] * 6
        shape[axis] = len(taps)
        padding[4 - 2 * axis] = padding[5 - 2 * axis] = radius
        padded = functional.pad(result, padding, mode="replicate")
        result = functional.conv3d(padded, (taps / taps.sum()).to(values.dtype).view(1, 1, *shape))
    return result[0, 0]


def _around(cells: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Cells (n, 3) and all that touch them."""
    around = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    found = (cells[:, None] + around).reshape(-1, 3)
    return np.unique(found[((found >= 0) & (found < shape)).all(axis=1)], axis=0)


def _deviation(values: torch.Tensor) -> float:
    """Standard deviation, as the median tells it."""
    return 1.4826 * float((values - values.median()).abs().median())


def _noise(values: torch.Tensor) -> float:
    """Standard deviation of the noise, from the differences between neighbors; few of them cross a border."""
    steps = torch.cat([torch.diff(values, dim=axis).flatten()[:: max(1, values.numel() // 20000)] for axis in range(3)])
    return float(steps.abs().median()) * 1.4826 / 2.0**0.5 if len(steps) else 0.0


def _ends(values: torch.Tensor) -> tuple[float, float]:
    """The gray values between which nearly all are."""
    few = values.flatten()[:: max(1, values.numel() // 20000)]
    low, high = torch.quantile(few, torch.tensor([0.005, 0.995], device=values.device)).tolist()
    return low, high
