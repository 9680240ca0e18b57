"""The trained network as a segmenter, and as the opinion that another one starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ...errors import ModelError
from ...image import Image
from ...inference.devices import choose
from ...inference.precision import channels_last, choose_precision, computing_in
from ...models.weights import build_network
from ...networks.promptable import PromptableUNet
from ..marks import Box, Marks
from ..segmenter import Answer, go_on
from .card import FOLDER, ClicksCard, read_clicks_card
from .encoding import View, encode
from .obedience import obeying
from .region import Region, Turn
from .zoom import bounds, first_region, fitted, grown, touches

_GROWTHS = 5


class NetworkSegmenter:
    """Answers prompts on one image with a trained network.

    Args:
        image: (k, j, i), finite values of any scale.
        network: card, or folder of a network; the one that comes with MedAI by default.
        device: "auto", "cpu", "cuda" …

    Raises:
        ModelError: there is no such network, it is damaged, was not trained, or does not answer clicks.
        DeviceError: the device is not there.
    """

    def __init__(self, image: Image, network: ClicksCard | str | Path = FOLDER, device: str = "cpu") -> None:
        self.image = image
        self.card = network if isinstance(network, ClicksCard) else read_clicks_card(network)
        built = build_network(self.card)
        if not isinstance(built, PromptableUNet):
            raise ModelError(f"{self.card.path}: the network {self.card.network!r} does not answer prompts in volumes.")
        self.device = choose(device).torch
        self.network = built.float().to(self.device)
        channels_last(self.network)
        self.precision = choose_precision("auto", self.device)
        self._turn = Turn(image.affine)

    def answer(self, label: int, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on) -> Answer:
        """See :class:`~MedAILib.interactive.segmenter.Segmenter`.

        A mask that is there changes around the newest prompt only, and not at all where the prompt agrees with it.
        """
        at = tuple(marks.newest.T)
        if (
            len(marks.newest)
            and current.any()
            and bool((current[at] == marks.positive).all())
            and _agrees(marks, current)
        ):
            box = _around(marks.newest)
            return Answer(box, current[box].copy())
        box, likely = self.probability(marks, current, check)
        return Answer(box, obeying(likely, box, marks, current[box], self.image.spacing))

    def probability(
        self, marks: Marks, current: np.ndarray, check: Callable[[], None] = go_on
    ) -> tuple[Box, np.ndarray]:
        """See :class:`~MedAILib.interactive.segmenter.Prior`."""
        spacing, shape = self.image.spacing, self.image.shape
        low_high = bounds(current) if current.any() else None
        around = None if low_high is None else _box(*low_high)
        region, known = first_region(marks, around, spacing, shape)
        likely = self._look(region, marks, current, around is not None)
        for _ in range(_GROWTHS):
            larger = grown(region, spacing, shape) if touches(likely > 0.5, region, spacing, shape) else None
            if larger is None:
                break
            check()
            region = larger
            likely = self._look(region, marks, current, around is not None)
        box = region.box(shape, spacing)
        found = region.back(likely, box, spacing)
        if not known and (found > 0.5).any():
            closer = fitted(found > 0.5, box, spacing, shape)
            if not 0.8 < closer.side / region.side < 1.25:
                check()
                box = closer.box(shape, spacing)
                found = closer.back(self._look(closer, marks, current, False), box, spacing)
        return box, found

    def _look(self, region: Region, marks: Marks, current: np.ndarray, masked: bool) -> np.ndarray:
        """Probability in a region, (count, count, count) float32, along the volume's axes."""
        spacing, turn = self.image.spacing, self._turn

        def cube(array: np.ndarray, fill: float) -> torch.Tensor:
            return torch.from_numpy(turn.to(region.sample(array, spacing, fill))).to(self.device)

        def points(voxels: np.ndarray) -> torch.Tensor:
            at = turn.points(region.positions(voxels, spacing), region.count)
            return torch.from_numpy(at).float().to(self.device)

        frame = None
        if marks.frame is not None:
            low = region.positions(np.array([[side.start - 0.5 for side in marks.frame]]), spacing)[0]
            high = region.positions(np.array([[side.stop - 0.5 for side in marks.frame]]), spacing)[0]
            inside = np.zeros((region.count,) * 3, bool)
            first, last = (np.clip(np.rint(ends), 0, region.count).astype(int) for ends in (low + 0.5, high + 0.5))
            inside[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = True
            frame = torch.from_numpy(turn.to(inside)).to(self.device)
        view = View(
            cube(self.image.array, np.nan),
            points(marks.inside),
            points(marks.outside),
            frame,
            cube(current, 0.0) if masked else None,
        )
        seen = encode(view)[None].contiguous(memory_format=torch.channels_last_3d)
        with computing_in(self.precision, self.device):
            likely = torch.sigmoid(self.network(seen).float())[0, 0]
        return turn.back(likely.cpu().numpy())


def _agrees(marks: Marks, current: np.ndarray) -> bool:
    """Whether a mask obeys all marks."""
    if marks.frame is not None:
        beyond = current.copy()
        beyond[marks.frame] = False
        if beyond.any():
            return False
    return bool(current[tuple(marks.inside.T)].all()) and not bool(current[tuple(marks.outside.T)].any())


def _around(voxels: np.ndarray) -> Box:
    return _box(voxels.min(0), voxels.max(0) + 1)


def _box(low: np.ndarray, high: np.ndarray) -> Box:
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return k, j, i
