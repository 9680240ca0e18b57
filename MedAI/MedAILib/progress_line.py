"""Progress on the console."""

from __future__ import annotations

import sys
from typing import TextIO

from .progress import Step
from .worker.events import Event, Warned


class ProgressLine:
    """Shows a run's stage, percentage and remaining time.

    On a terminal one line is rewritten in place; elsewhere, as in Slicer's Python console or a log file, each stage
    gets a line of its own.

    Args:
        show: False keeps silent.
        prefix: stands before each stage, e.g. the number and name of the case.
        stream: where to; the error stream of the moment if None, so that results on the output stream stay clean.
    """

    def __init__(self, show: bool = True, prefix: str = "", stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._show, self._prefix = show, prefix
        self._in_place = bool(getattr(self._stream, "isatty", lambda: False)())
        self._stage, self._width = "", 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *reason: object) -> None:
        self.clear()

    def event(self, event: Event) -> None:
        """Show what a job tells; pass this to ``Job.wait``."""
        if not self._show:
            return
        if isinstance(event, Warned):
            self.clear()
            self._write(f"{self._prefix}Warning: {event.message}\n")
        elif isinstance(event, Step):
            self._step(event)

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _step(self, step: Step) -> None:
        if not self._in_place:
            if step.stage != self._stage:
                self._write(f"{self._prefix}{step.stage} ({step.fraction:.0%} done)\n")
                self._stage = step.stage
            return
        left = "" if step.remaining is None else f", about {_seconds(step.remaining)} left"
        text = f"{self._prefix}{step.stage}: {step.fraction:.0%}{left}"
        self._write("\r" + text.ljust(self._width))
        self._width = len(text)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _seconds(value: float) -> str:
    whole = max(1, round(value))
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60} s"
