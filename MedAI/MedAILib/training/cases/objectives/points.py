"""Dice and cross-entropy of points, half of them near the boundaries of the labels (Implicit U-Net's training).

Naval Marimont & Tarroni, MIUA 2022, section 2 (training procedure): k = 30,000 points of a patch, of which the share
alpha = 0.5 is drawn from the label boundary and displaced by N(0, sigma = 5), the others anywhere. The paper's patches
have 160 x 160 x 96 voxels, of which 30,000 are 1.2 %; smaller patches need fewer.

Left open there and chosen here: the boundary are all voxels with another class among their 26 neighbors; sigma counts
voxels, along each axis; points are rounded to voxels, for which alone there are labels, and those that leave the patch
go to its nearest voxel; points are drawn with repetition; a patch without a boundary has all its points anywhere.
"""

from __future__ import annotations

from math import prod

import torch
from torch import nn

from ....networks.blocks.sparse_decoding import meeting
from ...losses import DiceCrossEntropy
from ..batch import Batch


class Points:
    """The objective; the network must take the numbers of voxels as its second argument.

    Args:
        points: per patch, k.
        near: share of them near a boundary, alpha.
        spread: standard deviation of their displacement in voxels, sigma.
        balance: of the cross-entropy at the start, see :class:`DiceCrossEntropy`; falls linearly to 0.
    """

    def __init__(self, points: int = 30000, near: float = 0.5, spread: float = 5.0, balance: float = 0.0) -> None:
        if points < 1 or not 0.0 <= near <= 1.0 or spread < 0.0:
            raise ValueError("points must be 1 or more, near a share from 0 to 1, spread 0 or more")
        self.points, self.near, self.spread, self.balance = points, near, spread, balance
        self.loss = DiceCrossEntropy()

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See :class:`Objective`."""
        self.loss.balance = self.balance * (1.0 - batch.fraction)
        voxels = self.draw(batch.target, batch.generator())
        return self.loss(model(batch.image, voxels), batch.target.flatten(1).gather(1, voxels))

    def draw(self, target: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Numbers (n, points) of voxels in the order (k, j, i), those near a boundary first.

        Args:
            target: (n, k, j, i) classes.
            generator: on their device.
        """
        edges = meeting(target)
        return torch.stack([self._of_one(edge, generator) for edge in edges])

    def _of_one(self, edge: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        device, size = edge.device, torch.tensor(edge.shape, device=edge.device)
        edge_voxels = edge.nonzero()
        near = round(self.points * self.near) if len(edge_voxels) else 0
        rest = torch.randint(prod(edge.shape), (self.points - near,), generator=generator, device=device)
        if not near:
            return rest
        chosen = edge_voxels[torch.randint(len(edge_voxels), (near,), generator=generator, device=device)]
        moved = chosen + self.spread * torch.randn(near, 3, generator=generator, device=device)
        k, j, i = moved.round().long().clamp_min(0).minimum(size - 1).unbind(1)
        return torch.cat([(k * edge.shape[1] + j) * edge.shape[2] + i, rest])
