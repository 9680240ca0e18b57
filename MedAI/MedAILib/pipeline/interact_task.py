"""The worker's tasks "interact" and "refine"."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..image import Image
from ..inference.devices import choose
from ..interactive.answering import answer_prompts
from ..interactive.network.card import CARD_NAME, FOLDER
from ..interactive.network.segmenter import NetworkSegmenter
from ..interactive.request import Engine, Question, Reply, kept_image, write_reply
from ..interactive.segmenter import Answer, Segmenter
from ..interactive.slices.card import CARD_NAME as SLICES

ANSWERING = "Answering"
REFINING = "Refining the boundary"
_VOLUMES = 2
"""How many volumes stay warm; what is computed of one can be larger than the volume."""

Arrays = dict[str, np.ndarray]


class Volume:
    """A volume in the worker, and those who have worked on it.

    Args:
        image: mapped from the client's files.
        device: the name that the user chose.

    Raises:
        DeviceError: it is not there.
    """

    def __init__(self, image: Image, device: str) -> None:
        self.image, self.device = image, choose(device).name
        self._segmenters: dict[Engine, tuple[Segmenter, str]] = {}

    def segmenter(self, engine: Engine) -> tuple[Segmenter, str]:
        """Who answers, and what it is called; made when first asked for.

        Raises:
            ModelError: the network is missing, damaged or untrained.
        """
        if engine not in self._segmenters:
            self._segmenters[engine] = self._make(engine)
        return self._segmenters[engine]

    def _make(self, engine: Engine) -> tuple[Segmenter, str]:
        if engine.name == "network":
            return self._network(engine.model), "network"
        from ..interactive.online.segmenter import OnlineSegmenter

        if engine.name == "online" or (engine.model is None and not (FOLDER / CARD_NAME).is_file()):
            return OnlineSegmenter(self.image, self.device), "online"
        network = self._network(engine.model)
        if not isinstance(network, NetworkSegmenter):
            return network, "network"
        return OnlineSegmenter(self.image, self.device, network), "online with network"

    def _network(self, model: str | None) -> Segmenter:
        if model is not None and (Path(model) / SLICES).is_file():
            from ..interactive.slices.segmenter import SliceSegmenter

            return SliceSegmenter(self.image, model, self.device)
        return NetworkSegmenter(self.image, model or FOLDER, self.device)


def run(parameters: dict[str, Any], arrays: Arrays, context: Any) -> tuple[dict[str, Any], Arrays]:
    """Answer what was drawn; parameters and arrays are those of :meth:`MedAILib.interactive.request.Question.message`.

    Args:
        parameters: plain JSON values.
        arrays: "current", the box of the mask.
        context: the worker's: ``progress(stages)``, ``warm`` (kept between jobs), ``device``.
    """

    def answer(volume: Volume, question: Question, check: Callable[[], None]) -> tuple[Answer, str]:
        segmenter, name = volume.segmenter(_for(question))
        found = answer_prompts(segmenter, volume.image, question.prompts, question.label, question.current, check)
        return found, name

    return _run(parameters, arrays, context, ANSWERING, answer)


def run_refine(parameters: dict[str, Any], arrays: Arrays, context: Any) -> tuple[dict[str, Any], Arrays]:
    """Refine the boundary of the mask; arguments as of :func:`run`."""
    from ..interactive.refine import refine

    def answer(volume: Volume, question: Question, check: Callable[[], None]) -> tuple[Answer, str]:
        found = refine(volume.image, question.current, question.width, volume.device)
        return Answer(found.box, found.inside, (_change(found.before_ml, found.after_ml),)), "edges"

    return _run(parameters, arrays, context, REFINING, answer)


def _for(question: Question) -> Engine:
    """Who answers: of those that are automatic, the better one by Testing/Benchmarks/interactive.md.

    A stroke tells the size of the object by its length; after a click the network's opinion helps.
    """
    engine = question.engine
    stroke = bool(question.prompts) and question.prompts[-1].kind != "point"
    return Engine("online") if stroke and engine == Engine("auto") else engine


def _change(before: float, after: float) -> str:
    """What a refinement did to the volume, as a sentence."""
    share = f" ({100.0 * (after / before - 1.0):+.1f} %)" if before > 0 else ""
    return f"Volume {before:.2f} ml before, {after:.2f} ml now{share}."


def _run(
    parameters: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    context: Any,
    stage: str,
    answer: Callable[[Volume, Question, Callable[[], None]], tuple[Answer, str]],
) -> tuple[dict[str, Any], Arrays]:
    progress = context.progress({stage: 1.0})
    progress.stage(stage)
    started = time.perf_counter()
    volume = _volume(parameters, context)
    question = Question.read(parameters, arrays, volume.image.shape)
    found, engine = answer(volume, question, progress.check)
    seconds = time.perf_counter() - started
    return write_reply(Reply(found.box, found.inside, found.notes, engine, seconds, volume.device))


def _volume(parameters: Mapping[str, Any], context: Any) -> Volume:
    """The volume of an earlier job, else one mapped from the client's files; the oldest ones go."""
    key = ("volume", str(parameters["kept"]["folder"]))
    volumes = [known for known in context.warm if isinstance(known, tuple) and known[0] == "volume" and known != key]
    gone = [known for known in volumes if not Path(known[1]).is_dir()]
    for old in {*gone, *volumes[: max(0, len(volumes) - _VOLUMES + 1)]}:
        del context.warm[old]
    volume = context.warm.pop(key, None) or Volume(kept_image(parameters), context.device)
    context.warm[key] = volume
    return volume
