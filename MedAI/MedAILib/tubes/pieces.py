"""The parts of a broken tube, each thinned to a path of voxels from end to end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ContentError
from ..geometry import Spacing
from ..label_boxes import label_boxes
from .curve import arc_lengths

MOST = 64
"""More parts than this are no broken tube."""
LEAST = 4
"""Parts of fewer voxels are specks."""

STUBBY = 6.0
"""A part that is no longer from corner to corner than so many radii tells no direction."""


@dataclass(frozen=True, eq=False)
class Piece:
    """One part.

    Attributes:
        path: (n, 3) voxels (k, j, i) along its middle, each a neighbor of the one before.
        radius: mm, the median along the path of the distance to the nearest voxel outside.
        side: mm from the path to the farthest end of a branch that is not on it.
    """

    path: np.ndarray
    radius: float = 0.0
    side: float = 0.0


@dataclass(frozen=True, eq=False)
class Pieces:
    """All parts.

    Attributes:
        pieces: of the tube.
        mask: (k, j, i) bool, without specks and with cavities filled.
        specks: parts that were left out.
    """

    pieces: tuple[Piece, ...]
    mask: np.ndarray
    specks: int


def find_pieces(mask: np.ndarray, spacing: Spacing, name: str) -> Pieces:
    """Components of a mask (neighbors share at least a corner), thinned to paths.

    Args:
        mask: (k, j, i) bool.
        spacing: mm, (k, j, i).
        name: of the mask, for messages.

    Raises:
        ContentError: nothing is set, only specks are, there are too many parts, or one is a closed ring.
    """
    from scipy.ndimage import binary_fill_holes
    from skimage.measure import label

    parts = label(mask, connectivity=3)
    boxes = label_boxes(parts)
    if not boxes:
        raise ContentError(f"{name} has no voxels of the tube. Choose a mask, or a label that occurs in it.")
    kept, pieces, specks = np.zeros(mask.shape, bool), [], 0
    whole = {value: box for value, box in boxes.items() if np.count_nonzero(parts[box] == value) >= LEAST}
    if len(whole) > MOST:
        raise ContentError(
            f"{name} has {len(whole)} separate parts; a broken tube has at most {MOST}. Remove what does not belong "
            "to the tube, then run again."
        )
    for value, box in boxes.items():
        if value not in whole:
            specks += 1
            continue
        part = binary_fill_holes(parts[box] == value)
        kept[box] |= part
        found = thinned(part, spacing, name)
        pieces.append(Piece(found.path + [side.start for side in box], found.radius, found.side))
    if not pieces:
        raise ContentError(f"{name} holds only specks of fewer than {LEAST} voxels. Choose a mask of the tube's parts.")
    return Pieces(tuple(pieces), kept, specks)


def thinned(part: np.ndarray, spacing: Spacing, name: str) -> Piece:
    """The longest way through the skeleton of one part (Lee et al. 1994).

    In the caps of a tube the skeleton runs into corners, so a radius is cut off at both ends of a way that is long
    enough. Thinning can eat up a tube that is two voxels wide from its ends; where the skeleton falls short of the
    part by more than a radius at either end and a voxel, the way of least cost from end to end through the part takes
    its place, which prefers voxels far from the surface. A part hardly longer than wide tells no
    direction, its longest way runs from corner to corner; its middle stands for it.

    Args:
        part: (k, j, i) bool, connected.
        spacing: mm, (k, j, i).
        name: of the mask, for messages.

    Raises:
        ContentError: the part is a closed ring, which has no ends.
    """
    from scipy.ndimage import convolve, distance_transform_edt
    from skimage.graph import MCP_Geometric
    from skimage.morphology import skeletonize

    padded = np.pad(part, 1)
    skeleton = skeletonize(padded).astype(bool)
    neighbors = convolve(skeleton.astype(np.int8), np.ones((3, 3, 3), np.int8), mode="constant")
    if np.count_nonzero(skeleton) > 8 and not (skeleton & (neighbors <= 2)).any():
        raise ContentError(
            f"{name}: the tube is a closed ring, which has no ends. Erase a few voxels of it where it is to be cut "
            "open, then run again."
        )
    depth = distance_transform_edt(padded, spacing)
    side = 0.0
    path, extent = _longest_way(padded, np.ones(padded.shape), spacing)
    thin, kept, radius = np.zeros((0, 3), int), 0.0, 0.0
    if skeleton.any():
        thin, kept = _longest_way(skeleton, np.ones(padded.shape), spacing)
        radius = float(np.median(depth[tuple(thin.T)]))
    if len(thin) and kept >= extent - 2.0 * radius - max(spacing):
        path = thin
        ways = MCP_Geometric(np.where(skeleton, 1.0, -1.0), sampling=spacing)
        costs, _ = ways.find_costs(path)
        side = float(costs[skeleton].max())
    else:
        path, _ = _longest_way(padded, 1.0 / np.maximum(depth, min(spacing)) ** 2, spacing, (path[0], path[-1]))
        radius = float(np.median(depth[tuple(path.T)]))
    if extent < STUBBY * radius:
        voxels = np.argwhere(padded)
        offsets = (voxels - voxels.mean(axis=0)) * np.asarray(spacing)
        path = voxels[[np.linalg.norm(offsets, axis=1).argmin()]]
    along = arc_lengths(path * np.asarray(spacing))
    if along[-1] > 4.0 * radius:
        path = path[(along >= radius) & (along <= along[-1] - radius)]
    return Piece(path - 1, radius, side)


def _longest_way(
    within: np.ndarray, cost: np.ndarray, spacing: Spacing, ends: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, float]:
    """The way (n, 3) between the two voxels that are farthest apart within a connected mask, and its cost.

    Args:
        within: (k, j, i) bool.
        cost: (k, j, i) of a millimeter.
        spacing: mm, (k, j, i).
        ends: two voxels to take instead.
    """
    from skimage.graph import MCP_Geometric

    barred = np.where(within, cost, -1.0)  # a negative cost bars the way

    def from_(start: np.ndarray) -> tuple[np.ndarray, MCP_Geometric]:
        ways = MCP_Geometric(barred, fully_connected=True, sampling=spacing)
        costs, _ = ways.find_costs([tuple(start)])
        return np.where(within, costs, -1.0), ways

    def farthest(costs: np.ndarray) -> np.ndarray:
        return np.array(np.unravel_index(int(costs.argmax()), costs.shape))

    # The voxel farthest from any voxel is an end of the longest way; the one farthest from it is the other.
    first = farthest(from_(np.argwhere(within)[0])[0]) if ends is None else ends[0]
    costs, ways = from_(first)
    last = farthest(costs) if ends is None else ends[1]
    return np.array(ways.traceback(tuple(last))), float(costs[tuple(last)])
