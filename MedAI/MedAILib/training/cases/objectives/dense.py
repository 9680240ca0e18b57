"""Dice and cross-entropy of a prediction for every voxel, also of coarser ones (deep supervision)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from ...losses import DiceCrossEntropy, SquaredDice
from ..batch import Batch


class Dense:
    """Dice plus cross-entropy (Isensee et al. 2021) of each of a network's outputs.

    Args:
        weights: of the outputs, in their order; an output that is coarser than the target is compared with the target
            at the nearest voxels. Outputs beyond the weights do not count.
        balance: of the cross-entropy at the start, see :class:`DiceCrossEntropy`; falls linearly to 0.
        squared: :class:`SquaredDice` alone instead (Milletari et al. 2016).
        dice, cross_entropy: factors of the two parts; the second is above 0.
    """

    def __init__(
        self,
        weights: Sequence[float] = (1.0,),
        balance: float = 0.0,
        squared: bool = False,
        dice: float = 1.0,
        cross_entropy: float = 1.0,
    ) -> None:
        if not weights or min(weights) < 0 or not sum(weights) > 0:
            raise ValueError("weights must be 0 or more, and one of them above 0")
        if dice < 0 or not cross_entropy > 0:
            raise ValueError("dice must be 0 or more, and cross_entropy above 0")
        self.weights, self.balance = tuple(weights), balance
        self.loss: nn.Module = SquaredDice() if squared else DiceCrossEntropy(dice / cross_entropy)
        self.scale = 1.0 if squared else cross_entropy

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See :class:`Objective`."""
        if isinstance(self.loss, DiceCrossEntropy):
            self.loss.balance = self.balance * (1.0 - batch.fraction)
        outputs = model(batch.image)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        losses = [
            weight * self.loss(logits, at_size(batch.target, logits.shape[2:]))
            for weight, logits in zip(self.weights, outputs, strict=False)
            if weight
        ]
        return self.scale * torch.stack(losses).sum() / sum(self.weights)


def at_size(target: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Classes (n, k, j, i) at the voxels of a coarser grid of ``size`` over the same field of view."""
    if tuple(target.shape[1:]) == tuple(size):
        return target
    return functional.interpolate(target[:, None].float(), tuple(size), mode="nearest-exact")[:, 0].to(target.dtype)
