"""How a call hands its work to the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..worker import Event, Finished


def wait_for(
    task: str,
    message: tuple[dict[str, Any], dict[str, Any]],
    device: str,
    on_event: Callable[[Event], None] | None,
) -> Finished:
    """Send a job to the shared worker of the device and wait; an interrupt (Ctrl-C) cancels the job first."""
    from ..worker import shared_worker

    return shared_worker(device).submit(task, *message).wait(on_event)
