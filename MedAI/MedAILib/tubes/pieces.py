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
    enough.

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
    if not skeleton.any():
        middle = np.argwhere(padded)
        nearest = np.abs(middle - middle.mean(axis=0)).sum(axis=1).argmin()
        return Piece(middle[[nearest]] - 1)
    neighbors = convolve(skeleton.astype(np.int8), np.ones((3, 3, 3), np.int8), mode="constant")
    if not (skeleton & (neighbors <= 2)).any() and np.count_nonzero(skeleton) > 8:
        raise ContentError(
            f"{name}: the tube is a closed ring, which has no ends. Erase a few voxels of it where it is to be cut "
            "open, then run again."
        )
    cost = np.where(skeleton, 1.0, -1.0)  # a negative cost bars the way

    def reached(starts: np.ndarray) -> tuple[np.ndarray, MCP_Geometric]:
        ways = MCP_Geometric(cost, fully_connected=True, sampling=spacing)
        costs, _ = ways.find_costs(starts)
        return np.where(np.isfinite(costs), costs, -1.0), ways

    # The point farthest from any point is an end of the longest way; the point farthest from it is the other.
    first, _ = reached(np.argwhere(skeleton)[:1])
    one = np.unravel_index(int(first.argmax()), first.shape)
    second, ways = reached(np.array([one]))
    path = np.array(ways.traceback(np.unravel_index(int(second.argmax()), second.shape)))
    side, _ = reached(path)
    radius = float(np.median(distance_transform_edt(padded, spacing)[tuple(path.T)]))
    along = arc_lengths(path * np.asarray(spacing))
    if along[-1] > 4.0 * radius:
        path = path[(along >= radius) & (along <= along[-1] - radius)]
    return Piece(path - 1, radius, float(side.max()))
