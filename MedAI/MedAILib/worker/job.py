"""One task handed to the worker, seen from the caller."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

from ..progress import Step
from .events import Event, Failed, Finished, Outcome, Started, Warned

_WARNINGS = 100


class Job:
    """A handle that never blocks unless :meth:`wait` is called; all methods may be called from any thread.

    Events that nobody fetches do not pile up: of several steps only the last is kept, and of warnings the first 100.

    Attributes:
        id: unique text.
        task: the task's name.
    """

    def __init__(
        self, task: str, cancel: Callable[[Job], None], conclude: Callable[[Job], None] = lambda job: None
    ) -> None:
        self.id = uuid.uuid4().hex
        self.task = task
        self._cancel, self._conclude = cancel, conclude
        self._changed = threading.Condition()
        self._waiting: list[Started | Warned] = []
        self._step: Step | None = None
        self._outcome: Outcome | None = None
        self._told = False
        self._warnings = 0

    @property
    def done(self) -> bool:
        """True once the job has finished, failed or been cancelled."""
        return self._outcome is not None

    def poll(self) -> list[Event]:
        """The events since the last call, oldest first; the last one ever is Finished or Failed."""
        with self._changed:
            events: list[Event] = [*self._waiting]
            self._waiting.clear()
            if self._step is not None:
                events.append(self._step)
                self._step = None
            if self._outcome is not None and not self._told:
                events.append(self._outcome)
                self._told = True
            return events

    def wait(self, on_event: Callable[[Event], None] | None = None) -> Finished:
        """Block until the end.

        Args:
            on_event: receives each event that was not polled yet, in the caller's thread.

        Raises:
            MedAIError: as the task raised it; Cancelled; WorkerError when the process died.
            KeyboardInterrupt: after the job was told to stop.
        """
        try:
            while True:
                with self._changed:
                    # Short waits, because Windows cannot interrupt a long one from the keyboard.
                    self._changed.wait_for(lambda: self.done or self._pending(), timeout=0.2)
                for event in self.poll():
                    if on_event is not None:
                        on_event(event)
                with self._changed:
                    if self._outcome is not None and not self._pending():
                        break
        except KeyboardInterrupt:
            self.cancel()
            raise
        if isinstance(self._outcome, Failed):
            raise self._outcome.error()
        return self._outcome

    def cancel(self) -> None:
        """Ask the job to stop; returns at once.

        From now on it ends as cancelled whatever happens: at once while it waits, else at the worker's next look at the
        request, else after the worker's grace time, when the process is ended.
        """
        self._cancel(self)

    def conclude(self) -> None:
        """Ask the job to finish with what it has; returns at once.

        The job ends as usual, sooner if its task can end early, else when it would have ended anyway.
        """
        self._conclude(self)

    def push(self, event: Event) -> None:
        """Record an event (the client's side); nothing is recorded after the end."""
        with self._changed:
            if self._outcome is not None:
                return
            if isinstance(event, Step):
                self._step = event
            elif isinstance(event, (Finished, Failed)):
                self._outcome = event
            elif isinstance(event, Started) or self._warnings < _WARNINGS:
                self._warnings += isinstance(event, Warned)
                self._waiting.append(event)
            self._changed.notify_all()

    def _pending(self) -> bool:
        return bool(self._waiting) or self._step is not None
