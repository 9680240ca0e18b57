"""What MagNET learns by: segmentation, a discriminator that it fools, likeness of sequences (Konwer et al. 2023)."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import nn
from torch.nn import functional

from ....networks.magnet import correlation_loss, drawn_subset
from ...losses import DiceCrossEntropy
from ..batch import Batch


class Sequences:
    """Equation 4 plus the discriminator's own loss (equation 3) and the correlation (equation 5).

    Both sides of the adversarial game are learned in each step: the discriminator from features that pass no gradient
    on, the encoder through a discriminator that stands still. The paper does not tell how it alternates, nor the weight
    of the correlation.

    Args:
        segmentation, adversarial: lambda 1 and lambda 2 of equation 4.
        correlation: weight of the correlation of each pair of sequences.
        full: share of the volumes that keep all their sequences.
    """

    def __init__(
        self, segmentation: float = 0.5, adversarial: float = 0.5, correlation: float = 0.1, full: float = 0.4
    ) -> None:
        if min(segmentation, adversarial, correlation, full) < 0 or full > 1:
            raise ValueError("weights must be 0 or more, and full a share")
        self.segmentation, self.adversarial, self.correlation = segmentation, adversarial, correlation
        self.full = full
        self.loss = DiceCrossEntropy()

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See :class:`Objective`."""
        there = ~batch.image[:, :, 0, 0, 0].isnan()
        present = self.kept(there, batch.generator())
        lesson = model(batch.image, present)
        told = functional.binary_cross_entropy_with_logits(lesson.told.float(), present.float())
        fooled = functional.binary_cross_entropy_with_logits(
            lesson.fooled.float(), torch.ones_like(lesson.fooled).float()
        )
        total = self.segmentation * self.loss(lesson.logits, batch.target) + self.adversarial * fooled + told
        pairs = [loss for one, other in combinations(lesson.projections, 2) for loss in _likeness(one, other)]
        if pairs:
            total = total + self.correlation * torch.stack(pairs).mean()
        return total

    def kept(self, there: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(n, inputs) bool: the sequences that stay of those that are there; never none."""
        kept = torch.zeros_like(there)
        for row, mine in zip(there, kept, strict=True):
            numbers = row.nonzero()[:, 0]
            chosen = drawn_subset(len(numbers), self.full, generator)
            mine[numbers] = torch.tensor(chosen, device=there.device)
        return kept


def _likeness(one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> list[torch.Tensor]:
    """Loss of two sequences over the volumes that have both; empty if there are none."""
    both = [(a, b) for a, x in enumerate(one[1].tolist()) for b, y in enumerate(other[1].tolist()) if x == y]
    if not both:
        return []
    first = one[0][[a for a, _ in both]].flatten(0, 1)
    second = other[0][[b for _, b in both]].flatten(0, 1)
    return [correlation_loss(first, second)]
