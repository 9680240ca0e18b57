"""The client's end of interactive segmentation: the volume goes to the worker once, then only what is drawn."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import numpy as np

from ..image import Image
from ..worker import Event, Finished, Worker, shared_worker
from ..worker.arrays import Kept
from ..worker.job import Job
from .prompts import Prompt
from .request import AUTO, REFINE_TASK, TASK, Engine, Question, Reply, place_of, read_reply


class Assistant:
    """Asks the shared worker of a device about one volume.

    The worker holds nothing that is not asked anew each time, but for what it has computed of the volume: one that was
    ended in between answers as before, only slower.

    Args:
        image: (k, j, i); not changed as long as this object lives.
        engine: who answers.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        on_event: receives what is heard while :meth:`respond` and :meth:`refine` wait.
    """

    def __init__(
        self,
        image: Image,
        engine: Engine = AUTO,
        device: str = "auto",
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.image, self.engine, self.device = image, engine, device
        self._on_event = on_event
        self._kept: tuple[Worker, Kept] | None = None

    def ask(self, prompts: Sequence[Prompt], label: int, current: np.ndarray) -> Job:
        """Hand over a question and return at once.

        Args:
            prompts: all that was drawn, of all labels, the newest last.
            label: whose object is asked for.
            current: (k, j, i) bool, the object as it is.

        Returns:
            A job whose result :meth:`read` understands.
        """
        return self._submit(TASK, prompts, label, current, 0.0)

    def ask_refine(self, mask: np.ndarray, width: float) -> Job:
        """The same for a mask (k, j, i) bool whose boundary may move by ``width`` mm."""
        return self._submit(REFINE_TASK, (), 1, mask, width)

    def read(self, finished: Finished) -> Reply:
        """The reply of a job of this object."""
        return read_reply(finished.parameters, finished.arrays)

    def respond(self, prompts: Sequence[Prompt], label: int, current: np.ndarray) -> Reply:
        """:meth:`ask` and wait; raises MedAIError as the worker did."""
        return self.read(self.ask(prompts, label, current).wait(self._on_event))

    def refine(self, mask: np.ndarray, width: float) -> Reply:
        """:meth:`ask_refine` and wait."""
        return self.read(self.ask_refine(mask, width).wait(self._on_event))

    def close(self) -> None:
        """Let go of the volume; the next question sends it again."""
        if self._kept is not None:
            self._kept[1].release()
            self._kept = None

    def _submit(self, task: str, prompts: Sequence[Prompt], label: int, mask: np.ndarray, width: float) -> Job:
        worker = shared_worker(self.device)
        mask = np.ascontiguousarray(mask, bool)
        question = Question(self._volume(worker), place_of(self.image), mask, self.engine, prompts, label, width)
        return worker.submit(task, *question.message())

    def _volume(self, worker: Worker) -> Kept:
        """The array where the worker finds it; laid there anew if this is another worker, or the files are gone."""
        if self._kept is None or self._kept[0] is not worker or not self._kept[1].folder.is_dir():
            self.close()
            kept = worker.keep({"image": self.image.array})
            self._kept = (worker, kept)
            weakref.finalize(self, kept.release)
        return self._kept[1]
