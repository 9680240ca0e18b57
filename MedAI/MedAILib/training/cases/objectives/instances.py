"""Objects and the contours between them: two weighted cross-entropies (Li et al. 2021, MitoEM)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from ...losses import DiceCrossEntropy
from ..batch import Batch

MASKS = ("weighted", "dice")


class Instances:
    """Loss of a network that gives class logits and a boundary's logit: L = WBCE(mask) + WBCE(boundary).

    The batch's target holds numbers of objects (touching ones with different numbers) if the network tells only
    foreground from background, and classes otherwise; contours lie between any two different numbers.

    Args:
        radius: (k, j, i) voxels; a voxel is of the contour if within this box around it there is more than one number.
            (0, 2, 2) is the published code's: contours are drawn slice by slice and include the object's outer rim.
        mask: "weighted" is the paper's loss; "dice" takes Dice plus cross-entropy for the mask, as every other
            network here that learns ordinary label maps.
        boundary: weight of the boundary's loss.
        limit: the largest weight of a voxel in the cross-entropies, see :func:`weighted_cross_entropy`.
    """

    def __init__(
        self,
        radius: Sequence[int] = (0, 2, 2),
        mask: str = "weighted",
        boundary: float = 1.0,
        limit: float = 19.0,
    ) -> None:
        if len(radius) != 3 or min(radius) < 0 or max(radius) < 1:
            raise ValueError("radius must be three whole numbers (k, j, i), one of them above 0")
        if mask not in MASKS:
            raise ValueError(f"mask must be one of {', '.join(MASKS)}")
        if boundary < 0 or limit < 1:
            raise ValueError("boundary must be 0 or more and limit 1 or more")
        self.radius, self.mask, self.boundary, self.limit = tuple(radius), mask, boundary, limit
        self.dice = DiceCrossEntropy()

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See :class:`Objective`."""
        logits, edge = model(batch.image)
        target = batch.target.clamp(max=1) if logits.shape[1] == 2 else batch.target
        if self.mask == "dice":
            loss = self.dice(logits, target)
        else:
            loss = weighted_cross_entropy(logits, target, self.limit)
        drawn = contours(batch.target, self.radius)
        both = torch.cat([torch.zeros_like(edge), edge], 1)  # the softmax of (0, x) is the sigmoid of x
        return loss + self.boundary * weighted_cross_entropy(both, drawn, self.limit)


def contours(numbers: torch.Tensor, radius: Sequence[int]) -> torch.Tensor:
    """1 where voxels of the box around a voxel differ, 0 elsewhere.

    Args:
        numbers: (n, k, j, i), whole numbers up to 2^24.
        radius: (k, j, i) of the box.
    """
    size = [2 * reach + 1 for reach in radius]
    values = numbers[:, None].float()
    high = functional.max_pool3d(values, size, 1, list(radius))
    low = -functional.max_pool3d(-values, size, 1, list(radius))
    return (high != low)[:, 0].long()


def weighted_cross_entropy(logits: torch.Tensor, target: torch.Tensor, limit: float) -> torch.Tensor:
    """Mean over voxels of weight times cross-entropy; a voxel weighs how many times rarer its class is than the most
    frequent one in the same patch.

    Of two classes with a share W of foreground this is a weight of (1 - W) / W for the foreground if W <= 0.5, and of
    W / (1 - W) for the background otherwise, 1 for the other one. The survey's text prints W / (1 - W) in both
    cases, which would make rare foreground count less, against its purpose; the published code has it as here. It also
    limits W from below to 0.05, so that the weight ends at 19 (here ``limit``).

    Args:
        logits: (n, classes, k, j, i); the arithmetic is float32.
        target: (n, k, j, i), classes.
        limit: the largest weight.

    Returns:
        Scalar. Classes without a voxel in a patch do not matter there.
    """
    classes = logits.shape[1]
    truth = target.long()
    counts = torch.stack([(truth == index).flatten(1).sum(1) for index in range(classes)], 1).float()
    weights = (counts.amax(1, keepdim=True) / counts.clamp_min(1)).clamp_max(limit)
    entropy = functional.cross_entropy(logits.float(), truth, reduction="none")
    return (entropy * weights.gather(1, truth.flatten(1)).reshape(truth.shape)).mean()
