"""The loss of MORSE: the coarse map's and that of the points rendered (You et al. 2023, after the authors' code)."""

from __future__ import annotations

import torch
from torch import nn

from ....networks.morse import point_loss
from ...losses import DiceCrossEntropy
from ..batch import Batch


class Rendered:
    """0.5 (cross-entropy + Dice) on the map plus cross-entropy on the points.

    Args:
        map_weight, point_weight: of the two.
        balance: of the map's cross-entropy at the start, see :class:`DiceCrossEntropy`; falls linearly to 0.
    """

    def __init__(self, map_weight: float = 0.5, point_weight: float = 1.0, balance: float = 0.0) -> None:
        self.map_weight, self.point_weight, self.balance = map_weight, point_weight, balance
        self.loss = DiceCrossEntropy()

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See :class:`Objective`."""
        self.loss.balance = self.balance * (1.0 - batch.fraction)
        coarse, points, logits = model(batch.image, batch.generator())
        of_points = point_loss(logits.float(), batch.target, points)
        return self.map_weight * self.loss(coarse, batch.target) + self.point_weight * of_points
