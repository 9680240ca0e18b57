"""The caller's end of the worker: submit tasks, get events; nothing here blocks and nothing imports torch."""

from __future__ import annotations

import atexit
import os
import shutil
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MedAIError, UsageError, WorkerError
from ..progress import Step
from .arrays import Exchange, Kept, read_arrays, write_arrays
from .connection import Connection
from .events import Event, Failed, Finished, Outcome, Started, Warned
from .job import Job
from .process import python_executable
from .protocol import Message, ProtocolError, encode

_START_PATIENCE = 120.0
_END_PATIENCE = 3.0


@dataclass
class _Order:
    """A job with what is sent to the worker for it."""

    job: Job
    line: bytes
    folder: Path
    cancelled: bool = False
    concluded: bool = False
    started: bool = False
    resent: bool = False


class Worker:
    """One process that computes for this one, on one device; it starts with the first job and restarts after a crash.

    Jobs run one after another in the order of their submission. The process ends with :meth:`close`, with this
    process, or when it must be ended because a task does not stop.

    Args:
        device: the device's name as the user gave it, e.g. "auto", "cpu", "cuda".
        grace: seconds that a running task has to notice a cancel before the process is ended.
        python: the interpreter; by default the one of this process.
        tasks: name of a module whose ``TASKS`` are added to the worker's own.
        temporary_folder: where arrays are exchanged; by default in memory where there is room.
    """

    def __init__(
        self,
        device: str = "auto",
        *,
        grace: float = 10.0,
        python: str | None = None,
        tasks: str | None = None,
        temporary_folder: Path | None = None,
    ) -> None:
        self.device = device
        self._grace, self._python, self._tasks = grace, python, tasks
        self._folder = temporary_folder
        self._exchange = Exchange(temporary_folder)
        self._lock = threading.RLock()
        self._waiting: deque[_Order] = deque()
        self._running: _Order | None = None
        self._connection: Connection | None = None
        self._ready = False
        self._timer: threading.Timer | None = None
        self._closed = False
        self._owner = os.getpid()
        _ALL.add(self)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process's id, or None while there is none; in Slicer that of the launcher."""
        connection = self._connection
        return connection.pid if connection else None

    def submit(
        self,
        task: str,
        parameters: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> Job:
        """Hand over a task; returns at once, even while the process is still starting.

        Args:
            task: a name in :data:`MedAILib.worker.tasks.TASKS`.
            parameters: what has a JSON form. The worker runs in another folder, so paths must be absolute.
            arrays: any shape and number type; copied now, so the caller may change them afterwards.

        Raises:
            UsageError: the parameters have no JSON form or an array holds objects.
            WriteError: the folder for temporary files is full or not writable.
            WorkerError: the worker was closed.
        """
        arrays = {name: np.asarray(values) for name, values in (arrays or {}).items()}
        job = Job(task, self._cancel, self._conclude)
        message: Message = {"type": "run", "id": job.id, "task": task, "parameters": dict(parameters or {})}
        folder = self._exchange.folder(sum(array.nbytes for array in arrays.values()))
        try:
            files = write_arrays(folder, "in", arrays)
            order = _Order(job, encode({**message, "arrays": files, "folder": str(folder)}), folder)
            with self._lock:
                if self._closed:
                    raise WorkerError("This worker was closed; make a new one.")
                busy = bool(self._running or self._waiting)
                waits_for = "Waiting for the running job" if busy else "Starting the worker"
                if busy or not self._ready:
                    job.push(Step(waits_for, 0.0, None))
                self._waiting.append(order)
                self._advance()
        except ProtocolError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise UsageError(f"The parameters of '{task}' cannot be sent to the worker: {error}.") from error
        except MedAIError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return job

    def keep(self, arrays: Mapping[str, np.ndarray]) -> Kept:
        """Lay arrays where the worker finds them in any later job, also in one after it has started anew.

        Raises:
            UsageError: an array holds objects.
            WriteError: the folder for temporary files is full or not writable.
            WorkerError: the worker was closed.
        """
        folder = self._exchange.folder(sum(np.asarray(array).nbytes for array in arrays.values()))
        try:
            return Kept(folder, write_arrays(folder, "kept", arrays))
        except MedAIError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def close(self) -> None:
        """End the process, cancel what is under way and remove all files; waits a few seconds at most."""
        if os.getpid() != self._owner:  # a forked copy must not end its parent's worker
            return
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
            orders = [*([self._running] if self._running else []), *self._waiting]
            busy, self._running = self._running is not None, None
            self._waiting.clear()
            self._stop_timer()
        if connection is not None:
            if busy:
                connection.kill("closed")
            connection.send(encode({"type": "close"}))
            connection.hang_up()
            if not connection.join(_END_PATIENCE):
                connection.kill("closed")
                connection.join(_END_PATIENCE)
        self._exchange.close()
        for order in orders:
            order.job.push(Failed("cancelled", "The run was cancelled because MedAI was closed; nothing was changed."))
        _ALL.discard(self)

    # What follows runs under the lock or takes it: in the caller's thread, in a reading thread or in a timer.

    def _advance(self) -> None:
        """Start the process or the next job, whichever is missing."""
        while self._waiting and self._running is None and not self._closed:
            if self._connection is None:
                try:
                    self._connection = Connection(self._command(), self._on_message, self._on_exit)
                except WorkerError as error:
                    self._end(self._waiting.popleft(), Failed(error.code, str(error)))
                    continue
                self._ready = False
                self._start_timer(_START_PATIENCE, self._connection)
            elif self._ready:
                self._running = self._waiting.popleft()
                self._connection.send(self._running.line)
                if self._running.concluded:
                    self._connection.send(encode({"type": "conclude", "id": self._running.job.id}))
            return

    def _command(self) -> list[str]:
        command = [self._python or python_executable(), "-m", "MedAILib.worker", "--device", self.device]
        command += ["--parent", str(os.getpid())]
        if self._tasks:
            command += ["--tasks", self._tasks]
        if self._folder:
            command += ["--folder", str(self._folder)]
        return command

    def _on_message(self, connection: Connection, message: Message) -> None:
        with self._lock:
            if connection is not self._connection:
                return
            if message["type"] == "ready":
                self._ready = True
                self._stop_timer()
                self._advance()
                return
            order = self._running
            if order is None or message.get("id") != order.job.id:
                connection.log.note(f"(the worker speaks of no running job: {str(message)[:500]})")
                return
        event = self._event(order, message, connection)
        with self._lock:
            if order is not self._running:
                return
            if isinstance(event, (Finished, Failed)):
                self._running = None
                self._stop_timer()
                self._end(order, event)
                self._advance()
            else:
                order.started = True
                order.job.push(event)

    def _event(self, order: _Order, message: Message, connection: Connection) -> Event:
        kind = message["type"]
        if kind == "started":
            return Started()
        if kind == "progress":
            return Step(message["stage"], message["fraction"], message["remaining"])
        if kind == "warning":
            return Warned(message["code"], message["message"])
        if kind == "error":
            return Failed(message["code"], message["message"], message["log"])
        if kind != "result":
            return Failed("worker", f"The worker answered nonsense during '{order.job.task}': a message '{kind}'.")
        try:
            # A cancelled job's arrays are not wanted any more.
            files = {} if order.cancelled else message["arrays"]
            return Finished(message["parameters"], read_arrays(order.folder, files, mapped=False))
        except WorkerError as error:
            return Failed(error.code, str(error), connection.log.tail())
        except MemoryError:
            return Failed("memory", f"There is not enough memory for the result of '{order.job.task}'.")

    def _on_exit(self, connection: Connection, how: str) -> None:
        with self._lock:
            if connection is not self._connection:
                return
            self._connection = None
            self._stop_timer()
            order, self._running = self._running, None
            log = connection.log.tail()
            if order is None:
                if not self._ready and self._waiting:
                    reason = f"The worker process did not start ({how})."
                    self._end(self._waiting.popleft(), Failed("worker", reason, log))
            elif order.started or order.resent or order.cancelled:
                reason = f"The worker process ended unexpectedly during '{order.job.task}' ({how}); "
                self._end(order, Failed("worker", f"{reason}it starts anew with the next run.", log))
            else:
                order.resent = True  # the process had ended while idle, before it saw this job
                self._waiting.appendleft(order)
            self._ready = False
            self._advance()

    def _cancel(self, job: Job) -> None:
        with self._lock:
            for order in self._waiting:
                if order.job is job:
                    order.cancelled = True
                    self._waiting.remove(order)
                    self._end(order, Failed("cancelled", ""))
                    return
            running, connection = self._running, self._connection
            if running is None or running.job is not job or running.cancelled or connection is None:
                return
            running.cancelled = True
            connection.send(encode({"type": "cancel", "id": job.id}))
            self._start_timer(self._grace, connection)

    def _conclude(self, job: Job) -> None:
        with self._lock:
            for order in (*([self._running] if self._running else []), *self._waiting):
                if order.job is job and not order.concluded:
                    order.concluded = True
                    if order is self._running and self._connection is not None:
                        self._connection.send(encode({"type": "conclude", "id": job.id}))

    def _end(self, order: _Order, outcome: Outcome) -> None:
        if order.cancelled:
            outcome = Failed("cancelled", "The run was cancelled; nothing was changed.")
        shutil.rmtree(order.folder, ignore_errors=True)
        order.job.push(outcome)

    def _start_timer(self, seconds: float, connection: Connection) -> None:
        """Give the process some time to become ready or to give up its job."""
        self._stop_timer()
        self._timer = threading.Timer(seconds, self._out_of_patience, (connection,))
        self._timer.daemon = True
        self._timer.start()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _out_of_patience(self, connection: Connection) -> None:
        with self._lock:
            if connection is not self._connection:
                return
            # What then happens to the job: _on_exit.
            if not self._ready:
                connection.kill("it was not ready in time")
            elif self._running is not None and self._running.cancelled:
                connection.kill("it did not stop in time")


_ALL: weakref.WeakSet[Worker] = weakref.WeakSet()
_shared: dict[tuple[int, str], Worker] = {}
_shared_lock = threading.Lock()


def shared_worker(device: str = "auto") -> Worker:
    """The one worker of this process for a device; models stay warm in it from one run to the next."""
    key = (os.getpid(), device)
    with _shared_lock:
        worker = _shared.get(key)
        if worker is None or worker._closed:
            worker = _shared[key] = Worker(device)
        return worker


def close_workers() -> None:
    """Close all workers of this process, as happens by itself when Python ends."""
    for worker in list(_ALL):
        worker.close()


atexit.register(close_workers)
