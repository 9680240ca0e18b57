"""One smooth line through a tube, whatever number of parts its mask has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..image import Image
from .curve import arc_lengths, at_lengths, resampled, smoothed, tangents
from .gaps import Join, join_pieces
from .pieces import find_pieces

ROUNDS = 8
"""How often the line is moved to the middle of the mask; smoothed by less than its radius, it would begin to wind."""
NEAR = 2.0
"""Standard deviation, in the larger of spacing and radius, of what the cross-section is a mean of."""
ENOUGH = 50_000
"""Voxels of the mask that the middle is taken from at most."""


@dataclass(frozen=True, eq=False)
class Centerline:
    """The middle of a tube.

    Attributes:
        points: (n, 3) RAS mm, evenly apart by half the smallest spacing; the end that is further right, anterior or
            superior (whichever the tube extends along most) is the last.
        bridged: (n,) bool, which points lie in gaps.
        radius: (n,) mm, of a circle with the area of the mask's cross-section; in gaps between those at its ends.
        joins: the gaps.
        mask: (k, j, i) bool, the parts that the line goes through.
        parts: how many parts there were.
        specks: parts that were too small to count.
        side: mm that the longest branch goes away from the line.
    """

    points: np.ndarray
    bridged: np.ndarray
    radius: np.ndarray
    joins: tuple[Join, ...]
    mask: np.ndarray
    parts: int
    specks: int
    side: float

    @property
    def length(self) -> float:
        """Of the line in mm."""
        return float(arc_lengths(self.points)[-1])


def find_centerline(
    mask: Image,
    image: np.ndarray | None = None,
    limit: float = 50.0,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Centerline:
    """The line through a mask of one tube in one or several parts.

    Thinning and ways of least cost give a path of voxels. It is smoothed (by a Gaussian of the largest spacing, or of
    the tube's radius if that is more) and moved to the middle of the mask, which makes it a curve between voxels: each
    voxel of the mask belongs to the nearest point, and each point goes to the mean of those around it, across the tube;
    in gaps it stays. Both ends are continued straight to where the mask ends, because thinning makes a tube shorter.
    Without an image, nothing but their shortness speaks for the ways across gaps; they are then replaced by cubic
    curves that go on as the parts end.

    Args:
        mask: (k, j, i), the tube is what is not 0.
        image: (k, j, i) on the mask's grid; the ways across gaps then prefer what looks like the tube.
        limit: longest gap in mm.
        progress: called with the done share.

    Raises:
        ContentError: see :func:`find_pieces` and :func:`join_pieces`.
    """
    found = find_pieces(mask.array != 0, mask.spacing, mask.name)
    progress(0.3)
    paths = [piece.path for piece in found.pieces]
    # Details finer than the tube is wide are no course of it.
    scale = max(*mask.spacing, *(piece.radius for piece in found.pieces))
    line = join_pieces(
        paths, found.mask, image, mask.spacing, limit, mask.name, scale, lambda share: progress(0.3 + 0.5 * share)
    )
    step = 0.5 * min(mask.spacing)
    coarse = to_world(mask.affine, line.path)
    if len(coarse) == 1:  # a crumb of a few voxels still has a place and a direction
        coarse = coarse + np.outer((-0.5, 0.5), mask.affine[:3, 2])
        line = type(line)(np.repeat(line.path, 2, axis=0), np.zeros(2, bool), line.joins)
    lengths = arc_lengths(coarse)
    points = resampled(coarse, step)
    share = np.linspace(0.0, lengths[-1], len(points))
    bridged = line.bridged[np.searchsorted(0.5 * (lengths[1:] + lengths[:-1]), share)]
    if line.joins:
        bridged &= ~_set_at(found.mask, mask.affine, points)
    voxels = to_world(mask.affine, np.argwhere(found.mask))
    points = smoothed(points, scale / step)
    points, bridged = _continued(points, bridged, found.mask, mask.affine, step, scale)
    volume = float(np.prod(mask.spacing))
    points, radius = _centered(points, bridged, voxels, volume, step, scale)
    if image is None and bridged.any():
        points, radius = _centered(_bowed(points, bridged, scale / step), bridged, voxels, volume, step, scale)
    if _runs_down(points):
        points, bridged, radius = points[::-1], bridged[::-1], radius[::-1]
    progress(1.0)
    sides = max(piece.side for piece in found.pieces)
    return Centerline(points, bridged, radius, line.joins, found.mask, len(paths), found.specks, sides)


def to_world(affine: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """RAS mm (n, 3) of voxels (n, 3) in (k, j, i)."""
    return voxels[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]


def to_voxels(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Voxel coordinates (…, 3) in (k, j, i) of points (…, 3) in RAS mm."""
    back = np.linalg.inv(affine)
    found: np.ndarray = (points @ back[:3, :3].T + back[:3, 3])[..., ::-1]
    return found


def _set_at(mask: np.ndarray, affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n,) whether the voxel nearest to each point is set; outside the grid none is."""
    voxels = np.floor(to_voxels(affine, points) + 0.5).astype(int)
    inside = ((voxels >= 0) & (voxels < mask.shape)).all(axis=1)
    found = np.zeros(len(points), bool)
    found[inside] = mask[tuple(voxels[inside].T)]
    return found


def _continued(
    points: np.ndarray, bridged: np.ndarray, mask: np.ndarray, affine: np.ndarray, step: float, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """The line with straight ends, in the direction of its last two radii, that reach to where the mask ends."""
    back = min(len(points) - 1, max(1, round(2.0 * radius / step)))
    added = []
    for end, before in ((points[0], points[back]), (points[-1], points[-1 - back])):
        direction = (end - before) / max(float(np.linalg.norm(end - before)), 1e-12)
        # Thinning and cutting took about two radii away; what reaches farther is no end of the tube.
        ray = end + np.outer(np.arange(1, 2 + int(3.0 * radius / step)) * step, direction)
        outside = np.flatnonzero(~_set_at(mask, affine, ray))
        added.append(ray[: outside[0] if len(outside) else len(ray)])
    longer = np.concatenate((added[0][::-1], points, added[1]))
    return longer, np.concatenate((np.zeros(len(added[0]), bool), bridged, np.zeros(len(added[1]), bool)))


def _bowed(points: np.ndarray, bridged: np.ndarray, radius: float) -> np.ndarray:
    """The points (n, 3) with cubic Hermite curves across the gaps; ``radius`` of the tube is in points."""
    result = points.copy()
    edges = np.flatnonzero(np.diff(bridged.astype(int)))
    reach = max(2, round(6.0 * radius))
    for first, last in zip(edges[::2], edges[1::2] + 1, strict=True):
        before, after = max(0, first - reach), min(len(points) - 1, last + reach)
        if min(first - before, after - last) < 2:
            continue  # a crumb tells no direction
        length = np.linalg.norm(points[last] - points[first])
        # Chords lag behind a bend by half their length; the curve's direction at the ends is theirs, extrapolated.
        leaving, arriving = (
            2.0 * (points[one] - points[(one + other) // 2]) / abs(one - (one + other) // 2)
            - (points[one] - points[other]) / abs(one - other)
            for one, other in ((first, before), (last, after))
        )
        leaving, arriving = (way / max(float(np.linalg.norm(way)), 1e-12) * length for way in (leaving, -arriving))
        t = np.linspace(0.0, 1.0, last - first + 1)[:, np.newaxis]
        result[first : last + 1] = (
            (2 * t**3 - 3 * t**2 + 1) * points[first]
            + (t**3 - 2 * t**2 + t) * leaving
            + (3 * t**2 - 2 * t**3) * points[last]
            + (t**3 - t**2) * arriving
        )
    return result


def _centered(
    points: np.ndarray, bridged: np.ndarray, voxels: np.ndarray, volume: float, step: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """The line moved to the middle of the voxels (n, 3) of the mask, and its radius."""
    from scipy.spatial import cKDTree

    every = max(1, len(voxels) // ENOUGH)
    sample = voxels[::every]
    radius = np.zeros(len(points))
    for round_ in range(ROUNDS + 1):
        _, owner = cKDTree(points).query(sample)
        count = np.bincount(owner, minlength=len(points)).astype(float)
        area = count * every * volume / step
        known = (~bridged).astype(float)
        width = NEAR * scale / step
        radius = np.sqrt(_spread(area * known, width) / np.maximum(_spread(known, width), 1e-9) / np.pi)
        if round_ == ROUNDS:
            break
        along = tangents(points)
        offset = sample - points[owner]
        offset -= (offset * along[owner]).sum(axis=1, keepdims=True) * along[owner]
        total = np.stack([np.bincount(owner, column, minlength=len(points)) for column in offset.T], axis=1)
        narrow = scale / step
        weight = _spread(count, narrow)
        moved = np.stack([_spread(column, narrow) for column in total.T], axis=1)
        # One voxel's worth of staying where it is: where the mask has nothing to say, as in gaps, nothing moves.
        points = points + moved / (weight + 1.0 / narrow)[:, np.newaxis]
        lengths = arc_lengths(points)
        even = np.linspace(0.0, lengths[-1], len(points))
        points = smoothed(at_lengths(points, lengths, even), narrow)
    return points, radius


def _spread(values: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian along (n,) values, which are 0 beyond the ends."""
    from scipy.ndimage import gaussian_filter1d

    found: np.ndarray = gaussian_filter1d(values, sigma, mode="constant")
    return found


def _runs_down(points: np.ndarray) -> bool:
    extent = points[-1] - points[0]
    return bool(extent[np.abs(extent).argmax()] < 0)
