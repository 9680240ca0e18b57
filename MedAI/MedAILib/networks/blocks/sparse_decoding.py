"""Predictions of single voxels put together to a whole map: few everywhere, all of them where the classes meet.

The three stages of Implicit U-Net's inference (Naval Marimont & Tarroni, MIUA 2022, section 2):

1. one voxel in four along each axis is predicted, and its neighbors get the same;
2. the boundary is where these predictions differ;
3. every voxel near it is predicted for itself, and the result is smoothed by the mean of 3 x 3 x 3 voxels.

An object that no predicted voxel of the first stage hits is not found: one that is less than four voxels thick in some
direction can be missed. The paper states neither where in each block of four the predicted voxel lies nor how far
"near" reaches. Chosen here: it lies in the middle of its block; blocks are halved along each axis, and all voxels of
the halves that differ from one of their 26 neighbors are near, which reaches two or three voxels to either side. That
is as little as keeps a flat boundary exact: around a voxel that is not near, all predicted voxels within three of it
agree, and on either side of a plane through the voxel there is one of them. Whoever smooths needs one voxel more. Means
are taken of logits, since the engine averages overlapping windows after this.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch.nn import functional

from ...geometry import Shape

SPACING = 4
Decode = Callable[[torch.Tensor], torch.Tensor]
"""Logits (p, classes) of voxels, given by their numbers (p,) in the order (n, k, j, i) of a batch."""


def mesh(shape: Shape, spacing: int, device: torch.device) -> torch.Tensor:
    """Numbers (k', j', i') of the voxels in the middle of each block; blocks at the end may be cut."""
    k, j, i = (
        torch.arange(spacing // 2, side - side % -spacing, spacing, device=device).clamp_max(side - 1) for side in shape
    )
    return (k[:, None, None] * shape[1] + j[:, None]) * shape[2] + i


def meeting(labels: torch.Tensor) -> torch.Tensor:
    """Which voxels (n, k, j, i) of a map of whole numbers have another one among their 26 neighbors."""
    values = labels[:, None].float()
    least, most = -functional.max_pool3d(-values, 3, 1, 1), functional.max_pool3d(values, 3, 1, 1)
    return (least != most)[:, 0]


def sparse_then_fine(
    decode: Decode,
    batch: int,
    shape: Shape,
    spacing: int = SPACING,
    margin: int = 0,
    dense: Callable[[], torch.Tensor] | None = None,
    break_even: float = 1.0,
) -> tuple[torch.Tensor, float]:
    """The first two stages, and every voxel near the boundary.

    Args:
        decode: predicts voxels.
        batch: number of images n.
        shape: (k, j, i) of each.
        spacing: voxels from one predicted voxel of the first stage to the next, an even number.
        margin: how many voxels further "near" reaches.
        dense: predicts all voxels at once, (n, classes, k, j, i).
        break_even: from this share of voxels on ``dense`` is asked, if there is one.

    Returns:
        Logits (n, classes, k, j, i), and the share of voxels that were predicted.
    """
    if spacing < 2 or spacing % 2:
        raise ValueError(f"spacing is {spacing}; it must be an even number")
    index = torch.arange(batch)[:, None, None, None] * prod(shape)
    index = index + mesh(shape, spacing, torch.device("cpu"))
    broad = decode(index.flatten()).view(*index.shape, -1).movedim(-1, 1)
    near = meeting(_spread(broad.argmax(1, keepdim=True).float(), 2)[:, 0])
    near = _spread(near[:, None].float(), spacing // 2)[:, :, : shape[0], : shape[1], : shape[2]]
    if margin:
        near = functional.max_pool3d(near, 2 * margin + 1, 1, margin)
    voxels = near.flatten().index_fill_(0, index.flatten(), 0.0).nonzero()[:, 0]
    share = (len(voxels) + index.numel()) / near.numel()
    if dense is not None and share >= break_even:
        return dense(), 1.0
    logits = _spread(broad, spacing)[:, :, : shape[0], : shape[1], : shape[2]].movedim(1, -1).contiguous()
    if len(voxels):
        logits.view(-1, logits.shape[-1]).index_copy_(0, voxels, decode(voxels))
    return logits.movedim(-1, 1), share


def _spread(values: torch.Tensor, factor: int) -> torch.Tensor:
    """Each value in all voxels of its block."""
    return functional.interpolate(values, scale_factor=float(factor), mode="nearest")


def smoothed(logits: torch.Tensor) -> torch.Tensor:
    """Means of 3 x 3 x 3 voxels (n, classes, k, j, i), of those inside where the map ends."""
    return functional.avg_pool3d(logits, 3, 1, 1, count_include_pad=False)
