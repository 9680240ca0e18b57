"""The worker process: reads messages, runs one task after another, answers.

The main thread computes; a second one reads the input, so that a cancel is heard while a task runs. When the input ends
or the parent is gone, the process ends within seconds, also in the middle of a task.
"""

from __future__ import annotations

import gc
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Cancelled, MedAIError
from ..progress import Progress, Step
from .arrays import read_arrays, sweep, write_arrays
from .channel import Channel
from .protocol import Message, ProtocolError, decode, encode
from .tasks import Context, resolve

_LEAVE_AFTER = 2.0
_LOOK_AT_PARENT = 2.0
_LOG_LIMIT = 20_000


@dataclass(frozen=True)
class _Wishes:
    """What the caller said of a job since it was sent."""

    cancel: threading.Event = field(default_factory=threading.Event)
    conclude: threading.Event = field(default_factory=threading.Event)


class Server:
    """Serves one client until it says goodbye, hangs up or dies.

    Args:
        channel: where messages come from and go to.
        device: passed on to the tasks.
        tasks: name to "module:function".
        parent: process id of the client, or None.
        folder: the client's own place for temporary files, or None.
    """

    def __init__(
        self, channel: Channel, device: str, tasks: Mapping[str, str], parent: int | None, folder: Path | None
    ) -> None:
        self._channel, self._device, self._tasks = channel, device, tasks
        self._parent, self._folder = parent, folder
        self._orders: queue.SimpleQueue[tuple[Message, _Wishes] | None] = queue.SimpleQueue()
        self._wishes: dict[str, _Wishes] = {}
        self._warm: dict[object, object] = {}
        self._broken = False
        self._closing = False
        self._leaving = False
        self._idle = threading.Event()
        self._exiting = threading.Lock()

    def serve(self) -> None:
        """Run until the end; does not return, because threads that still read would disturb a regular exit."""
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._watch_parent, daemon=True).start()
        try:
            self._channel.send({"type": "ready", "pid": os.getpid(), "python": sys.executable})
            while not self._broken and (order := self._orders.get()) is not None:
                self._execute(*order)
        except OSError:  # nobody listens any more
            self._leaving = True
        self._idle.set()
        self._exit()

    def _execute(self, order: Message, wishes: _Wishes) -> None:
        self._channel.send({"type": "started", "id": order["id"]})
        answer = self._answer(order, wishes)
        gc.collect()  # lets go of mapped files, which Windows cannot remove before
        self._wishes.pop(order["id"], None)
        self._channel.write(answer)

    def _answer(self, order: Message, wishes: _Wishes) -> bytes:
        """Run a task and return the line to answer; whatever the task raises becomes a typed error."""
        job, task, folder = order["id"], order["task"], Path(order["folder"])
        try:
            _check(wishes.cancel)
            run = resolve(task, self._tasks)
            arrays = read_arrays(folder, order["arrays"], mapped=True)
            parameters, results = run(order["parameters"], arrays, self._context(job, wishes))
            _check(wishes.cancel)
            files = write_arrays(folder, "out", results)
            return encode({"type": "result", "id": job, "parameters": parameters, "arrays": files})
        except MedAIError as error:
            return encode(_error(job, error.code, str(error)))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            logging.exception("The task '%s' failed.", task)
            return encode(_error(job, *self._unexpected(task, error)))

    def _context(self, job: str, wishes: _Wishes) -> Context:
        def emit(step: Step) -> None:
            fields = {"stage": step.stage, "fraction": step.fraction, "remaining": step.remaining}
            self._channel.send({"type": "progress", "id": job, **fields})

        def warn(code: str, message: str) -> None:
            self._channel.send({"type": "warning", "id": job, "code": code, "message": message})

        def progress(stages: Mapping[str, float]) -> Progress:
            return Progress(stages, emit, warn, wishes.cancel.is_set)

        return Context(self._device, progress, self._warm, wishes.conclude.is_set)

    def _unexpected(self, task: str, error: BaseException) -> tuple[str, str, str]:
        """Code, message and log for something that no task should raise."""
        log = "".join(traceback.format_exception(type(error), error, error.__traceback__))[-_LOG_LIMIT:]
        kind = type(error).__name__
        if isinstance(error, MemoryError) or "OutOfMemory" in kind:
            self._warm.clear()
            return "memory", f"There is not enough memory for '{task}'; close other programs and try again.", log
        if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("MedAILib"):
            return "package", f"'{task}' needs the Python package '{error.name}', which {sys.executable} lacks.", log
        if "CUDA error" in str(error):
            self._broken = True  # after such an error nothing works in this process any more
        return "internal", f"'{task}' failed because of a fault in MedAI ({kind}); please report it.", log

    def _listen(self) -> None:
        while line := self._channel.receive():
            if line.strip():
                self._take(line)
        self._leave()

    def _take(self, line: bytes) -> None:
        try:
            message = decode(line)
            kind = message["type"]
            if kind == "run":
                wishes = self._wishes[message["id"]] = _Wishes()
                self._orders.put((message, wishes))
            elif kind in ("cancel", "conclude"):
                if known := self._wishes.get(message["id"]):
                    (known.cancel if kind == "cancel" else known.conclude).set()
            elif kind == "close":
                self._closing = True
                self._orders.put(None)
            else:
                raise ProtocolError(f"a message '{kind}' is none for the worker")
        except ProtocolError as error:
            self._complain(f"The worker got a line that it cannot understand: {error}.")

    def _complain(self, text: str) -> None:
        try:
            self._channel.send(_error(None, "usage", text))
        except OSError:
            self._leave()

    def _watch_parent(self) -> None:
        """Notice the parent's end even when another process keeps the pipe open, as forked ones do."""
        if self._parent is None or os.name != "posix":
            return
        while _alive(self._parent):
            time.sleep(_LOOK_AT_PARENT)
        self._leave()

    def _leave(self) -> None:
        """End soon: a running task gets a moment to stop."""
        self._leaving = True
        for wishes in list(self._wishes.values()):
            wishes.cancel.set()
        self._orders.put(None)
        self._idle.wait(_LEAVE_AFTER)
        self._exit()

    def _exit(self) -> None:
        """End now; the files of a client that died, but never those of a living one, go first."""
        self._exiting.acquire()  # never released: only one thread may go through here
        if self._leaving:
            # A dying client's pipes may close a moment before its locks do.
            sweep(self._folder, patience=0.0 if self._closing else 1.0)
        sys.stderr.flush()
        os._exit(0)


def _check(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise Cancelled("The run was cancelled; nothing was changed.")


def _error(job: str | None, code: str, message: str, log: str = "") -> Message:
    return {"type": "error", "id": job, "code": code, "message": message, "log": log}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
