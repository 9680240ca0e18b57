"""A trained network as a segmenter, and as the opinion that another one starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import ModelError
from ...image import Image
from ...inference.devices import choose
from ...models.weights import build_network
from ...networks.promptable import PromptableUNet
from ..marks import Box, Marks
from ..segmenter import Answer, go_on
from .card import FOLDER, ClicksCard, read_clicks_card
from .obedience import agrees, obeying
from .sight import Sight


class NetworkSegmenter:
    """Answers prompts on one image with a trained network.

    A mask from elsewhere is corrected. One that this object made from nothing, which it knows by label and size, may
    also be found anew from all its prompts; a segmenter that was made anew corrects it.

    Args:
        image: (k, j, i), finite values of any scale.
        network: card, or folder of a network; the one that comes with MedAI by default.
        device: "auto", "cpu", "cuda" …

    Raises:
        ModelError: there is no such network, it is damaged, was not trained, or does not answer prompts.
        DeviceError: the device is not there.
    """

    def __init__(self, image: Image, network: ClicksCard | str | Path = FOLDER, device: str = "cpu") -> None:
        self.image = image
        self.card = network if isinstance(network, ClicksCard) else read_clicks_card(network)
        built, place = build_network(self.card), choose(device).torch
        if not isinstance(built, PromptableUNet):
            raise ModelError(f"{self.card.path}: the network {self.card.network!r} does not answer prompts in volumes.")
        self.sight = Sight(built, image, place)
        self._own: set[tuple[int, int]] = set()

    def answer(self, label: int, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on) -> Answer:
        """See :class:`~MedAILib.interactive.segmenter.Segmenter`.

        A mask that is there changes in one piece with the newest prompt only, and not at all where it agrees with all
        prompts.
        """
        if len(marks.newest) and current.any() and agrees(marks, current):
            k, j, i = (slice(int(a), int(b) + 1) for a, b in zip(marks.newest.min(0), marks.newest.max(0), strict=True))
            box = k, j, i
            return Answer(box, current[box].copy())
        voxels = int(np.count_nonzero(current))
        own = voxels == 0 or (label, voxels) in self._own
        box, likely = self.sight.probability(marks, current, check, own)
        found = obeying(likely, box, marks, current[box], self.image.spacing)
        if own:
            self._own.add((label, voxels + int(np.count_nonzero(found)) - int(np.count_nonzero(current[box]))))
        return Answer(box, found)

    def probability(
        self, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on
    ) -> tuple[Box, np.ndarray]:
        """See :class:`~MedAILib.interactive.segmenter.Prior`."""
        return self.sight.probability(marks, current, check)
