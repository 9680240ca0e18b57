"""Answers prompts on any image at once: it learns from what the user marks, and from nothing else.

A prompt says what is nearby. How near is measured along the paths of least change in gray value (geodesic distance, as
Bai and Sapiro 2007 do) in units of the prompt's own size, so that a long stroke means a large object. A small network
learns what the inside looks like. From both, and from the object as it is, a random walker (Grady 2005) makes the new
object; what was marked is held fast. Only what hangs together with the newest prompt changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ...checks import check_scalar_volume
from ...image import Image
from ...inference.threads import threads_for
from ..marks import Box, Marks
from ..segmenter import NOTHING, Answer, Prior, go_on
from .gray import gray_of
from .learner import Learner
from .region import Region, region_around
from .scene import Scene
from .settings import CHOSEN, Settings
from .size import LOOKED_AT, size_around
from .task import Task, task_of

NOTHING_MARKED = "Nothing was marked as inside, so there is nothing to find. Mark the object first."
FLAT = (
    "The gray values around the mark are all the same, so nothing tells where the object ends: "
    "the answer follows the size of the mark. Draw its outline with a lasso, or mark what does not belong to it."
)
_ERROR = 0.8
"""Radius that an error around a point is taken to have at most, in units of the object's."""
GOES_ON = "The object may go on beyond the region that was looked at. Mark it there to go on."

_LARGE = 16e6
"""Voxels of a region that takes seconds to go through."""


class OnlineSegmenter:
    """Implements :class:`MedAILib.interactive.segmenter.Segmenter` without any training beforehand.

    What it keeps of a label is the network that learned from its prompts; a new object of this class that is given all
    prompts at once learns it anew.

    Args:
        image: (k, j, i), any real numbers; values that are not finite are taken as the lowest one.
        device: of the computations, a name of torch.
        prior: a trained network's opinion, which joins the evidence.
        settings: for experiments.

    Raises:
        ContentError, GeometryError: the image cannot be used.
    """

    def __init__(
        self, image: Image, device: str = "cpu", prior: Prior | None = None, settings: Settings = CHOSEN
    ) -> None:
        self._image, warnings = check_scalar_volume(image, slice_allowed=True)
        self._warnings = tuple(sentence for _, sentence in warnings)
        self._device = torch.device(device)
        self._prior, self._settings = prior, settings
        self._learners: dict[int, Learner] = {}

    def answer(self, label: int, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on) -> Answer:
        """See :class:`MedAILib.interactive.segmenter.Segmenter`."""
        if marks.empty and not current.any():
            return Answer(NOTHING, np.zeros((0, 0, 0), bool), (NOTHING_MARKED,))
        task = task_of(marks, current, self._image.spacing, self._settings.least)
        if task is None:
            # The object is as the prompt says it should be, or the prompt is a box that says exactly what goes.
            return Answer(NOTHING, np.zeros((0, 0, 0), bool))
        if task.fresh:
            self._learners.pop(label, None)
        answer = self._grown(label, task, marks, current, check)
        warnings, self._warnings = self._warnings, ()
        return replace(answer, notes=warnings + answer.notes)

    def _grown(self, label: int, task: Task, marks: Marks, current: np.ndarray, check: Callable[[], None]) -> Answer:
        """The answer in a region that grows until the change ends within it."""
        settings, image = self._settings, self._image
        bounds = task.bounds(image.shape, image.spacing)
        if task.pointed:
            task = replace(task, length=self._size(task, current, bounds))
        opinion = None if self._prior is None else self._prior.probability(marks, current, check)
        low, high = task.around(opinion)
        margin, left = self._margin(task, low, high), settings.growths
        while True:
            region = region_around(low, high, margin, bounds, image.spacing, settings.cells)
            # So small a grid is quicker on one thread: several wait for each other longer than they work.
            with threads_for(int(np.prod(region.shape))):
                scene = self._scene(region, task, label, opinion)
                found = scene.solved(current[region.box], check)
            found = task.changed(found, current[region.box], region)
            change = found != current[region.box]
            open_ = region.touches(change, bounds) > 0.1 * np.count_nonzero(change) ** (2 / 3)
            if left == 0 or not open_:
                notes = ((FLAT,) if scene.flat else ()) + ((GOES_ON,) if open_ else ())
                return Answer(region.box, found, notes)
            margin, left = margin * settings.growth, left - 1

    def _size(self, task: Task, current: np.ndarray, bounds: Box) -> float:
        """Of the object that points lie in, mm; a stroke tells it by its length."""
        settings, spacing = self._settings, self._image.spacing
        low, high = task.newest.min(0), task.newest.max(0) + 1
        region = region_around(low, high, LOOKED_AT, bounds, spacing, settings.cells)
        values = region.coarse(self._values(region))
        cells = region.cells(region.local(task.newest))
        gray = gray_of(values, cells, region.spacing, settings.smooth, settings.noisy)
        now = region.coarse(torch.as_tensor(current[region.box], device=self._device).float()) > 0.5
        size = size_around(region, gray, task.newest, now != task.positive, task.length)
        if task.fresh:
            return size
        # An error is smaller than the object.
        volume = np.count_nonzero(current) * float(np.prod(spacing))
        return max(task.length, min(size, _ERROR * float(np.cbrt(0.75 / np.pi * volume))))

    def _values(self, region: Region) -> torch.Tensor:
        return torch.as_tensor(np.asarray(self._image.array[region.box], np.float32), device=self._device)

    def _margin(self, task: Task, low: np.ndarray, high: np.ndarray) -> float:
        """What is looked at around voxels from the first (3,) to before the last, mm.

        Of a large volume, where a network has found an object, little more than that, or it would take seconds.
        """
        spacing, margin = self._image.spacing, self._settings.margin * task.length
        wide = np.minimum((high - low) + 2.0 * margin / np.array(spacing), self._image.shape)
        known = float(((high - low) * spacing).max())
        if not task.fresh or wide.prod() < _LARGE or known < 1.5 * task.length:
            return margin
        return min(margin, max(0.5 * task.length, 0.25 * known))

    def _scene(self, region: Region, task: Task, label: int, opinion: tuple[Box, np.ndarray] | None) -> Scene:
        return Scene(region, self._values(region), task, self._learners, label, opinion, self._settings)
