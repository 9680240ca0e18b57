"""Two well-known ways from strokes to an object, on the same region and grid as the online segmenter.

Both need marks of both sides, which a first stroke does not give; the region's border is taken as outside, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from MedAILib.image import Image
from MedAILib.interactive.marks import Marks
from MedAILib.interactive.online.region import Region, region_around
from MedAILib.interactive.segmenter import Answer, go_on

CELLS = 150_000
MARGIN = 1.5
LEAST = 6.0


class Peer(ABC):
    """Answers from all marks alone; the object as it is does not count.

    Args:
        image: that is segmented.
    """

    def __init__(self, image: Image) -> None:
        self._image = image

    def answer(self, label: int, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on) -> Answer:
        """See :class:`MedAILib.interactive.segmenter.Segmenter`."""
        low, high = marks.inside.min(0), marks.inside.max(0) + 1
        spacing = self._image.spacing
        margin = MARGIN * max(float(np.linalg.norm((high - low - 1) * spacing)), LEAST)
        bounds = slice(0, current.shape[0]), slice(0, current.shape[1]), slice(0, current.shape[2])
        region = region_around(low, high, margin, bounds, spacing, CELLS)
        values = region.coarse(torch.as_tensor(np.asarray(self._image.array[region.box], np.float32))).numpy()
        seeds = _seeds(region, marks, current.shape)
        found = torch.as_tensor(self.divided(values, seeds, region.spacing).astype(np.float32))
        # All that was found before and lies beyond the region goes: only marks count.
        result = np.zeros(current.shape, bool)
        result[region.box] = region.fine(found).numpy() > 0.5
        return Answer(bounds, result)

    @abstractmethod
    def divided(self, values: np.ndarray, seeds: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """How much each cell (k, j, i) belongs to the object, from seeds: 1 inside, 2 outside, 0 unknown."""


class RandomWalker(Peer):
    """scikit-image's, with its own settings and conjugate gradients."""

    def divided(self, values: np.ndarray, seeds: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        from skimage.segmentation import random_walker

        scaled = np.clip(_scaled(values), 0.0, 1.0)
        return random_walker(scaled, seeds, mode="cg_j", spacing=spacing, return_full_prob=True)[0]


class GrowCut(Peer):
    """Each cell takes the label of the seed from which gray values change least (Zhu et al. 2014).

    That is what the automaton of Vezhnevets and Konouchine 2005 arrives at if strength is lost by the sum of the
    differences; Slicer's "Grow from seeds" computes it so. Neighbors are the 6 next ones.
    """

    def divided(self, values: np.ndarray, seeds: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        values, number = _scaled(values), np.arange(values.size).reshape(values.shape)
        pairs, costs = [], []
        for axis, size in enumerate(spacing):
            ahead, behind = (np.moveaxis(number, axis, 0)[part].ravel() for part in (slice(1, None), slice(None, -1)))
            pairs.append((ahead, behind))
            # A little for the way itself, so that ties go to the nearest seed.
            costs.append(np.abs(values.ravel()[ahead] - values.ravel()[behind]) + 1e-4 * size)
        rows, columns = (np.concatenate(each) for each in zip(*pairs, strict=True))
        graph = coo_matrix((np.concatenate(costs), (rows, columns)), (values.size, values.size)).tocsr()
        places = np.flatnonzero(seeds.ravel())
        found = dijkstra(graph, False, places, return_predecessors=True, min_only=True)
        return (seeds.ravel()[found[2]] == 1).reshape(values.shape)


def _scaled(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, [0.005, 0.995])
    return (values - low) / max(high - low, 1e-6)


def _seeds(region: Region, marks: Marks, volume: tuple[int, ...]) -> np.ndarray:
    """Marks of both sides; the border of the region is outside where the volume goes on behind it."""
    seeds = np.zeros(region.shape, np.int32)
    for axis, (side, end) in enumerate(zip(region.box, volume, strict=True)):
        faces = np.moveaxis(seeds, axis, 0)
        if side.start > 0:
            faces[0] = 2
        if side.stop < end:
            faces[-1] = 2
    for voxels, value in ((marks.outside, 2), (marks.inside, 1)):
        seeds[tuple(region.cells(region.local(voxels)).T)] = value
    if not (seeds == 2).any():
        seeds[tuple(np.array(region.shape) - 1)] = 2
    return seeds
