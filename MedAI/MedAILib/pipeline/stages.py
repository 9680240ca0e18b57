"""Progress and seconds per stage, kept together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..progress import Progress
from ..worker.events import Warned

LOADING = "Loading the model"
"""The stage in which weights are read."""


class Stages:
    """Begins stages on a :class:`Progress` and measures each.

    Attributes:
        seconds: stage to wall-clock seconds, of the stages that have ended.
        warnings: all that were passed on, in order.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.warnings: list[Warned] = []
        self._stage, self._since = "", time.perf_counter()
        self._part = ""

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Stages begun meanwhile belong to a part of the run that has stages of the same names as another part, see
        :func:`stages_within`."""
        before, self._part = self._part, part
        try:
            yield
        finally:
            self._part = before

    def begin(self, name: str) -> None:
        """End the current stage and begin the next; raises Cancelled when asked to stop."""
        self.end()
        self._stage = _name_within(self._part, name)
        self.progress.stage(self._stage)

    def end(self) -> None:
        """End the current stage."""
        now = time.perf_counter()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = "", now

    def warn(self, code: str, message: str) -> None:
        """Keep a warning for the summary and pass it on at once."""
        self.warnings.append(Warned(code, message))
        self.progress.warn(code, message)


def stages_within(part: str, stages: Mapping[str, float], share: float) -> dict[str, float]:
    """The stages of a part of a run.

    Args:
        part: its name, as :meth:`Stages.within` has it.
        stages: their names and expected shares of the part's time.
        share: of the part in the whole run.
    """
    return {_name_within(part, name): share * own for name, own in stages.items()}


def _name_within(part: str, name: str) -> str:
    return f"{part}: {name}" if part else name
