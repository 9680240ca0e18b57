"""Soft Dice over the present classes: with cross-entropy, fused and cheap in memory; and with squares, as V-Net has it.

Dice: Milletari et al. 2016 (V-Net), with sums instead of squares in the denominator; the sum of both: Isensee et al.
2021 (nnU-Net).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

CHUNK = 32768  # voxels worked on at a time; their float32 probabilities stay in the processor's cache
SMOOTH = 1.0


class _DiceCrossEntropy(torch.autograd.Function):
    """Keeps only the logits for the way back and recomputes the softmax there, in float32, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, target: torch.Tensor, dice_weight: float, balance: float
    ) -> torch.Tensor:
        rows = logits.detach().movedim(1, -1)
        classes = rows.shape[-1]
        rows, truth = rows.reshape(-1, classes), target.reshape(-1)
        overlap = torch.zeros(classes, device=rows.device)
        predicted = torch.zeros_like(overlap)
        entropy = torch.zeros((), device=rows.device)
        size = torch.bincount(truth.long(), minlength=classes).to(overlap.dtype)
        share = torch.where(size > 0, size.clamp_min(1) ** -balance, 0)
        share = share / (share * size).sum()  # cross-entropy's weight of a voxel of each class; all voxels' sum is 1
        step = CHUNK if rows.device.type == "cpu" else 1 << 20
        for start in range(0, len(rows), step):
            logs = torch.log_softmax(rows[start : start + step].float(), 1)
            labels = truth[start : start + step].long()
            true_logs = logs.gather(1, labels[:, None])[:, 0]
            entropy -= true_logs @ share[labels]
            predicted += logs.exp_().sum(0)
            overlap.index_add_(0, labels, true_logs.exp())
        counted = size > 0
        counted[0] = False
        number = counted.sum().clamp_min(1)
        bottom = predicted + size + SMOOTH
        dice = (2 * overlap + SMOOTH) / bottom
        weight = dice_weight * counted / number
        # d loss / d probability = -weight * ([true] * 2 / bottom - dice / bottom)
        ctx.save_for_backward(logits, target, -weight * 2 / bottom, weight * dice / bottom, share)
        return entropy + (weight * (1 - dice)).sum()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        logits, target, at_truth, everywhere, share = ctx.saved_tensors
        shape = logits.movedim(1, -1).shape
        rows, truth = logits.movedim(1, -1).reshape(-1, shape[-1]), target.reshape(-1)
        result = torch.empty_like(rows)
        scale = grads[0].float()
        step = CHUNK if rows.device.type == "cpu" else 1 << 20
        for start in range(0, len(rows), step):
            probabilities = torch.softmax(rows[start : start + step].float(), 1)
            labels = truth[start : start + step].long()[:, None]
            true = probabilities.gather(1, labels)
            pull = at_truth[labels]
            # softmax's Jacobian: p * (g - sum(p * g)) with g = everywhere + pull at the true class
            mean = probabilities @ everywhere[:, None] + true * pull
            gradient = probabilities * (everywhere + share[labels] - mean)
            gradient.scatter_add_(1, labels, true * pull - share[labels])
            result[start : start + step] = gradient * scale
        return result.reshape(shape).movedim(-1, 1), None, None, None


class DiceCrossEntropy(nn.Module):
    """Mean over the present classes but the background of 1 - Dice, plus a weighted mean of the cross-entropy.

    Classes without a voxel in the target do not count for the Dice part: their ratio would be noise.

    Args:
        dice_weight: factor of the Dice part.
        balance: a voxel's weight in the cross-entropy is its class' size to the power of minus this: 0 weighs all
            voxels alike, 1 all present classes. Small structures would otherwise be invisible to the first thousands of
            steps: their probability is near 0, and so is the gradient of their Dice.
    """

    def __init__(self, dice_weight: float = 1.0, balance: float = 0.0) -> None:
        super().__init__()
        self.dice_weight, self.balance = dice_weight, balance

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss, float32.

        Args:
            logits: (n, classes, k, j, i), any float type; the arithmetic is float32.
            target: (n, k, j, i), class numbers.
        """
        return _DiceCrossEntropy.apply(logits, target, self.dice_weight, self.balance)  # type: ignore[no-any-return, no-untyped-call]


class SquaredDice(nn.Module):
    """Mean over the present classes but the background of 1 - Dice with squares in the denominator.

    ``D = 2 sum(p g) / (sum(p^2) + sum(g^2))`` (Milletari et al. 2016, section 3), of the softmax's probabilities.
    Deviations: the paper has one organ, here several classes count alike; classes without a voxel in the target do not
    count, as their D is 0 whatever is predicted; the sums go over the whole batch.
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss, float32, 0 (perfect) to 1; 0 without a gradient if the target is all background.

        Args:
            logits: (n, classes, k, j, i), any float type; the arithmetic is float32.
            target: (n, k, j, i), class numbers.
        """
        probabilities = torch.softmax(logits.float(), 1)
        terms = []
        for index in range(1, logits.shape[1]):
            truth = target == index
            size = truth.sum()
            if size > 0:
                found = probabilities[:, index]
                terms.append(1 - 2 * (found * truth).sum() / (found.square().sum() + size))
        return torch.stack(terms).mean() if terms else 0 * probabilities.sum()
