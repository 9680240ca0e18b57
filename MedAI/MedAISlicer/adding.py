"""Adds a model from a folder, whoever made it. The worker reads it, because only it may load torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MedAILib.errors import CodeError, MedAIError, OutputExistsError
from MedAILib.pipeline.import_task import TASK
from MedAILib.progress import Step
from MedAILib.worker import client
from MedAILib.worker.events import Failed, Finished

from .parameters import AUTOMATIC
from .pulse import Pulse
from .reporting import report
from .requirements import ensure
from .run import Job, Outcome


class ModelAdder:
    """Asks for a folder, and for what cannot be taken for granted.

    Args:
        ui: the named child widgets of MedAI.ui.
        say: shows a line of text.
        added: told the name of each new model.
    """

    def __init__(self, ui: Any, say: Callable[[str], None], added: Callable[[str], None]) -> None:
        self._ui, self._say, self._added = ui, say, added
        self._pulse = Pulse(self._look)
        self._job: Job | None = None
        self._order: dict[str, Any] = {}

    def ask(self) -> None:
        """Let the user choose a folder, and add what is in it."""
        folder = qt.QFileDialog.getExistingDirectory(self._ui.addModelButton, _("Choose the folder of a model"))
        if folder:
            with slicer.util.tryWithErrorDisplay(None):
                ensure()
                self._begin({"folder": str(folder), "allow_code": False, "overwrite": False})

    def stop(self) -> None:
        """Forget what is going on."""
        self._pulse.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _begin(self, order: dict[str, Any]) -> None:
        logging.info("MedAI: adding the model in %s", order["folder"])
        self._order = order
        self._job = client.shared_worker(AUTOMATIC).submit(TASK, order)
        self._ui.addModelButton.enabled = False
        self._pulse.start()

    def _look(self) -> None:
        for event in self._job.poll() if self._job is not None else ():
            if isinstance(event, Step):
                self._say(event.stage)
            elif isinstance(event, Finished):
                self._end()
                self._added(str(event.parameters["name"]))
                self._say(_("The model {title} was added.").format(title=event.parameters["title"]))
            elif isinstance(event, Failed):
                self._end()
                self._failed(event.error())

    def _end(self) -> None:
        self._pulse.stop()
        self._job = None
        self._ui.addModelButton.enabled = True
        self._say("")

    def _failed(self, error: MedAIError) -> None:
        """Ask whether it may be done all the same, where that can be asked; else tell why not."""
        folder = self._order["folder"]
        if isinstance(error, CodeError):
            allowed = "allow_code"
            question = _("The model in {folder} is code of whoever made it, and runs with your rights.") + " "
            question += _("Add it only if you trust where it comes from. Add it?")
        elif isinstance(error, OutputExistsError):
            allowed = "overwrite"
            question = _("You have a model of the same name as the one in {folder}. Replace it?")
        else:
            report(Outcome(error=error))
            return
        if slicer.util.confirmYesNoDisplay(question.format(folder=folder)):
            with slicer.util.tryWithErrorDisplay(None):
                self._begin({**self._order, allowed: True})
