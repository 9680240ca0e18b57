"""What a registration network is trained on: two images, and maybe their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from ...geometry import Shape


@dataclass(frozen=True)
class TrainingPair:
    """One pair.

    Attributes:
        fixed, moving: (k, j, i) float32, 0 to 1.
        fixed_labels, moving_labels: (k, j, i) class numbers, 0 the background, or None.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    fixed_labels: torch.Tensor | None = None
    moving_labels: torch.Tensor | None = None


class PairSource(Protocol):
    """Makes pairs."""

    def sample(self, seed: Sequence[int], shape: Shape) -> TrainingPair:
        """The pair that follows from a seed."""
        ...
