"""Who is asked about a volume, and under which number each segment is known there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from MedAILib.image import Image
from MedAILib.interactive.prompts import Prompt

from .target import Target


@dataclass(frozen=True)
class Engine:
    """Who answers, and where it computes.

    Attributes:
        name: one of :data:`MedAILib.interactive.request.ENGINES`.
        device: of the worker.
        model: folder of a network of the user's own; empty for the one that MedAI brings.
    """

    name: str = "auto"
    device: str = "auto"
    model: str = ""


AUTO = Engine()


def _in_the_worker(image: Image, engine: Engine) -> Any:
    from MedAILib.interactive import request
    from MedAILib.interactive.remote import Assistant

    return Assistant(image, request.Engine(engine.name, engine.model or None), engine.device)


class Assistants:
    """Keeps the last one, so that a volume goes to the worker once.

    Args:
        make: an object like :class:`MedAILib.interactive.remote.Assistant` for an image in its volume's own RAS.
    """

    def __init__(self, make: Callable[[Image, Engine], Any] = _in_the_worker) -> None:
        self._make = make
        self._known: tuple[Any, ...] = ()
        self._assistant: Any = None
        self._volume: Any = None
        self._labels: dict[tuple[str, str], int] = {}

    def of(self, target: Target, engine: Engine) -> Any:
        """The one for a volume as it is now."""
        wanted = (*target.volume_state(), engine)
        if self._assistant is None or self._known != wanted:
            self.close()
            self._assistant, self._known = self._make(target.image(), engine), wanted
            self._volume = target.volume
        return self._assistant

    def question(self, target: Target, new: Sequence[Prompt]) -> tuple[list[Prompt], int, int]:
        """What is asked about a segment when something was drawn.

        Args:
            target: the segment.
            new: what was drawn, in the volume's own RAS.

        Returns:
            All prompts, the new ones last; the number of the segment in them; how many of its prompts are left out
            because they lie outside of the volume.
        """
        own, elsewhere = target.prompts()
        prompts: list[Prompt] = []
        # What was drawn for the other segments tells what does not belong to this one.
        for segment_id in target.segmentation.GetSegmentation().GetSegmentIDs():
            if segment_id != target.segment_id:
                other = Target(target.volume, target.segmentation, segment_id)
                prompts += _labeled(other.prompts()[0], self._label(other))
        label = self._label(target)
        return [*prompts, *_labeled([*own, *new], label)], label, elsewhere

    def _label(self, target: Target) -> int:
        """The same number for the same segment, from 1."""
        return self._labels.setdefault((target.segmentation.GetID(), target.segment_id), len(self._labels) + 1)

    def close(self) -> None:
        """Let go of the volume."""
        if self._assistant is not None:
            self._assistant.close()
        self._assistant, self._volume, self._known = None, None, ()

    def forget_deleted(self) -> None:
        """Let go of the volume if it is no longer in a scene."""
        if self._volume is not None and self._volume.GetScene() is None:
            self.close()


def _labeled(prompts: Iterable[Prompt], label: int) -> list[Prompt]:
    return [replace(prompt, label=label) for prompt in prompts]
