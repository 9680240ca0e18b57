"""Smoothing: all neighbors in a volume pull on each other."""

from __future__ import annotations

import itertools

import torch

DIRECTIONS = tuple(step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0))
"""Steps (k, j, i) to one of each two opposite ones of the 26 neighbors."""
Ends = tuple[tuple[slice, ...], tuple[slice, ...]]


def _ends(step: tuple[int, ...]) -> Ends:
    """Indices of all voxels that have a neighbor in that direction, and of those neighbors."""
    first = tuple(slice(1, None) if d < 0 else slice(None, -1) if d > 0 else slice(None) for d in step)
    second = tuple(slice(None, -1) if d < 0 else slice(1, None) if d > 0 else slice(None) for d in step)
    return first, second


class Neighbors:
    """The quadratic penalty ½ Σ w·(x_a − x_b)² over all pairs of the 26-neighborhood, on (k, j, i) volumes.

    The weight w is one over the squared distance in voxels.

    Attributes:
        strength: factor of the whole penalty.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._shares = [1.0 / sum(d * d for d in step) for step in DIRECTIONS]

    def gradient(self, volume: torch.Tensor) -> torch.Tensor:
        """The penalty's gradient, (k, j, i)."""
        result = torch.zeros_like(volume)
        for step, share in zip(DIRECTIONS, self._shares, strict=True):
            first, second = _ends(step)
            pull = (volume[second] - volume[first]).mul_(self.strength * share)
            result[second] += pull
            result[first] -= pull
        return result
