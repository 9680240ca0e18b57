"""The life of one answer in an editor, from a prompt to the segment. No Qt; it never waits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from MedAILib.errors import MedAIError, UsageError, WorkerError
from MedAILib.interactive.prompts import Prompt
from MedAILib.progress import Step
from MedAILib.worker.events import Failed, Finished, Warned

from ..run import Job, Timer
from . import prompt_tags, wording
from .assistants import AUTO, Assistants, Engine
from .editors import Editor
from .places import reaches
from .target import Target
from .writing import Written, write


class State(Enum):
    """What goes on."""

    IDLE = "idle"
    RUNNING = "running"
    PREVIEW = "preview"


@dataclass(frozen=True)
class Settings:
    """What the user chose.

    Attributes:
        engine: who answers.
        preview: answers are shown first, and written when they are accepted.
        overwrite: voxels of other segments may be taken.
    """

    engine: Engine = AUTO
    preview: bool = False
    overwrite: bool = False


@dataclass
class Status:
    """What there is to show.

    Attributes:
        state: what goes on.
        stage: what is being done, in words.
        line: how the last answer or the last attempt ended.
        failed: whether that is an error.
    """

    state: State = State.IDLE
    stage: str = ""
    line: str = ""
    failed: bool = False


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question that is being answered.

    Attributes:
        target: whose answer it is.
        settings: as they were.
        width: of the boundary that may move, mm, for a refinement; 0 for prompts.
        segment, volume: their state when it was asked.
    """

    target: Target
    settings: Settings
    width: float
    segment: tuple[Any, ...]
    volume: tuple[Any, ...]


@dataclass
class _Waiting:
    """What the user wants and has not got yet."""

    target: Target | None = None
    settings: Settings = Settings()
    prompts: list[Prompt] = field(default_factory=list)
    width: float = 0.0
    again: str = ""
    retried: bool = False

    def takes(self, target: Target) -> bool:
        """Whether another prompt for a segment can go with these."""
        return self.target == target and not self.width


class AssistController:
    """Asks about one segment at a time; a prompt during an answer supersedes it, and all prompts are asked for anew.

    What is drawn for another segment meanwhile waits for that answer.

    Args:
        editor: keeps the undo states and writes.
        timer: calls :meth:`tick` while something goes on.
        changed: told the new :class:`Status` after each change.
        show_preview: shows an answer that is not written yet: (target, box, inside), or None to show none.
        assistants: makes those who are asked; by default in the worker.
        prepare: sees to the packages of the worker before it is asked, and may raise MedAIError.
    """

    def __init__(
        self,
        editor: Editor,
        timer: Timer,
        changed: Callable[[Status], None],
        show_preview: Callable[[Any], None] = lambda shown: None,
        assistants: Assistants | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._editor, self._timer, self._changed, self._show_preview = editor, timer, changed, show_preview
        self._assistants = assistants or Assistants()
        self._prepare = prepare
        self.status = Status()
        self._waiting = _Waiting()
        self._later: list[_Waiting] = []
        self._asked: _Asked | None = None
        self._job: Job | None = None
        self._answer: Any = None
        self._notes: list[str] = []
        self._prepared = False

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way or waits for the user's consent."""
        return self.status.state is not State.IDLE

    def pending(self, target: Target) -> list[Prompt]:
        """Prompts that are not part of a segment yet, in the volume's own RAS."""
        return [one for waiting in (self._waiting, *self._later) if waiting.target == target for one in waiting.prompts]

    def add(self, target: Target, prompt: Prompt, settings: Settings = Settings()) -> None:
        """Obey a prompt as soon as possible.

        Args:
            target: the segment that it is about.
            prompt: in the volume's own RAS.
            settings: as they are now.
        """
        try:
            if reason := target.why_gone():
                raise UsageError(reason)
            if not reaches(prompt, target.shape, target.image().affine):
                raise UsageError(wording.outside(target.volume.GetName()))
        except MedAIError as error:
            self._end(wording.sentence(error), failed=True, keep=self.busy)
            return
        if self.busy and self._waiting.takes(target):
            self._waiting.settings = settings
            self._waiting.prompts.append(prompt)
            self._begin()
        elif self._later and self._later[-1].takes(target):
            self._later[-1].prompts.append(prompt)
        else:
            self._line_up(_Waiting(target, settings, [prompt]))

    def refine(self, target: Target, width: float, settings: Settings = Settings()) -> None:
        """Move the boundary of a segment by up to ``width`` mm to where the image has one."""
        self._line_up(_Waiting(target, settings, width=width))

    def _line_up(self, waiting: _Waiting) -> None:
        """Begin with it, after what is being computed for another segment; a preview of that is dropped."""
        if self.status.state is State.RUNNING:
            self._later.append(waiting)
            return
        self._drop()
        self._waiting = waiting
        self._begin()

    def cancel(self, reason: str = "") -> None:
        """Forget what is not written yet.

        Args:
            reason: why, when it was not the user who pressed Cancel.
        """
        if self.busy:
            self._later.clear()
            self._end(reason or _("Cancelled; the segment is as it was."))

    def accept(self) -> bool:
        """Write the answer that is shown; False if none is."""
        shown = self.status.state is State.PREVIEW
        if shown:
            self._guarded(self._conclude)
        return shown

    def discard(self) -> bool:
        """Do not write the answer that is shown, and forget its prompts; False if none is."""
        shown = self.status.state is State.PREVIEW
        if shown:
            self._end(_("The answer was discarded; the segment is as it was."))
        return shown

    def rest(self) -> None:
        """Let go of a volume that was deleted."""
        self._assistants.forget_deleted()

    def close(self) -> None:
        """Stop without telling anybody, because the editor goes away."""
        self._stop_job()
        self._timer.stop()
        self._show_preview(None)
        self._assistants.close()
        self._later.clear()
        self._waiting, self._asked, self._answer, self.status = _Waiting(), None, None, Status()

    def tick(self) -> None:
        """Look after the answer once; called by the timer."""
        if self.status.state is State.RUNNING:
            self._guarded(self._advance)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except MedAIError as error:
            self._fail(error)
        except BaseException as error:
            # Even a bug must leave an effect that can be used again; the traceback goes to the log by the raise.
            self._end(wording.unexpected(error), failed=True)
            raise

    def _begin(self) -> None:
        self._stop_job()
        self._show_preview(None)
        self._answer = None
        self._notes = []
        self.status = Status(State.RUNNING, _("Starting"), self.status.line)
        self._changed(self.status)
        # Asked at the next beat: a mouse button that is down must come up before a question about packages is shown.
        self._timer.start()

    def _advance(self) -> None:
        waiting = self._waiting
        assert waiting.target is not None
        if reason := waiting.target.why_gone():
            self._end(wording.gone(reason), failed=True)
        elif self._job is None:
            self._ask(waiting.target)
        else:
            for event in self._job.poll():
                self._take(event)

    def _ask(self, target: Target) -> None:
        if not self._prepared:
            self._prepare()
            self._prepared = True
        if self.status.state is not State.RUNNING or target.why_gone():
            return  # the question about the packages let the windows live
        waiting = self._waiting
        settings = waiting.settings
        prompts, label, elsewhere = self._assistants.question(target, waiting.prompts)
        self._notes = [note for note in (waiting.again, wording.elsewhere(elsewhere)) if note]
        assistant = self._assistants.of(target, settings.engine)
        self._asked = _Asked(target, settings, waiting.width, target.segment_state(), target.volume_state())
        if waiting.width:
            self._job = assistant.ask_refine(target.current(), waiting.width)
        else:
            self._job = assistant.ask(prompts, label, target.current())

    def _take(self, event: Any) -> None:
        if isinstance(event, Step):
            self.status.stage = event.stage
            self._changed(self.status)
        elif isinstance(event, Warned):
            self._notes.append(event.message)
        elif isinstance(event, Failed):
            self._job = None
            error = event.error()
            if isinstance(error, WorkerError) and not self._waiting.retried:
                # All that it knew is in the scene: a new one is told everything.
                logging.warning("MedAI: %s", error)
                self._waiting.retried, self._waiting.again = True, wording.worker_ended()
                return
            raise error
        elif isinstance(event, Finished):
            self._job = None
            self._finish(event)

    def _finish(self, finished: Finished) -> None:
        asked = self._asked
        assert asked is not None
        if self._changed_since(asked):
            return
        assistant = self._assistants.of(asked.target, asked.settings.engine)
        self._answer = assistant.read(finished)
        self._waiting.retried = False
        if asked.settings.preview:
            self.status = Status(State.PREVIEW, line=wording.preview(self._answer, self._notes))
            self._timer.stop()
            self._show_preview((asked.target, self._answer.box, self._answer.inside))
            self._changed(self.status)
        else:
            self._conclude()

    def _changed_since(self, asked: _Asked) -> bool:
        """Whether segment or volume are others than when the question was asked; then it is asked again."""
        if asked.target.volume_state() != asked.volume:
            self._waiting.again = wording.changed(asked.target.volume.GetName())
        elif asked.target.segment_state() != asked.segment:
            self._waiting.again = wording.changed(asked.target.segment.GetName())
        else:
            return False
        if self.status.state is State.PREVIEW:
            self._begin()
        return True

    def _conclude(self) -> None:
        """Write the answer."""
        asked, answer = self._asked, self._answer
        assert asked is not None
        if reason := asked.target.why_gone():
            self._end(wording.gone(reason), failed=True)
            return
        if self._changed_since(asked):
            return
        prompts = None if asked.width else self._kept(asked)
        written = write(self._editor, asked.target, answer.box, answer.inside, prompts, asked.settings.overwrite)
        self._end(self._told(asked, answer, written))

    def _kept(self, asked: _Asked) -> list[Prompt]:
        """All prompts of the segment, also those that were drawn on another volume."""
        return [*prompt_tags.read(asked.target.segment, asked.target.volume), *self._waiting.prompts]

    def _told(self, asked: _Asked, answer: Any, written: Written) -> str:
        voxel = abs(float(np.linalg.det(asked.target.affine()[:3, :3]))) / 1000.0
        name = asked.target.segment.GetName()
        line = wording.answered(name, answer, written.grown * voxel, bool(asked.width))
        return wording.with_notes(line, [*self._notes, *answer.notes, *wording.left(written)])

    def _fail(self, error: MedAIError) -> None:
        sentence, _newline, details = str(error).partition("\n")
        if details:
            logging.error("MedAI: %s", details)
        self._end(sentence, failed=True)

    def _end(self, line: str, failed: bool = False, keep: bool = False) -> None:
        """Idle again, unless something else goes on that is to be kept."""
        if keep:
            self.status.line, self.status.failed = line, failed
        else:
            self._drop()
            self._timer.stop()
            self.status = Status(line=line, failed=failed)
        self._changed(self.status)
        if not self.busy and self._later:
            self._waiting = self._later.pop(0)
            self._begin()

    def _drop(self) -> None:
        self._stop_job()
        self._show_preview(None)
        self._waiting, self._asked, self._answer = _Waiting(), None, None

    def _stop_job(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None
