"""Answers prompts on any image at once: it learns from the gray values that the user marks, and from nothing else.

A prompt says what is nearby. How near is measured along the paths of least change in gray value (geodesic distance, in
the spirit of Bai and Sapiro 2007) in units of the prompt's own size, so that a long stroke means a large object. From
what that says of each voxel, from what the gray values say, and from the object as it is now, a random walker (Grady
2005) makes the new object; what was marked is held fast. Only what hangs together with the newest prompt changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ...checks import check_scalar_volume
from ...image import Image
from ..marks import Marks
from ..segmenter import Answer, Prior, go_on
from .geodesic import FAR, geodesic
from .gray import gray_of
from .region import Region, region_around
from .walker import walk


@dataclass(frozen=True)
class Settings:
    """What was chosen by trying, see Testing/Benchmarks/interactive.md.

    Attributes:
        margin: of the region around a prompt, in units of its length.
        growth: of the margin, where the change reaches the region's border.
        growths: at most.
        cells: of the working grid.
        smooth: of the gray values, in units of the finest spacing.
        strange: how much longer a way is for each spread that gray values are off.
        reach: how far a prompt is heard, in units of its length.
        steep: how fast that ends.
        trust: in the evidence, beside an edge between equal neighbors.
        gray: weight of the gray values' likeness.
        kept: of the object as it is.
        steps: of the random walker.
    """

    margin: float = 1.5
    growth: float = 1.6
    growths: int = 2
    cells: int = 150_000
    smooth: float = 0.7
    strange: float = 1.0
    reach: float = 2.0
    steep: float = 3.0
    trust: float = 0.05
    gray: float = 0.5
    kept: float = 2.0
    steps: int = 60


class OnlineSegmenter:
    """Implements :class:`MedAILib.interactive.segmenter.Segmenter` without any training beforehand.

    Args:
        image: (k, j, i), any real numbers.
        device: of the computations.
        prior: a trained network's opinion, which joins the evidence.
        settings: for experiments.

    Raises:
        ContentError, GeometryError: the image cannot be used.
    """

    def __init__(
        self, image: Image, device: str = "cpu", prior: Prior | None = None, settings: Settings = Settings()
    ) -> None:
        self._image, _ = check_scalar_volume(image, slice_allowed=True)
        self._device = torch.device(device)
        self._prior, self._settings = prior, settings

    def answer(self, label: int, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on) -> Answer:
        """See :class:`MedAILib.interactive.segmenter.Segmenter`."""
        settings, spacing = self._settings, self._image.spacing
        low, high = marks.newest.min(0), marks.newest.max(0) + 1
        length = max(float(np.linalg.norm((high - low - 1) * spacing)), 6.0)
        margin, left = settings.margin * length, settings.growths
        while True:
            region = region_around(low, high, margin, self._image.shape, spacing, settings.cells)
            found = self._found(region, marks, current[region.box], length, check)
            changed = found != current[region.box]
            few = 0.1 * np.count_nonzero(changed) ** (2 / 3)
            if left == 0 or region.touches(changed, self._image.shape) <= few:
                return Answer(region.box, found)
            margin, left = margin * settings.growth, left - 1

    def _found(
        self, region: Region, marks: Marks, current: np.ndarray, length: float, check: Callable[[], None]
    ) -> np.ndarray:
        """The object in a region, bool of its box's shape."""
        settings = self._settings
        inside, outside, newest = (region.local(each) for each in (marks.inside, marks.outside, marks.newest))
        values = torch.as_tensor(np.asarray(self._image.array[region.box], np.float32), device=self._device)
        gray = gray_of(region.coarse(values), region.cells(newest), region.spacing, settings.smooth)
        start = _marked(region, newest, FAR, 0.0, self._device)
        away = geodesic(1.0 + settings.strange * gray.strangeness, start, region.spacing, 2, check) / length
        near = settings.steep * (settings.reach - away)
        fixed = _marked(region, np.concatenate([inside, outside]), 0.0, 1.0, self._device) > 0
        truth = _marked(region, inside, 0.0, 1.0, self._device)
        edges = gray.edges

        def walked(evidence: torch.Tensor) -> torch.Tensor:
            probable = torch.sigmoid(evidence)
            trust = torch.full_like(probable, settings.trust)
            return walk(edges, probable, trust, fixed, torch.where(fixed, truth, probable), settings.steps, check)

        if not current.any():
            first = (walked(near) > 0.5).float()
            x = walked(0.5 * near + settings.gray * gray.likeness(first, torch.ones_like(first)))
        else:
            now = region.coarse(torch.as_tensor(current, device=self._device).float())
            sign = 1.0 if marks.positive else -1.0
            known = torch.where(fixed, truth, now)
            like = gray.likeness(known, torch.where(fixed, 5.0, torch.sigmoid(-near))).clamp(-4.0, 4.0)
            far = (away / settings.reach).clamp_max(1.0)
            x = walked(sign * near.clamp_min(0.0) + settings.kept * (2.0 * now - 1.0) * far + settings.gray * like)
        return _obeying(region.fine(x).cpu().numpy() > 0.5, current, inside, outside, newest, marks.positive)


def _marked(region: Region, at: np.ndarray, before: float, value: float, device: torch.device) -> torch.Tensor:
    """The working grid, filled, with another value where voxels (n, 3) of the box lie."""
    grid = torch.full(region.shape, before, device=device)
    k, j, i = torch.as_tensor(region.cells(at), device=device).unbind(1)
    grid[k, j, i] = value
    return grid


def _obeying(
    found: np.ndarray, current: np.ndarray, inside: np.ndarray, outside: np.ndarray, newest: np.ndarray, positive: bool
) -> np.ndarray:
    """The object with all marks obeyed, changed only where that hangs together with the newest ones."""
    from skimage.measure import label

    changed = found & ~current if positive else current & ~found
    changed[tuple(newest.T)] = True
    parts = label(changed, connectivity=1)
    changed &= np.isin(parts, np.unique(parts[tuple(newest.T)]))
    result = current | changed if positive else current & ~changed
    result[tuple(inside.T)] = True
    result[tuple(outside.T)] = False
    return result
