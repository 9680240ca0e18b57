"""Gauss-Newton steps with Levenberg's damping, for several transforms at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from .linear_levels import Level, Slopes

Kind = Literal["rigid", "similarity", "affine"]

_LONGEST = 0.3
"""Largest change of one number of the unit frame in a step."""
_SCALES = (0.3, 3.5)
"""How much smaller or larger the moving subject may be along any direction."""


def directions(kind: Kind, flat: bool) -> np.ndarray:
    """(12, n): the affine steps that a kind of transform allows.

    Args:
        kind: what may change.
        flat: one slice, whose plane is the first two axes of the frame.
    """
    axes = 2 if flat else 3
    steps = []

    def step(*entries: tuple[int, int, float]) -> None:
        matrix = np.zeros((3, 4))
        for row, column, value in entries:
            matrix[row, column] = value
        steps.append(matrix.ravel())

    for axis in range(axes):
        step((axis, 3, 1.0))
    if kind == "affine":
        for row in range(axes):
            for column in range(axes):
                step((row, column, 1.0))
    else:
        for row in range(axes):
            for column in range(row + 1, axes):
                step((row, column, 1.0), (column, row, -1.0))
        if kind == "similarity":
            step(*((axis, axis, 1.0) for axis in range(axes)))
    return np.array(steps).T


def refine(
    level: Level,
    transforms: np.ndarray,
    kind: Kind,
    steps: int,
    flat: bool = False,
    tolerance: float = 1e-4,
    check: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Follow each transform downhill.

    Args:
        level: where to compare.
        transforms: (b, 4, 4) starts.
        kind: which steps are allowed; what a start has beyond that stays.
        steps: comparisons at most.
        flat: see :func:`directions`.
        tolerance: a transform whose loss falls by less in two accepted steps is done.
        check: called before each step.

    Returns:
        The transforms and their losses (b,). No loss is larger than that of its start.
    """
    allowed = directions(kind, flat)
    matrix = level.frame.matrix
    back = np.linalg.inv(matrix)
    current = transforms.copy()
    state = level.slopes(current)
    loss, first, second = state.loss.copy(), state.first.copy(), state.second.copy()
    damping = np.full(len(current), 1e-2)
    gains = np.full((len(current), 2), np.inf)
    for _ in range(steps):
        check()
        open_ones = np.flatnonzero((gains.sum(1) >= tolerance) & (damping < 1e5))
        if not len(open_ones):
            break
        proposals = np.stack(
            [current[n] @ matrix @ _step(allowed, first[n], second[n], damping[n]) @ back for n in open_ones]
        )
        found = _guarded(level, proposals)
        for n, new, transform, gradient, curvature in zip(
            open_ones, found.loss, proposals, found.first, found.second, strict=True
        ):
            if new < loss[n]:
                gains[n] = gains[n, 1], loss[n] - new
                current[n], loss[n], first[n], second[n] = transform, new, gradient, curvature
                damping[n] = max(damping[n] * 0.2, 1e-5)
            else:
                damping[n] *= 8.0
    return current, loss


def _step(allowed: np.ndarray, first: np.ndarray, second: np.ndarray, damping: float) -> np.ndarray:
    """(4, 4) step in the unit frame."""
    gradient, curvature = allowed.T @ first, allowed.T @ second @ allowed
    size = np.diag(curvature)
    # The floor keeps directions that the image says nothing about (one of few slices) where they are.
    curvature = curvature + np.diag(damping * size + 1e-3 * size.mean() + 1e-12)
    change = -np.linalg.solve(curvature, gradient)
    change *= min(1.0, _LONGEST / max(float(np.abs(change).max()), 1e-12))
    generator = np.zeros((4, 4))
    generator[:3] = (allowed @ change).reshape(3, 4)
    # Not scipy's: its solver wakes the threads of a numerics library, which costs a hundred times more than the work.
    return torch.linalg.matrix_exp(torch.from_numpy(generator)).numpy()


def _guarded(level: Level, proposals: np.ndarray) -> Slopes:
    """The slopes; transforms that squeeze or blow up beyond reason get an infinite loss."""
    found = level.slopes(proposals)
    sizes = np.linalg.svd(proposals[:, :3, :3], compute_uv=False)
    bad = (sizes.min(1) < _SCALES[0]) | (sizes.max(1) > _SCALES[1]) | ~np.isfinite(found.loss)
    return Slopes(np.where(bad, np.inf, found.loss), found.first, found.second)
