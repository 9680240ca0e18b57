"""Typical contours of a training set."""

from __future__ import annotations

import math

import torch

_ROUNDS = 25


def clustered(shapes: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` typical ones (count, 4 N) of the contours' series without their centers (n, 4 N), by k-means.

    It starts with the contour nearest to the mean and goes on with those farthest from all that it has, so that the
    same contours always give the same anchors. Fewer contours than anchors are joined by larger and smaller ones.
    """
    sizes = [1.0, 0.7, 1.4, 0.5, 2.0, 0.35, 2.8, 0.25, 4.0]
    repeats = math.ceil(count / len(shapes))
    pool = torch.cat([shapes * size for size in sizes[:repeats]]) if repeats > 1 else shapes
    centers = pool[(pool - pool.mean(0)).norm(dim=1).argmin()][None]
    while len(centers) < count:
        centers = torch.cat([centers, pool[torch.cdist(pool, centers).amin(1).argmax()][None]])
    for _ in range(_ROUNDS):
        nearest = torch.cdist(pool, centers).argmin(1)
        centers = torch.stack(
            [pool[nearest == n].mean(0) if (nearest == n).any() else centers[n] for n in range(count)]
        )
    return centers[centers.norm(dim=1).argsort()]


def circles(count: int, orders: int) -> torch.Tensor:
    """What stands for anchors before there are any: circles of 4 to 64 pixels, (count, 4 * orders)."""
    found = torch.zeros(count, orders, 4)
    radii = 4.0 * 2.0 ** torch.linspace(0, 4, count)
    found[:, 0, 1] = found[:, 0, 2] = radii
    return found.flatten(1)
