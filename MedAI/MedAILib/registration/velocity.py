"""Stationary velocity fields on a lattice.

A smooth velocity that does not change in time moves points along paths that never cross, so where they are after one
unit of time is a diffeomorphism, and its inverse is the way of the negative velocity (Arsigny et al. 2006, "A
log-Euclidean framework for statistics on diffeomorphisms"). The optimizer adds its steps to the velocity, the first
order of composing with them (Vercauteren et al. 2008, "Symmetric log-domain diffeomorphic registration").
"""

from __future__ import annotations

import torch

from ..networks.warping import integrate

_SQUARINGS = 6


def exponential(velocity: torch.Tensor, spacing: torch.Tensor) -> torch.Tensor:
    """The displacement after one unit of time, by scaling and squaring.

    Args:
        velocity: at the nodes (3, k, j, i), components in array order.
        spacing: (3, 1, 1, 1), distance of the nodes in the unit of the velocity.

    Returns:
        As ``velocity``.
    """
    return integrate((velocity / spacing)[None], _SQUARINGS)[0] * spacing
