"""The life of one run in the GUI, from idle to idle. No Qt, no MRML, no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from MedAILib.errors import Cancelled, ContentError, GeometryError, MedAIError
from MedAILib.progress import Step
from MedAILib.worker.events import Failed, Finished, Warned


class State(Enum):
    """Where a run is."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    CONCLUDING = "concluding"
    CANCELLING = "cancelling"
    IMPORTING = "importing"


class Job(Protocol):
    """What a run needs of a job of :mod:`MedAILib.worker`; the controller never waits."""

    def poll(self) -> Sequence[Any]: ...

    def cancel(self) -> None: ...

    def conclude(self) -> None: ...

    def wait(self, on_event: Callable[[Any], None] | None = None) -> Finished: ...


class Run(Protocol):
    """Something to do in ``count`` jobs, one after the other, whose results are written together at the end."""

    count: int

    def submit(self, index: int) -> Job:
        """Read the input of job ``index`` and hand it to the worker."""

    def skippable(self, index: int, error: MedAIError) -> bool:
        """Whether the run goes on without job ``index`` after this error."""

    def write(self, results: Sequence[Finished | None]) -> Any:
        """Bring the results into the scene; a skipped job has None."""


class FrameRun:
    """Base of the runs with one job per frame of a sequence.

    Attributes:
        name: for the log.
        count: number of frames.
    """

    name: str
    count: int

    def skippable(self, index: int, error: MedAIError) -> bool:
        """One bad frame does not spoil a sequence."""
        return self.count > 1 and isinstance(error, (ContentError, GeometryError))


class Timer(Protocol):
    """Calls :meth:`RunController.tick` at short intervals between start and stop."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Status:
    """What there is to show of a run.

    Attributes:
        state: where the run is.
        stage: what is being done, in words.
        fraction: done share of the whole run, 0 to 1.
        remaining: expected seconds to the end, or None while nothing is known.
        part: (number of this job from 1, number of jobs).
        warnings: (code, message) so far.
    """

    state: State = State.IDLE
    stage: str = ""
    fraction: float = 0.0
    remaining: float | None = None
    part: tuple[int, int] = (0, 0)
    warnings: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        result: what :meth:`Run.write` returned, or None.
        error: why it failed, or None.
        cancelled: the reason of a cancel, or None; an empty string is the user's own cancel.
        warnings: (code, message), to be shown in every case.
    """

    result: Any = None
    error: MedAIError | None = None
    cancelled: str | None = None
    warnings: tuple[tuple[str, str], ...] = ()


class RunController:
    """Drives one run at a time by polling, so that the GUI never waits.

    Args:
        timer: calls :meth:`tick` while a run is on.
        changed: told the new :class:`Status` after each change.
        ended: told the :class:`Outcome` once, when the controller is idle again and may be started anew.
        clock: seconds, for the remaining time of runs of several jobs.
    """

    def __init__(
        self,
        timer: Timer,
        changed: Callable[[Status], None],
        ended: Callable[[Outcome], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timer, self._changed, self._ended, self._clock = timer, changed, ended, clock
        self.status = Status()
        self._run: Run | None = None
        self._job: Job | None = None
        self._results: list[Finished | None] = []
        self._reason = ""
        self._began = 0.0

    @property
    def busy(self) -> bool:
        """Whether a run is on, in whatever state."""
        return self.status.state is not State.IDLE

    def start(self, run: Run) -> None:
        """Begin; the input is read at the first tick, after the GUI had the time to show that something happens."""
        if self.busy:
            raise RuntimeError("A run is going on already; cancel it or wait for its end.")
        self._run, self._job, self._results, self._reason = run, None, [], ""
        self._began = self._clock()
        self.status = Status(State.STARTING, part=(1, run.count))
        self._changed(self.status)
        self._timer.start()

    def cancel(self, reason: str = "") -> None:
        """Ask the run to stop; nothing of it will be written.

        Args:
            reason: why, when it was not the user who pressed Cancel.
        """
        if not self.busy or self.status.state is State.CANCELLING:
            return
        self._reason = reason
        self._set(State.CANCELLING)
        if self._job:
            self._job.cancel()

    def conclude(self) -> None:
        """Ask the run to end with what it has; that is written. Of several jobs the present one is the last."""
        if self.status.state is State.RUNNING and self._job:
            self._set(State.CONCLUDING)
            self._job.conclude()

    def abandon(self) -> None:
        """Stop at once without telling anybody, because the GUI is going away."""
        self._timer.stop()
        if self._job:
            self._job.cancel()
        self._run = self._job = None
        self.status = Status()

    def tick(self) -> None:
        """Look at the job once and do what is next."""
        if not self.busy or self._run is None:
            return
        try:
            self._advance(self._run)
        except Cancelled as stopped:
            self._end(Outcome(cancelled=str(stopped)))
        except MedAIError as error:
            if not self.busy:  # a fault of who was told of the end
                raise
            self._fail(error)
        except BaseException as error:
            if not self.busy:
                raise
            # Even a bug must leave a panel that can be used again; the traceback goes to the log by the raise.
            self._fail(MedAIError(f"An unexpected error ended the run ({type(error).__name__}: {error})."))
            raise

    def _advance(self, run: Run) -> None:
        state = self.status.state
        if self._job:
            for event in self._job.poll():
                self._take(run, event)
        elif state is State.CANCELLING:
            self._end(Outcome(cancelled=self._reason))
        elif state is State.IMPORTING:
            self._end(Outcome(result=run.write(self._results)))
        else:
            self._submit(run)

    def _submit(self, run: Run) -> None:
        index = len(self._results)
        self.status.part = (index + 1, run.count)
        try:
            self._job = run.submit(index)
        except MedAIError as error:
            self._skip_or_raise(run, error)
            return
        self._set(State.RUNNING if index else State.STARTING)

    def _take(self, run: Run, event: Any) -> None:
        cancelling = self.status.state is State.CANCELLING
        if isinstance(event, Step) and not cancelling:
            self._step(event)
        elif isinstance(event, Warned):
            self._warn(event.code, event.message)
        elif isinstance(event, Finished):
            self._job = None
            if not cancelling:
                self._keep(run, event)
        elif isinstance(event, Failed):
            self._job = None
            if not cancelling:
                self._skip_or_raise(run, event.error())

    def _step(self, step: Step) -> None:
        number, count = self.status.part
        self.status.stage = step.stage
        self.status.fraction = (number - 1 + step.fraction) / count
        self.status.remaining = step.remaining
        if count > 1:
            elapsed = self._clock() - self._began
            done = self.status.fraction
            self.status.remaining = elapsed * (1.0 - done) / done if done > 0.0 else None
        self._set(State.CONCLUDING if self.status.state is State.CONCLUDING else State.RUNNING)

    def _warn(self, code: str, message: str) -> None:
        if (code, message) not in self.status.warnings:
            self.status.warnings.append((code, message))
            self._changed(self.status)

    def _keep(self, run: Run, result: Finished | None) -> None:
        self._results.append(result)
        self.status.fraction = len(self._results) / run.count
        if self.status.state is State.CONCLUDING:
            self._results += [None] * (run.count - len(self._results))
        if len(self._results) == run.count:
            self.status.stage, self.status.fraction, self.status.remaining = "", 1.0, None
            self._set(State.IMPORTING)

    def _skip_or_raise(self, run: Run, error: MedAIError) -> None:
        index = len(self._results)
        last = index + 1 == run.count or self.status.state is State.CONCLUDING
        if not run.skippable(index, error) or (last and not any(self._results)):
            raise error
        self._warn(error.code, str(error))
        self._keep(run, None)

    def _set(self, state: State) -> None:
        self.status.state = state
        self._changed(self.status)

    def _fail(self, error: MedAIError) -> None:
        if self._job:
            self._job.cancel()
        self._end(Outcome(error=error))

    def _end(self, outcome: Outcome) -> None:
        # Idle first: the listener may open a dialog, whose event loop would tick a run that is still on.
        self._timer.stop()
        warnings = tuple(self.status.warnings)
        self._run = self._job = None
        self._results = []
        self.status = Status()
        self._changed(self.status)
        self._ended(Outcome(outcome.result, outcome.error, outcome.cancelled, warnings))
