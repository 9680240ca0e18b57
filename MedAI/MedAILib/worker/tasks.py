"""What the worker can do, by name; a task's module is imported when it is first asked for."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import __version__
from ..errors import UsageError
from ..progress import Progress

TASKS: dict[str, str] = {
    "bridge": "MedAILib.pipeline.tubes_task:run_bridge",
    "check_cases": "MedAILib.pipeline.train_task:run_check",
    "devices": "MedAILib.inference.devices_task:run",
    "import_model": "MedAILib.pipeline.import_task:run",
    "interact": "MedAILib.pipeline.interact_task:run",
    "ping": "MedAILib.worker.tasks:ping",
    "refine": "MedAILib.pipeline.interact_task:run_refine",
    "register": "MedAILib.pipeline.register_task:run",
    "restore": "MedAILib.pipeline.tubes_task:run_restore",
    "segment": "MedAILib.pipeline.task:run",
    "straighten": "MedAILib.pipeline.tubes_task:run_straighten",
    "superres": "MedAILib.pipeline.superres_task:run",
    "train": "MedAILib.pipeline.train_task:run",
}
"""Task name to "module:function"."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Context:
    """What a task gets besides its input.

    Attributes:
        device: the name that the user chose, e.g. "auto".
        progress: makes the run's :class:`Progress` from stage names and their expected shares; it reports to the
            caller and raises Cancelled when the caller asked to stop.
        warm: what one task leaves for the next, e.g. loaded models; emptied when memory runs out.
        stop: True from the moment on when the caller wants what there is; a task that can end early looks at it.
    """

    device: str
    progress: Callable[[Mapping[str, float]], Progress]
    warm: dict[Any, Any] = field(default_factory=dict)
    stop: Callable[[], bool] = lambda: False


Task = Callable[[dict[str, Any], Arrays, Context], tuple[dict[str, Any], Arrays]]


def resolve(name: str, tasks: Mapping[str, str]) -> Task:
    """Import a task.

    Raises:
        UsageError: there is none of that name.
        ImportError: its module or something that this needs is missing.
    """
    if name not in tasks:
        raise UsageError(f"The worker has no task '{name}'; it has {', '.join(sorted(tasks))}.")
    module, _, function = tasks[name].partition(":")
    return getattr(importlib.import_module(module), function)


def ping(parameters: dict[str, Any], arrays: Arrays, context: Context) -> tuple[dict[str, Any], Arrays]:
    """Answer who and where the worker is."""
    answer = {
        "version": __version__,
        "python": platform.python_version(),
        "pid": os.getpid(),
        "device": context.device,
        "warm": sorted(str(key) for key in context.warm),
    }
    return answer, {}
