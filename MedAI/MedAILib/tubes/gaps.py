"""Joining the parts of a broken tube by ways of least cost, until there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..errors import ContentError
from ..geometry import Spacing

INSIDE = 0.1
"""Cost of a millimeter within the mask; outside without an image it is 1."""
USUAL = 1.5
"""Voxels of the tube differ from its median by so many spreads, which costs nothing."""
UNLIKE = 4.0
"""Most that a voxel unlike the tube costs besides."""
MARGIN = 10.0
"""A way between two ends may leave the box around them by so many mm, or by half their distance if that is more."""


@dataclass(frozen=True, eq=False)
class Join:
    """A way across a gap.

    Attributes:
        path: (n, 3) voxels (k, j, i) from end to end, both included.
        length: mm of it outside the mask.
    """

    path: np.ndarray
    length: float


@dataclass(frozen=True, eq=False)
class Line:
    """One way through the whole tube.

    Attributes:
        path: (n, 3) voxels (k, j, i), each a neighbor of the one before.
        bridged: (n,) bool, which of them are ways across gaps.
        joins: the gaps, in the order in which they were closed.
    """

    path: np.ndarray
    bridged: np.ndarray
    joins: tuple[Join, ...] = ()


def travel_cost(mask: np.ndarray, image: np.ndarray | None) -> np.ndarray:
    """What a millimeter through each voxel costs.

    Within the mask 0.1. Outside 1, and with an image up to 4 more, as much as the voxel's intensity differs from what
    is usual in the tube: by how much its distance from the median of the tube's voxels exceeds 1.5, in units of their
    spread (1.48 median absolute deviations, at least a twentieth of the range of the image in this box).

    Args:
        mask: (k, j, i) bool, with some voxels set.
        image: (k, j, i) on the same grid, or None: the shortest way then counts.
    """
    cost = np.ones(mask.shape)
    if image is not None:
        values = np.asarray(image, float)
        own = values[mask]
        middle = np.median(own)
        low, high = np.percentile(values, (5, 95))
        spread = max(1.4826 * float(np.median(np.abs(own - middle))), 0.05 * float(high - low), 1e-12)
        cost += np.clip(np.abs(values - middle) / spread - USUAL, 0.0, UNLIKE)
    cost[mask] = INSIDE
    return cost


def join_pieces(
    paths: Sequence[np.ndarray],
    mask: np.ndarray,
    image: np.ndarray | None,
    spacing: Spacing,
    limit: float,
    name: str,
    scale: float = 0.0,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Line:
    """Join ends until one way is left.

    The two ends that are joined next are the nearest ones of different parts, where a distance counts up to three
    times if it does not go on in the direction in which the two parts end (so a turn back is the last choice). Each
    pair of ends is joined by the way of least cost (:func:`travel_cost`).

    Args:
        paths: (n, 3) voxels of each part from end to end.
        mask: (k, j, i) bool, all parts.
        image: (k, j, i) or None.
        spacing: mm, (k, j, i).
        limit: longest gap in mm.
        name: of the mask, for messages.
        scale: mm that a path may end before the mask does.
        progress: called with the done share.

    Raises:
        ContentError: a gap is longer than the limit.
    """
    lines = [Line(path, np.zeros(len(path), bool)) for path in paths]
    sizes = np.asarray(spacing, float)
    total = len(lines)
    while len(lines) > 1:
        progress((total - len(lines)) / total)
        a, b, flip_a, flip_b = min(_choices(lines, sizes), key=lambda choice: choice[0])[1]
        first, second = (_turned(lines[number], flip) for number, flip in ((a, flip_a), (b, flip_b)))
        distance = float(np.linalg.norm((second.path[0] - first.path[-1]) * sizes)) - 4.0 * scale
        if distance > limit:  # then no way is shorter, and none needs to be looked for
            raise _too_long(name, distance, limit)
        join = _least_cost(first.path[-1], second.path[0], mask, image, sizes)
        if join.length > limit:
            raise _too_long(name, join.length, limit)
        between = join.path[1:-1]
        joined = Line(
            np.concatenate((first.path, between, second.path)),
            np.concatenate((first.bridged, np.ones(len(between), bool), second.bridged)),
            (*first.joins, *second.joins, join),
        )
        lines = [line for number, line in enumerate(lines) if number not in (a, b)] + [joined]
    return lines[0]


def _too_long(name: str, length: float, limit: float) -> ContentError:
    return ContentError(
        f"{name}: the parts of the tube are {length:.0f} mm apart or more, and gaps of at most {limit:g} mm are "
        "bridged. Allow a longer gap, or remove the part that does not belong to the tube."
    )


def _choices(lines: Sequence[Line], scale: np.ndarray) -> list[tuple[float, tuple[int, int, bool, bool]]]:
    """For each pair of ends of different parts the weighted distance, the parts, and which of them is to be turned."""
    found = []
    for a, b in combinations(range(len(lines)), 2):
        for flip_a in (False, True):
            for flip_b in (False, True):
                one, other = _turned(lines[a], flip_a).path * scale, _turned(lines[b], flip_b).path * scale
                way = other[0] - one[-1]
                distance = float(np.linalg.norm(way))
                bends = _bend(one[::-1], way) + _bend(other, -way)
                found.append((distance * (1.0 + bends), (a, b, flip_a, flip_b)))
    return found


def _bend(path: np.ndarray, way: np.ndarray, reach: float = 5.0) -> float:
    """0 where ``way`` goes on in the direction in which a path (mm) ends at its first point, 1 where it turns back."""
    steps = path - path[0]
    far = np.flatnonzero(np.linalg.norm(steps, axis=1) >= reach)
    back = steps[far[0] if len(far) else -1]
    size = np.linalg.norm(back) * np.linalg.norm(way)
    return 0.5 if size == 0 else float(0.5 + 0.5 * (back @ way) / size)


def _turned(line: Line, flip: bool) -> Line:
    return Line(line.path[::-1], line.bridged[::-1], line.joins) if flip else line


def _least_cost(
    start: np.ndarray, end: np.ndarray, mask: np.ndarray, image: np.ndarray | None, scale: np.ndarray
) -> Join:
    from skimage.graph import MCP_Geometric

    apart = np.linalg.norm((end - start) * scale)
    margin = np.ceil(max(MARGIN, 0.5 * apart) / scale).astype(int)
    low = np.maximum(np.minimum(start, end) - margin, 0)
    high = np.minimum(np.maximum(start, end) + margin + 1, mask.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    cost = travel_cost(mask[box], None if image is None else image[box])
    ways = MCP_Geometric(cost, fully_connected=True, sampling=tuple(scale))
    ways.find_costs([tuple(start - low)], [tuple(end - low)])
    path = np.array(ways.traceback(tuple(end - low))) + low
    steps = np.linalg.norm(np.diff(path, axis=0) * scale, axis=1)
    outside = ~mask[tuple(path.T)]
    return Join(path, float((steps * 0.5 * (outside[:-1].astype(float) + outside[1:])).sum()))
