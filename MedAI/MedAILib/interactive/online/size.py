"""How large the object around a point may be, where no stroke tells it."""

from __future__ import annotations

import numpy as np
import torch

from .gray import Gray
from .region import Region

LOOKED_AT = 60.0
"""mm around a point."""
_ALIKE = 2.5
"""Spreads that a gray value of the same object may be off."""
_SHARE = 0.5
"""Of the cells of a ball that have to be alike."""


def size_around(region: Region, gray: Gray, voxels: np.ndarray, wrong: torch.Tensor, least: float) -> float:
    """Radius in mm of the largest ball around voxels of which most cells look like them.

    Args:
        region: around the voxels.
        gray: its values, measured at the voxels.
        voxels: (n, 3) of the volume.
        wrong: (k, j, i) bool, cells that are not yet as the prompt says; others are taken as different.
        least: mm.
    """
    center = region.cells(region.local(voxels)).mean(0)
    squares = [
        (torch.arange(count, device=wrong.device) - float(middle)).mul_(size).square_()
        for count, middle, size in zip(region.shape, center, region.spacing, strict=True)
    ]
    distance = (squares[0][:, None, None] + squares[1][:, None] + squares[2]).sqrt().flatten()
    distance, order = distance.sort()
    alike = ((gray.strangeness < _ALIKE) & wrong).flatten()[order].float()
    share = alike.cumsum(0) / torch.arange(1, len(alike) + 1, device=alike.device)
    # The border of the region is no border of an object.
    enough = (share >= _SHARE) & (distance <= LOOKED_AT)
    return max(least, float(distance[enough].max())) if bool(enough.any()) else least
