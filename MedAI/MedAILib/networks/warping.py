"""The spatial transformer that the registration networks share (Jaderberg et al. 2015; Balakrishnan et al. 2019).

A displacement is (n, 3, k, j, i) in voxels of its own grid, components in (k, j, i) order, and points from the fixed
image into the moving one: ``warped(x) = moving(x + d(x))``. Grids of different size cover the same extent, voxel
centers half a voxel from the border.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional


def positions(shape: Sequence[int], device: torch.device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(3, k, j, i) index of each voxel."""
    return torch.stack(torch.meshgrid(*(torch.arange(n, device=device, dtype=dtype) for n in shape), indexing="ij"))


def warp(
    image: torch.Tensor, displacement: torch.Tensor, mode: str = "bilinear", padding: str = "border"
) -> torch.Tensor:
    """Look an image up where the displacement points.

    Args:
        image: (n, c, K, J, I), float.
        displacement: (n, 3, k, j, i), voxels.
        mode: ``"bilinear"``, which is trilinear here, or ``"nearest"``.
        padding: ``"border"`` continues the image beyond its border, ``"zeros"`` does not.

    Returns:
        (n, c, k, j, i), differentiable in both.
    """
    points = positions(displacement.shape[2:], displacement.device, displacement.dtype) + displacement
    size = torch.tensor(image.shape[2:], device=points.device, dtype=points.dtype).view(3, 1, 1, 1)
    grid = ((2 * points + 1) / size - 1).flip(1).permute(0, 2, 3, 4, 1)
    return functional.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=False)


def rescale_displacement(displacement: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The same displacement on a grid of another size, in voxels of that."""
    before = displacement.shape[2:]
    if tuple(before) == tuple(shape):
        return displacement
    other = functional.interpolate(displacement, tuple(shape), mode="trilinear", align_corners=False)
    ratio = [float(new) / float(old) for new, old in zip(shape, before, strict=True)]
    return other * torch.tensor(ratio, device=other.device, dtype=other.dtype).view(3, 1, 1, 1)


def halve(image: torch.Tensor, times: int = 1) -> torch.Tensor:
    """(n, c, k, j, i) at half the resolution, ``times`` over: the mean of two voxels along each axis.

    That is trilinear interpolation at the middle between them, so no voxel is left out.
    """
    for _ in range(times):
        image = functional.avg_pool3d(image, 2)
    return image


def integrate(velocity: torch.Tensor, squarings: int = 7) -> torch.Tensor:
    """Displacement of a stationary velocity field by scaling and squaring (Arsigny et al. 2006), both in voxels."""
    displacement = velocity / 2**squarings
    for _ in range(squarings):
        displacement = displacement + warp(displacement, displacement)
    return displacement


def pad_to(image: torch.Tensor, multiple: int) -> torch.Tensor:
    """(n, c, k, j, i) continued at its far ends to sides divisible by ``multiple``, and twice that at least."""
    sides = [max(2 * multiple, -(-n // multiple) * multiple) - n for n in image.shape[2:]]
    return functional.pad(image, [side for n in reversed(sides) for side in (0, n)], mode="replicate")
