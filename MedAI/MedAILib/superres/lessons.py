"""What one scan has to learn from: pairs of most of its pictures, and of those kept to check what was learned."""

from __future__ import annotations

import numpy as np
import torch

from .acquisition import Acquisition
from .off_axis import OffAxis, Pairs, Simulation, held_out


class Lessons:
    """Draws training pairs and, from other pictures, pairs for the check.

    Args:
        pictures: (n, y, x) slices, about -1 to 1.
        spacing: (y, x) pixel size in mm.
        acquisition: of the scan.
        subslices: thin parts per slice distance, as the network has them.
        seed: of the draws.

    Attributes:
        windows: what is cut from the pictures; empty where they are too small for such slices.
    """

    def __init__(
        self,
        pictures: torch.Tensor,
        spacing: tuple[float, float],
        acquisition: Acquisition,
        subslices: int,
        seed: int,
    ) -> None:
        self._pictures, self._spacing = pictures, spacing
        self._kept = list(held_out(len(pictures)))
        trained = [number for number in range(len(pictures)) if number not in self._kept]
        self._source = OffAxis(pictures[trained], spacing)
        self.windows = self._source.windows(acquisition)
        self._simulation = Simulation(acquisition, subslices=subslices)
        self._random = np.random.default_rng(seed)
        self._batch = 8 if pictures.device.type == "cpu" else 32

    def draw(self, number: int) -> Pairs:
        """Pairs to learn from; one window after the other."""
        return self._draw(self._source, number)

    def checks(self, count: int) -> list[Pairs]:
        """``count`` batches in each direction, of pictures that were not learned from if there are any."""
        unseen = OffAxis(self._pictures[self._kept], self._spacing) if self._kept else self._source
        return [self._draw(unseen, number) for number in range(count * len(self.windows))]

    def _draw(self, source: OffAxis, number: int) -> Pairs:
        window = self.windows[number % len(self.windows)]
        return source.draw(self._random, window, self._simulation, self._batch)
