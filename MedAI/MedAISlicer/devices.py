"""What the device chooser offers. Only the worker knows the processors, because only it may load torch."""

from __future__ import annotations

import logging
from collections.abc import Callable

from slicer.i18n import tr as _

from MedAILib.worker import client
from MedAILib.worker.events import Failed, Finished

from .parameters import AUTOMATIC
from .pulse import Pulse
from .requirements import torch_installed
from .run import Job

Choice = tuple[str, str]
"""Title and name."""


def first_choices() -> list[Choice]:
    """What can be offered without asking."""
    return [(_("Automatic"), AUTOMATIC), (_("Processor (cpu)"), "cpu")]


class DeviceQuestion:
    """Asks the worker once which devices there are; the answer comes when it comes.

    Args:
        answered: receives the choices, those of :func:`first_choices` included.
    """

    def __init__(self, answered: Callable[[list[Choice]], None]) -> None:
        self._answered = answered
        self._pulse = Pulse(self._look)
        self._job: Job | None = None
        self._asked = False

    def ask(self) -> None:
        """Ask, unless that was done already or torch is not there yet."""
        if self._asked or not torch_installed():
            return
        self._asked = True
        self._job = client.shared_worker(AUTOMATIC).submit("devices")
        self._pulse.start()

    def stop(self) -> None:
        """Forget the question."""
        self._pulse.stop()
        self._job = None

    def _look(self) -> None:
        for event in self._job.poll() if self._job else ():
            if isinstance(event, Finished):
                self.stop()
                found = [
                    (f"{device['title']} ({device['name']})", device["name"]) for device in event.parameters["devices"]
                ]
                self._answered([first_choices()[0], *found])
            elif isinstance(event, Failed):
                self.stop()
                self._asked = False
                logging.warning("MedAI: the worker did not say which devices there are: %s", event.message)
