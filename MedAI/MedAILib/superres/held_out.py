"""What a network is worth, told by pictures that it was not trained on; and how large its errors are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..networks.thick_slice import ThickSliceNetwork
from ..training.precision import autocast
from .off_axis import Pairs

_BINS = 24
INTERVAL = 0.9
"""Share of the true values that the intervals are to hold."""


@dataclass(frozen=True)
class Calibration:
    """From what a network expects to what its errors are.

    Attributes:
        expected: rising logarithms of the expected error.
        half: half width of the :data:`INTERVAL` interval there.
        square: mean square error there.
    """

    expected: np.ndarray
    half: np.ndarray
    square: np.ndarray

    def half_width(self, spread: np.ndarray) -> np.ndarray:
        """Half widths, float32, for logarithms of the expected error."""
        return np.exp(np.interp(spread, self.expected, np.log(self.half))).astype(np.float32)

    def mean_square(self, spread: np.ndarray) -> np.ndarray:
        """Mean square errors for logarithms of the expected error."""
        return np.exp(np.interp(spread, self.expected, np.log(self.square)))


@dataclass(frozen=True)
class Verdict:
    """What the held-out pictures say.

    Attributes:
        gain: by which the network beats what it starts from, interpolation corrected towards the slices, in dB.
        calibration: of the network's expected error; None if that was not asked for.
    """

    gain: float
    calibration: Calibration | None


@torch.no_grad()
def judge(network: ThickSliceNetwork, batches: Sequence[Pairs], precision: str, uncertain: bool) -> Verdict:
    """Measure a network on pairs that it was not trained on.

    Args:
        network: in evaluation mode.
        batches: the pairs.
        precision: number format of the network.
        uncertain: also calibrate what it says about its errors.
    """
    ours, before, spreads = [], [], []
    for pairs in batches:
        with autocast(pairs.slices.device, precision):
            parts, spread = network(pairs.slices, pairs.conditions, uncertain)
        start = pairs.operators.skip @ pairs.slices - pairs.sharp
        before.append(start.flatten().double())
        ours.append((start + pairs.operators.spread @ parts).flatten().double())
        if uncertain:
            spreads.append((pairs.operators.plain @ spread).flatten())
    errors = torch.cat(ours)
    ratio = float(torch.cat(before).square().mean() / errors.square().mean().clamp_min(1e-20))
    calibration = calibrate(torch.cat(spreads).cpu().numpy(), errors.cpu().numpy()) if uncertain else None
    return Verdict(10.0 * math.log10(max(ratio, 1e-20)), calibration)


def calibrate(spread: np.ndarray, errors: np.ndarray) -> Calibration:
    """Errors by how large they were expected to be: quantile and mean square in bins of equal count.

    Args:
        spread: logarithms of the expected errors.
        errors: of the same pixels.
    """
    order = np.argsort(spread)
    sizes = np.abs(errors[order])
    bins = np.array_split(np.arange(len(order)), min(_BINS, max(1, len(order) // 50)))
    floor = 1e-3 * max(float(sizes.max()), 1e-9)
    expected = np.array([spread[order[part]].mean() for part in bins])
    half = np.maximum([np.quantile(sizes[part], INTERVAL) for part in bins], floor)
    square = np.maximum([np.mean(sizes[part] ** 2) for part in bins], floor**2)
    return Calibration(expected, np.maximum.accumulate(half), np.maximum.accumulate(square))
