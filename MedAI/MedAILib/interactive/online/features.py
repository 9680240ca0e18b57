"""What tells tissues from each other at each voxel: gray value, its neighborhood at several sizes, edges, texture."""

from __future__ import annotations

import torch
from torch.nn import functional

from ...geometry import Spacing
from .gray import blurred

_SIZES = (1.5, 3.0, 6.0)
"""Of the neighborhoods: standard deviations in units of the finest spacing."""
_WAVELET = "db2"
_LEVELS = 2


def features_of(values: torch.Tensor, spacing: Spacing) -> torch.Tensor:
    """(c, k, j, i): each of mean 0 and standard deviation 1.

    Gray values; Gaussian means, the steepness of each, and the deviation from the first; how much each level of an
    undecimated wavelet transform, along all axes, holds nearby (the details that paper 21, FET, calls the high bands).

    Args:
        values: (k, j, i) float32 of about unit scale.
        spacing: mm.
    """
    finest = min(spacing)
    found = [values]
    for size in _SIZES:
        soft = blurred(values, [size * finest / each for each in spacing])
        found += [soft, _steepness(soft, spacing)]
        if size == _SIZES[0]:
            found.append(blurred((values - soft).square(), [size * finest / each for each in spacing]).sqrt())
    found += _details(values, spacing)
    stacked = torch.stack(found)
    spread, mean = torch.std_mean(stacked, dim=(1, 2, 3), keepdim=True)
    return ((stacked - mean) / spread.clamp_min(1e-6)).clamp_(-5.0, 5.0)


def _steepness(values: torch.Tensor, spacing: Spacing) -> torch.Tensor:
    """Length of the gradient, per finest spacing."""
    finest, total = min(spacing), torch.zeros_like(values)
    for axis, size in enumerate(spacing):
        if values.shape[axis] > 1:
            total += (torch.gradient(values, dim=axis)[0] * (finest / size)).square()
    return total.sqrt()


def _details(values: torch.Tensor, spacing: Spacing) -> list[torch.Tensor]:
    """For each level, the root of the details' mean square nearby."""
    import pywt

    low, high = (torch.tensor(taps, dtype=values.dtype, device=values.device) for taps in _filters(pywt))
    found, approximation = [], values
    for level in range(_LEVELS):
        energy, smooth = torch.zeros_like(values), approximation
        for axis in range(3):
            if values.shape[axis] == 1:
                continue
            energy += _filtered(approximation, high, axis, 2**level).square()
            smooth = _filtered(smooth, low, axis, 2**level)
        approximation = smooth
        found.append(blurred(energy, [2.0**level * min(spacing) / each for each in spacing]).sqrt())
    return found


def _filters(pywt: object) -> tuple[list[float], list[float]]:
    wavelet = pywt.Wavelet(_WAVELET)  # type: ignore[attr-defined]
    return [tap / 2**0.5 for tap in wavelet.dec_lo], [tap / 2**0.5 for tap in wavelet.dec_hi]


def _filtered(values: torch.Tensor, taps: torch.Tensor, axis: int, step: int) -> torch.Tensor:
    """Convolution along one axis with holes between the taps, the border repeated."""
    reach = (len(taps) - 1) * step
    shape, padding, holes = [1, 1, 1], [0] * 6, [1, 1, 1]
    shape[axis], holes[axis] = len(taps), step
    padding[4 - 2 * axis], padding[5 - 2 * axis] = reach // 2, reach - reach // 2
    padded = functional.pad(values[None, None], padding, mode="replicate")
    return functional.conv3d(padded, taps.flip(0).view(1, 1, *shape), dilation=holes)[0, 0]
