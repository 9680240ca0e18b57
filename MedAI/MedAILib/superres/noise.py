"""How strong the noise of a stack is, from its slices alone."""

from __future__ import annotations

import numpy as np

from .stack import Stack

_BLOCK = 8
"""Side in pixels of the blocks in which the noise is measured."""

_SLICES = 24
"""As many slices are looked at, spread over the stack."""

_QUANTILE = 0.2
"""Of the blocks' noise: low, because anatomy only ever adds to it, and far from the lowest, which is chance."""

_BIAS = 0.905
"""What that quantile is of the true value where there is noise and nothing else."""

_BODY = 0.12
"""A block brighter than this share of the range counts as tissue; in air the noise of an MR magnitude is smaller."""


def estimate_noise(stack: Stack) -> float:
    """Standard deviation of the noise in the stack's own units; 0 for constant slices.

    The diagonal detail of 2 x 2 pixels holds hardly any anatomy. Its spread is taken in blocks, those of them that lie
    in tissue and hold no filled-in constant background, and a low quantile over the blocks is what the noise is. It
    assumes noise that differs from pixel to pixel: after an interpolation within the slices it comes out too low.
    """
    array = stack.array
    picked = np.unique(np.linspace(0, len(array) - 1, min(len(array), _SLICES)).round().astype(int))
    slices = array[picked].astype(np.float32, copy=False)
    detail = 0.5 * (slices[:, 1:, 1:] - slices[:, 1:, :-1] - slices[:, :-1, 1:] + slices[:, :-1, :-1])
    if detail.size == 0:
        return 0.0
    spread = np.sqrt(_blocks(np.square(detail)))
    flat = _blocks((detail == 0.0).astype(np.float32))
    height = _blocks(slices[:, 1:, 1:])
    low, high = np.percentile(slices[:, ::2, ::2], (1.0, 98.0))
    usable = flat < 0.3
    tissue = usable & (height > low + _BODY * (high - low))
    for chosen in (tissue, usable):
        if chosen.sum() >= _SLICES:
            return float(np.quantile(spread[chosen], _QUANTILE)) / _BIAS
    return 0.0


def _blocks(values: np.ndarray) -> np.ndarray:
    """Means over blocks of pixels, flattened; what does not fill a block is left out unless nothing does."""
    n, y, x = values.shape
    size = min(_BLOCK, y, x)
    values = values[:, : y // size * size, : x // size * size]
    return values.reshape(n, y // size, size, x // size, size).mean(axis=(2, 4)).ravel()
