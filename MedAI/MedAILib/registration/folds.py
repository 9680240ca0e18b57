"""Where a displacement is about to fold space, and how it is kept from it."""

from __future__ import annotations

import torch
from torch.nn import functional

from .regularization import smooth

_ROUNDS = 80
_MILD = 0.3
_SPARE = 0.02
"""Smallest determinant that :func:`unfold` aims at; above 0, so that sampling the field elsewhere stays positive."""


def determinant(u: torch.Tensor, spacing: torch.Tensor) -> torch.Tensor:
    """Jacobian determinant (k, j, i) of x + u(x), central differences.

    Args:
        u: (3, k, j, i), components in array order.
        spacing: (3, 1, 1, 1), distance of the nodes in the unit of ``u``.
    """
    steps = [float(step) for step in spacing.flatten()]
    rows = [
        [_slope(component, axis) / steps[axis] + (1.0 if axis == row else 0.0) for axis in range(3)]
        for row, component in enumerate(u)
    ]
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _slope(values: torch.Tensor, axis: int) -> torch.Tensor:
    if values.shape[axis] < 2:
        return torch.zeros_like(values)
    return torch.gradient(values, dim=axis)[0]


def spread(u: torch.Tensor, spacing: torch.Tensor) -> float:
    """Standard deviation of log det J over the nodes (determinants below 0.05 count as 0.05)."""
    return float(determinant(u, spacing).clamp_(min=0.05).log_().std(correction=0))


def relax(u: torch.Tensor, spacing: torch.Tensor, below: float, gamma: float = 0.5) -> torch.Tensor:
    """The field, blended with its smoothed self where the determinant is below a bound, all the more the lower it is.

    Args:
        u, spacing: see :func:`determinant`.
        below: determinant from which on nothing changes.
        gamma: strength of the diffusion, nodes².
    """
    lack = ((below - determinant(u, spacing)) / below).clamp_(0, 1)
    if not bool((lack > 0).any()):
        return u
    wide = functional.max_pool3d(lack[None, None], *_around(lack))
    weight = functional.avg_pool3d(wide, *_around(lack), count_include_pad=False)[0, 0]
    return u + weight * (smooth(u, "diffusion", gamma) - u)


def _around(values: torch.Tensor) -> tuple[list[int], int, list[int]]:
    """Window, stride and padding of pooling with the neighbors, along each axis that is long enough."""
    sizes = [3 if n > 2 else 1 for n in values.shape]
    return sizes, 1, [size // 2 for size in sizes]


def unfold(u: torch.Tensor, spacing: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The field without folds between its nodes, and how many nodes folded before.

    Determinants are taken with forward and with backward differences, because a linearly interpolated field has the
    slopes of its cells, and a central difference may hide a fold between two of them.
    """
    worst = _worst(u, spacing)
    folded = int((worst <= 0).sum())
    for _ in range(_ROUNDS):
        lack = (worst < _SPARE).float()
        if not bool(lack.any()):
            break
        # Narrow and mild, many times over: every node that moves without need costs accuracy.
        weight = functional.avg_pool3d(lack[None, None], *_around(lack), count_include_pad=False)[0, 0]
        u = u + weight * (smooth(u, "diffusion", _MILD) - u)
        worst = _worst(u, spacing)
    return u, folded


def _worst(u: torch.Tensor, spacing: torch.Tensor) -> torch.Tensor:
    """Smallest determinant (k, j, i) over the eight combinations of one-sided differences at each node."""
    steps = [float(step) for step in spacing.flatten()]
    sides: list[tuple[torch.Tensor, ...]] = []
    for axis in range(3):
        n = u.shape[axis + 1]
        if n < 2:
            sides.append((torch.zeros_like(u),))
            continue
        slope = u.diff(dim=axis + 1) / steps[axis]
        first, last = slope.narrow(axis + 1, 0, 1), slope.narrow(axis + 1, n - 2, 1)
        sides.append((torch.cat([slope, last], axis + 1), torch.cat([first, slope], axis + 1)))
    worst: torch.Tensor | None = None
    for by_k in sides[0]:
        for by_j in sides[1]:
            for by_i in sides[2]:
                found = _determinant_of(by_k, by_j, by_i)
                worst = found if worst is None else torch.minimum(worst, found)
    assert worst is not None
    return worst


def _determinant_of(by_k: torch.Tensor, by_j: torch.Tensor, by_i: torch.Tensor) -> torch.Tensor:
    """det(I + [∂u/∂k, ∂u/∂j, ∂u/∂i]); each argument is (3, k, j, i)."""
    a, d, g = by_k[0] + 1, by_k[1], by_k[2]
    b, e, h = by_j[0], by_j[1] + 1, by_j[2]
    c, f, i = by_i[0], by_i[1], by_i[2] + 1
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
