"""Drawing the bridges into the mask."""

from __future__ import annotations

import numpy as np

from ..geometry import Shape
from .centerline import Centerline, to_voxels


def bridges(line: Centerline, affine: np.ndarray, shape: Shape) -> np.ndarray:
    """What closes the gaps: round tubes along the line, as wide as it is there.

    Where that leaves the mask in several parts, because it is too thin, the ways across the gaps are drawn as well.

    Args:
        line: through the mask.
        affine: of the mask.
        shape: (k, j, i) of the mask.

    Returns:
        (k, j, i) bool, without the mask.
    """
    drawn = np.zeros(shape, bool)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    for point, radius in zip(line.points[line.bridged], line.radius[line.bridged], strict=True):
        center = to_voxels(affine, point)
        low = np.maximum(np.floor(center - radius / spacing).astype(int), 0)
        high = np.minimum(np.ceil(center + radius / spacing).astype(int) + 1, shape)
        if (high <= low).any():
            continue
        axes = [(np.arange(a, b) - c) * s for a, b, c, s in zip(low, high, center, spacing, strict=True)]
        nearest = tuple(int(abs(axis).argmin()) for axis in axes)
        near = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2 <= radius**2
        near[nearest] = True
        drawn[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] |= near
    from skimage.measure import label

    if label(drawn | line.mask, connectivity=3).max() > 1:
        for join in line.joins:
            drawn[tuple(join.path.T)] = True
    return drawn & ~line.mask
