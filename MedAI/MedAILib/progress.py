"""Stage, true fraction and remaining time of a run, and the one place where a cancel is noticed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import Cancelled


@dataclass(frozen=True)
class Step:
    """One progress message.

    Attributes:
        stage: what is being done, in words for the user.
        fraction: done share of the whole run, 0 to 1, never falling.
        remaining: expected seconds to the end, or None while nothing is known.
    """

    stage: str
    fraction: float
    remaining: float | None


class Progress:
    """Counts a run that consists of named stages with expected shares of the time.

    Args:
        stages: stage name to expected share; shares are normalized.
        emit: receives a :class:`Step` at most every ``interval`` seconds, and at each new stage.
        warn: receives (code, message) for things the user must hear about although the run goes on.
        cancelled: asked at each update; True ends the run with :class:`Cancelled`.
    """

    def __init__(
        self,
        stages: Mapping[str, float],
        emit: Callable[[Step], None] = lambda step: None,
        warn: Callable[[str, str], None] = lambda code, message: None,
        cancelled: Callable[[], bool] = lambda: False,
        interval: float = 0.1,
    ) -> None:
        total = sum(stages.values()) or 1.0
        self._shares = {name: share / total for name, share in stages.items()}
        self._emit, self._cancelled, self._interval = emit, cancelled, interval
        self.warn = warn
        self._stage, self._before, self._share = "", 0.0, 0.0
        self._fraction, self._started, self._last = 0.0, time.monotonic(), float("-inf")

    def check(self) -> None:
        """Raise :class:`Cancelled` if the user asked for it."""
        if self._cancelled():
            raise Cancelled("The run was cancelled; nothing was changed.")

    def stage(self, name: str) -> None:
        """Begin the named stage; the earlier one counts as done."""
        self._before += self._share
        self._stage, self._share = name, self._shares.get(name, 0.0)
        self._last = float("-inf")
        self.update(0.0)

    def update(self, fraction: float) -> None:
        """Set the done share (0 to 1) of the current stage; raises :class:`Cancelled` when asked to stop."""
        self.check()
        self._fraction = max(self._fraction, min(1.0, self._before + self._share * fraction))
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            elapsed = now - self._started
            known = self._fraction > 0.02 and elapsed > 0.5
            remaining = elapsed * (1.0 - self._fraction) / self._fraction if known else None
            self._emit(Step(self._stage, self._fraction, remaining))
