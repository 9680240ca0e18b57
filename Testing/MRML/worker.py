"""A worker that answers at once, for the tests of the functions with nodes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from MedAILib.errors import ContentError
from MedAILib.worker.events import Finished

Answer = Callable[[int, Any, Any], Finished]
"""From the number of the job, its parameters and its arrays."""


class Worker:
    """Answers every job; ``bad`` jobs, by their number from 1, fail."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.messages: list[Any] = []
        self.bad: set[int] = set()

    def __call__(self, device: str) -> Worker:
        return self

    def submit(self, task: str, parameters: Any, arrays: Any) -> Any:
        self.messages.append((task, parameters, arrays))
        return SimpleNamespace(wait=self.wait)

    def wait(self, on_event: Any) -> Finished:
        number = len(self.messages)
        if number in self.bad:
            raise ContentError("This frame is constant.")
        return self._answer(number, *self.messages[-1][1:])


def shared_worker(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> Worker:
    """The worker of every device until the end of the test."""
    import MedAILib.worker.client

    fresh = Worker(answer)
    monkeypatch.setattr(MedAILib.worker.client, "shared_worker", fresh)
    return fresh
