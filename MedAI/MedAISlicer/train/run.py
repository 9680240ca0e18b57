"""What the tab hands to the worker: a look at the cases, and a training. The worker is the training's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from MedAILib.errors import ContentError, GeometryError, MedAIError, UsageError
from MedAILib.training.cases.report import Problem
from MedAILib.training.cases.request import CHECK_TASK, TASK, TrainRequest
from MedAILib.worker.events import Event, Finished

from ..run import Job
from .cases import SceneCases, clear, failed, write_case

Node = Any


class TaskWorker(Protocol):
    """What is needed of a :class:`MedAILib.worker.client.Worker`."""

    def submit(
        self, task: str, parameters: Mapping[str, Any] | None = None, arrays: Mapping[str, Any] | None = None
    ) -> Job:
        """Hand over a task."""


class Done:
    """A job that was done at once, in this process."""

    def poll(self) -> Sequence[Event]:
        return [Finished()]

    def cancel(self) -> None: ...

    def conclude(self) -> None: ...

    def wait(self, on_event: Callable[[Event], None] | None = None) -> Finished:
        return Finished()


@dataclass(frozen=True)
class Report:
    """What the cases are like.

    Attributes:
        folder: that holds them.
        facts: the backend's report as plain JSON values.
        problems: all of them, those of the scene first.
        of_scene: whether the cases are those of the scene.
    """

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    of_scene: bool = False

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """What must be put right first."""
        return tuple(problem for problem in self.problems if problem.fatal)


class CheckRun:
    """A :class:`MedAISlicer.run.Run` that writes the scene's cases, one in each job, and has the folder looked at.

    Args:
        worker: gets the last job.
        folder: with the cases; of the scene's, where they are to be written.
        scene: the scene's cases; None for a folder that is there already.
        how: the network and what the user decided about its plan, see the worker's task.
    """

    def __init__(self, worker: TaskWorker, folder: Path, scene: SceneCases | None, how: Mapping[str, Any]) -> None:
        self._worker, self._folder, self._scene, self._how = worker, folder, scene, how
        self._told: list[Problem] = []
        self.name = str(folder)
        self.count = 1 + (len(scene.cases) if scene is not None else 0)

    def uses(self, node: Node) -> bool:
        """Whether the run cannot be brought to its end without this node."""
        return self._scene is not None and any(case.uses(node) for case in self._scene.cases)

    def submit(self, index: int) -> Job:
        """Write case ``index``, or after all of them let the worker look."""
        if self._scene is not None:
            if index == 0:
                clear(self._folder)
            if index < len(self._scene.cases):
                self._write(index, self._scene)
                return Done()
        return self._worker.submit(CHECK_TASK, {"data": str(self._folder), **self._how})

    def skippable(self, index: int, error: MedAIError) -> bool:
        """Nothing is skipped: a case that cannot be written is a problem of the report."""
        return False

    def write(self, results: Sequence[Finished | None]) -> Report:
        """The report."""
        last = results[-1]
        facts = last.parameters if last is not None else {}
        own = self._scene.problems if self._scene is not None else ()
        found = (Problem(one["where"], one["message"], one["fatal"]) for one in facts.get("problems", []))
        return Report(self._folder, facts, (*own, *self._told, *found), self._scene is not None)

    def _write(self, index: int, scene: SceneCases) -> None:
        case = scene.cases[index]
        try:
            self._told += write_case(case, scene.classes, self._folder)
        except (ContentError, GeometryError, UsageError) as error:
            self._told.append(failed(case, error))


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes:
        model: name of the installed model; empty after too few steps.
        steps, seconds: trained in all.
        dice: class name to Dice of the validation cases.
        concluded: the user ended it before its time was used up.
    """

    model: str
    steps: int
    seconds: float
    dice: dict[str, float]
    concluded: bool


class TrainingRun:
    """A :class:`MedAISlicer.run.Run`: one training, from its beginning or from where it was paused.

    Args:
        worker: gets the job.
        request: what is to be trained.
    """

    count = 1

    def __init__(self, worker: TaskWorker, request: TrainRequest) -> None:
        self._worker, self.request = worker, request
        self.folder = Path(request.output)
        self.name = request.title or request.name

    def uses(self, node: Node) -> bool:
        """The cases lie in files."""
        return False

    def submit(self, index: int) -> Job:
        """Begin."""
        return self._worker.submit(TASK, *self.request.message())

    def skippable(self, index: int, error: MedAIError) -> bool:
        """There is only one job."""
        return False

    def write(self, results: Sequence[Finished | None]) -> Trained:
        """The model is installed already."""
        (done,) = results
        found = done.parameters if done is not None else {}
        dice = {str(name): float(value) for name, value in found.get("dice", {}).items()}
        return Trained(
            str(found.get("model", "")),
            int(found.get("steps", 0)),
            float(found.get("seconds", 0.0)),
            dice,
            bool(found.get("concluded")),
        )
