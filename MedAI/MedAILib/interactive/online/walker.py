"""The random walker: a probability that is smooth but for edges, as sure as its prior and its constraints are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..segmenter import go_on

_ENOUGH = 1e-6
"""Share of the first residual's square at which no more is gained."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Of the edges between neighbors of a grid (k, j, i): three tensors, each one shorter along its axis."""

    k: torch.Tensor
    j: torch.Tensor
    i: torch.Tensor


def walk(
    edges: Weights,
    prior: torch.Tensor,
    trust: float,
    free: torch.Tensor,
    first: torch.Tensor,
    steps: int,
    check: Callable[[], None] = go_on,
) -> torch.Tensor:
    """The x (k, j, i) that makes sum w (x - x')² + trust sum (x - prior)² least, by conjugate gradients.

    Grady 2006, with priors as in Grady 2005.

    Args:
        edges: between neighbors, 0 and more.
        prior: (k, j, i), 0 to 1.
        trust: how much the prior counts beside an edge of weight 1, more than 0.
        free: (k, j, i) bool; at all other voxels x stays as it is first.
        first: (k, j, i), 0 to 1, where to begin.
        steps: at most, of the conjugate gradients.
        check: is called at each step.
    """
    moving = free.to(first.dtype)
    inverse = moving / (_total(edges) + trust)
    x = first.clone()
    residual = (trust * (prior - x)).sub_(_laplacian(edges, x)).mul_(moving)
    z = inverse * residual
    direction, size = z.clone(), (residual * z).sum()
    goal = size * _ENOUGH + 1e-12
    for _ in range(steps):
        check()
        if size <= goal:
            break
        along = _laplacian(edges, direction).add_(direction, alpha=trust).mul_(moving)
        step = size / (direction * along).sum().clamp_min(1e-20)
        x.addcmul_(step, direction)
        residual.addcmul_(step, along, value=-1.0)
        torch.mul(inverse, residual, out=z)
        before, size = size, (residual * z).sum()
        direction.mul_(size / before).add_(z)
    return x.clamp_(0.0, 1.0)


def _laplacian(edges: Weights, x: torch.Tensor) -> torch.Tensor:
    result = torch.zeros_like(x)
    for axis, weight in enumerate((edges.k, edges.j, edges.i)):
        count = x.shape[axis] - 1
        flow = (x.narrow(axis, 0, count) - x.narrow(axis, 1, count)).mul_(weight)
        result.narrow(axis, 0, count).add_(flow)
        result.narrow(axis, 1, count).sub_(flow)
    return result


def _total(edges: Weights) -> torch.Tensor:
    """Of all edges of a voxel."""
    result = edges.i.new_zeros((edges.i.shape[0], edges.i.shape[1], edges.j.shape[2]))
    for axis, weight in enumerate((edges.k, edges.j, edges.i)):
        count = result.shape[axis] - 1
        result.narrow(axis, 0, count).add_(weight)
        result.narrow(axis, 1, count).add_(weight)
    return result
