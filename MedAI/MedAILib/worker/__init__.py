"""One persistent process per device that does the computing, and the client that talks to it.

What is named here imports neither torch nor SimpleITK, so it can live in Slicer's own process. The process itself is
:mod:`.server`, started as ``python -m MedAILib.worker``.

Example:
    >>> from MedAILib.worker import Worker
    >>> with Worker("cpu") as worker:
    ...     worker.submit("ping").wait().parameters["device"]
    'cpu'
"""

from __future__ import annotations

from ..progress import Step
from .client import Worker, close_workers, shared_worker
from .events import Event, Failed, Finished, Started, Warned
from .job import Job

__all__ = [
    "Event",
    "Failed",
    "Finished",
    "Job",
    "Started",
    "Step",
    "Warned",
    "Worker",
    "close_workers",
    "shared_worker",
]
