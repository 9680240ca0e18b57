"""The random walker: a probability that is smooth but for edges, as sure as its prior and its constraints are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


def _go_on() -> None:
    """Nobody asks to stop."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Of the edges between neighbors of a grid (k, j, i): three tensors, each one shorter along its axis."""

    k: torch.Tensor
    j: torch.Tensor
    i: torch.Tensor


def walk(
    edges: Weights,
    prior: torch.Tensor,
    trust: torch.Tensor,
    fixed: torch.Tensor,
    first: torch.Tensor,
    steps: int,
    check: Callable[[], None] = _go_on,
) -> torch.Tensor:
    """The x that makes sum w (x - x')² + sum trust (x - prior)² least, by conjugate gradients.

    Grady 2006, with priors as in Grady 2005.

    Args:
        edges: between neighbors, 0 and more.
        prior: (k, j, i), 0 to 1.
        trust: (k, j, i), 0 and more, how much the prior counts at each voxel.
        fixed: (k, j, i) bool, voxels at which x stays as it is first.
        first: (k, j, i), where to begin.
        steps: at most, of the conjugate gradients.
        check: is called at each step.
    """
    free = (~fixed).to(first.dtype)
    inverse = free / (_total(edges) + trust).clamp_min(1e-6)
    x = first.clone()
    residual = (trust * (prior - x) - _laplacian(edges, x)) * free
    z = inverse * residual
    direction, size = z.clone(), (residual * z).sum()
    goal = size * 1e-6 + 1e-12
    for _ in range(steps):
        check()
        if size <= goal:
            break
        product = (_laplacian(edges, direction) + trust * direction) * free
        step = size / (direction * product).sum().clamp_min(1e-20)
        x += step * direction
        residual -= step * product
        z = inverse * residual
        before, size = size, (residual * z).sum()
        direction.mul_(size / before).add_(z)
    return x.clamp_(0.0, 1.0)


def _laplacian(edges: Weights, x: torch.Tensor) -> torch.Tensor:
    result = torch.zeros_like(x)
    for axis, weight in enumerate((edges.k, edges.j, edges.i)):
        if weight.numel() == 0:
            continue
        count = x.shape[axis] - 1
        flow = weight * (x.narrow(axis, 0, count) - x.narrow(axis, 1, count))
        result.narrow(axis, 0, count).add_(flow)
        result.narrow(axis, 1, count).sub_(flow)
    return result


def _total(edges: Weights) -> torch.Tensor:
    """Of all edges of a voxel."""
    k, j, i = edges.i.shape[0], edges.i.shape[1], edges.j.shape[2]
    result = edges.i.new_zeros((k, j, i))
    for axis, weight in enumerate((edges.k, edges.j, edges.i)):
        count = result.shape[axis] - 1
        result.narrow(axis, 0, count).add_(weight)
        result.narrow(axis, 1, count).add_(weight)
    return result
