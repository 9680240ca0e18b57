"""Networks that see one slice at a time, as a segmenter of volumes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...image import Image
from ...inference.devices import choose
from ...models.weights import build_network
from ..marks import Box, Marks
from ..segmenter import Answer, go_on
from .card import SliceCard, read_slice_card
from .planes import changed_box, numbers, plane_axis, prompts_on
from .readers import reader

NOTHING_FOUND = "The network found no object where you marked one. Mark more of it, or draw a box around it."
_KEPT = 16
"""Slices of which is kept what the network sees: 4 MiB of SAM, 12 MiB of SPPNet."""
_LOW, _HIGH = 0.5, 99.5
_SAMPLE = 200_000


class SliceSegmenter:
    """Answers prompts with a network that a user brings, on the slices that carry them and on no other.

    A slice on which the object already is as the prompts say is left as it is.

    Args:
        image: (k, j, i).
        network: card, or folder of a network.
        device: "auto", "cpu", "cuda" …

    Raises:
        ModelError: there is no such network, its weights are missing or damaged, it was not trained, or it does not
            answer on slices.
        DeviceError: the device is not there.
    """

    def __init__(self, image: Image, network: SliceCard | str | Path, device: str = "cpu") -> None:
        self.image = image
        self.card = network if isinstance(network, SliceCard) else read_slice_card(network)
        self.device = choose(device).torch
        self._reader = reader(build_network(self.card).float().to(self.device), self.card)
        self._window = self.card.window or _percentiles(image.array)
        self._seen: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._frames: dict[int, Box | None] = {}

    def answer(self, label: int, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on) -> Answer:
        """See :class:`~MedAILib.interactive.segmenter.Segmenter`."""
        axis = plane_axis(self.image, marks.newest)
        found: dict[int, np.ndarray] = {}
        notes: tuple[str, ...] = ()
        for number in numbers(marks, axis, current, marks.frame != self._frames.get(label)):
            prompts = prompts_on(marks, axis, number, current, label)
            beyond = prompts.frame is not None and prompts.frame[0].stop == 0
            if beyond or prompts.agree:
                found[number] = prompts.obeyed(prompts.current)
                continue
            check()
            with torch.inference_mode():
                mask = self._reader.answer(self._look(axis, number), prompts)
            if mask is not None and not mask.any() and len(prompts.inside):
                notes = (NOTHING_FOUND,)
            found[number] = prompts.obeyed(prompts.current if mask is None else mask)
        self._frames[label] = marks.frame
        box, inside = changed_box(axis, found, current)
        return Answer(box, inside, notes)

    def _look(self, axis: int, number: int) -> Any:
        """What the network sees on a slice, computed once."""
        key = (axis, number)
        if key not in self._seen:
            low, high = self._window
            values = np.nan_to_num(self.image.array.take(number, axis).astype(np.float32), nan=low)
            picture = torch.from_numpy(np.clip((values - low) / (high - low), 0.0, 1.0)).to(self.device)
            rows, columns = (step for other, step in enumerate(self.image.spacing) if other != axis)
            self._seen[key] = self._reader.look(picture, (rows, columns))
            while len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        return self._seen[key]


def _percentiles(array: np.ndarray) -> tuple[float, float]:
    """The intensities that become black and white."""
    values = array.reshape(-1)[:: max(1, array.size // _SAMPLE)]
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, [_LOW, _HIGH])
    return float(low), float(high) if high > low else float(low) + 1.0
