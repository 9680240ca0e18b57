"""Making the displacement from fixed to moving and the one from moving to fixed agree.

Each of the two is half right where they differ, so each becomes the mean of itself and of the other one's inverse
(in the spirit of Christensen & Johnson 2001, "Consistent image registration").
"""

from __future__ import annotations

import torch
from torch.nn import functional

_ROUNDS = 10


def agree(there: torch.Tensor, back: torch.Tensor, spacing: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both displacements (3, k, j, i), nearer to being each other's inverse.

    Args:
        there, back: at the nodes of one lattice, components in array order.
        spacing: (3, 1, 1, 1), distance of the nodes in the unit of the displacements.
    """
    return 0.5 * (there + invert(back, spacing)), 0.5 * (back + invert(there, spacing))


def agree_velocities(there: torch.Tensor, back: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same of stationary velocities, where the inverse is the negative."""
    half = 0.5 * (there - back)
    return half, -half


def invert(u: torch.Tensor, spacing: torch.Tensor) -> torch.Tensor:
    """v with v(y) = −u(y + v(y)), by fixed-point iteration; arguments as for :func:`agree`."""
    shape = u.shape[1:]
    scale = [2 / (n - 1) if n > 1 else 0.0 for n in shape]
    lines = [torch.arange(n, dtype=u.dtype, device=u.device) * s - 1 for n, s in zip(shape, scale, strict=True)]
    base = torch.stack(torch.meshgrid(*lines, indexing="ij"))
    factor = torch.tensor(scale, dtype=u.dtype, device=u.device).reshape(3, 1, 1, 1) / spacing
    v = -u
    for _ in range(_ROUNDS):
        grid = (base + v * factor).flip(0).permute(1, 2, 3, 0)[None]
        v = -functional.grid_sample(u[None], grid, align_corners=True, padding_mode="border")[0]
    return v
