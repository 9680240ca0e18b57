"""How far each voxel is from the marks if steps through other gray values cost more."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch.nn import functional

from ...geometry import Spacing
from ..segmenter import go_on

FAR = 1e6
"""Of what no path reaches."""


def geodesic(
    cost: torch.Tensor,
    start: torch.Tensor,
    spacing: Spacing,
    rounds: int = 3,
    check: Callable[[], None] = go_on,
) -> torch.Tensor:
    """Length of the cheapest path from each voxel to the start.

    Planes sweep through the volume along each axis, there and back; each voxel looks at the nine of the plane before
    (raster scans after Toivanen 1996, a plane at a time instead of a voxel). Paths with more turns than rounds are
    found a little too long.

    Args:
        cost: (k, j, i), of a millimeter.
        start: (k, j, i), length to begin with, 0 at the marks; :data:`FAR` where no path begins.
        spacing: mm, (k, j, i).
        rounds: sweeps along all axes; it ends earlier when nothing changes any more.
        check: is called before each sweep.
    """
    distance = start.clone()
    for _ in range(rounds):
        before = distance.clone()
        for axis in range(3):
            check()
            _sweep(distance.movedim(axis, 0), cost.movedim(axis, 0), _turned(spacing, axis))
        if torch.equal(before, distance):
            break
    return distance


def _turned(spacing: Spacing, axis: int) -> tuple[float, float, float]:
    """The voxel size with one axis first, the others in order."""
    others = [size for other, size in enumerate(spacing) if other != axis]
    return spacing[axis], others[0], others[1]


def _sweep(distance: torch.Tensor, cost: torch.Tensor, spacing: tuple[float, float, float]) -> None:
    """One sweep along the first axis and back, in place."""
    ahead, *aside = spacing
    steps = [
        (j, i, (ahead**2 + (j * aside[0]) ** 2 + (i * aside[1]) ** 2) ** 0.5) for j, i in product((-1, 0, 1), repeat=2)
    ]
    count = len(distance)
    rows, columns = distance.shape[1:]
    for order in (range(1, count), range(count - 2, -1, -1)):
        back = -1 if order.step > 0 else 1
        for place in order:
            here, best = cost[place], distance[place].clone()
            there = functional.pad(distance[place + back], (1, 1, 1, 1), value=FAR)
            known = functional.pad(cost[place + back][None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
            for j, i, length in steps:
                window = (slice(1 + j, 1 + j + rows), slice(1 + i, 1 + i + columns))
                best = torch.minimum(best, there[window] + (0.5 * length) * (known[window] + here))
            distance[place] = best
