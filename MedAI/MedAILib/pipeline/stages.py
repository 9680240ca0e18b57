"""Progress and seconds per stage, kept together."""

from __future__ import annotations

import time

from ..progress import Progress
from ..worker.events import Warned


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

    def begin(self, name: str) -> None:
        """End the current stage and begin the next; raises Cancelled when asked to stop."""
        self.end()
        self._stage = name
        self.progress.stage(name)

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
