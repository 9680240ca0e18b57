"""What a network is trained on in one step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...geometry import Shape


@dataclass(frozen=True)
class Batch:
    """Patches of training cases with their classes.

    Attributes:
        image: (n, channels, k, j, i) float32, prepared as the model's card says.
        target: (n, k, j, i) uint8, class of each voxel, 0 the background.
        cases: for each patch, the number of the training case that it was cut from.
        shapes: for each patch, the whole case's (k, j, i) on the network's grid.
        fraction: done share of the training budget, 0 to 1.
        seed: of this step; what an objective draws, it draws from a generator with this seed.
    """

    image: torch.Tensor
    target: torch.Tensor
    cases: tuple[int, ...]
    shapes: tuple[Shape, ...]
    fraction: float
    seed: tuple[int, ...]

    def generator(self) -> torch.Generator:
        """A generator on the batch's device that gives the same numbers for the same step."""
        number = 0
        for part in self.seed:
            number = (number * 1_000_003 + part) % (1 << 63)
        return torch.Generator(self.image.device).manual_seed(number)
