"""What the worker's tests share: waiting, watching processes, finding the test tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import MedAILib
from MedAILib.worker import Event, Failed, Finished, Job, Step

TASKS = "worker_tasks"
FOLDER = Path(__file__).parent
CHILD = {**os.environ, "PYTHONPATH": os.pathsep.join((str(Path(MedAILib.__file__).parents[1]), str(FOLDER)))}
"""Environment of a process that imports MedAILib and the test tasks."""

needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups as POSIX has them")
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def running(pid: int) -> bool:
    """True unless the process is gone or waits to be collected by its parent."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return True


def drain(job: Job) -> list[Event]:
    """All events up to the last, by polling as a GUI timer does."""
    events: list[Event] = []
    until(lambda: bool(events.extend(job.poll()) or (events and isinstance(events[-1], (Finished, Failed)))))
    return events


def started(job: Job) -> None:
    """Wait until the task itself has reported."""
    until(lambda: any(isinstance(event, Step) and event.stage in ("Sleeping", "Ignoring") for event in job.poll()))
