"""Smoothing that stops at edges: neighbors pull on each other, less the less their surroundings are alike."""

from __future__ import annotations

import itertools

import torch
from torch.nn import functional

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

    With :meth:`renew` it becomes the majorizer of the Lorentzian penalty ½h² Σ log(1 + d²/h²) (Black and Rangarajan
    1996, iteratively reweighted), of which d is the root mean square difference of the 3³ patches around a and b: a
    single noisy voxel does not look like an edge.

    Attributes:
        strength: factor of the whole penalty.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._shares = [1.0 / sum(d * d for d in step) for step in DIRECTIONS]
        self._weights: list[torch.Tensor] | None = None

    def renew(self, volume: torch.Tensor, scale: float) -> None:
        """Take the weights from a volume; ``scale`` is h, in its units, above 0."""
        self._weights = []
        for step in DIRECTIONS:
            first, second = _ends(step)
            square = (volume[second] - volume[first]).square_()
            square = functional.avg_pool3d(square[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
            # Half precision halves the memory, and a weight needs no digits.
            self._weights.append(square.div_(scale * scale).add_(1.0).reciprocal_().half())

    def gradient(self, volume: torch.Tensor) -> torch.Tensor:
        """The penalty's gradient, (k, j, i): linear in the volume until the next :meth:`renew`."""
        result = torch.zeros_like(volume)
        for number, step in enumerate(DIRECTIONS):
            first, second = _ends(step)
            pull = (volume[second] - volume[first]).mul_(self.strength * self._shares[number])
            if self._weights is not None:
                pull.mul_(self._weights[number])
            result[second] += pull
            result[first] -= pull
        return result
