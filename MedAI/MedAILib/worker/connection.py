"""The pipes to one worker process, served by threads so that no caller ever waits on them."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

from . import process
from .protocol import LIMIT, Message, ProtocolError, decode

_LINES = 200
_WIDTH = 2000
_PATIENCE = 5.0


class Log:
    """The last lines of a stream of any length, in bounded memory."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._open = b""
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> None:
        """Add bytes as they come; a carriage return ends a line like a line feed."""
        with self._lock:
            *lines, rest = (self._open + data).replace(b"\r", b"\n").split(b"\n")
            self._lines.extend(_text(line) for line in lines if line.strip())
            self._open = rest[:_WIDTH]

    def note(self, text: str) -> None:
        """Add a line of our own."""
        with self._lock:
            self._lines.append(text[:_WIDTH])

    def tail(self, count: int = 40) -> str:
        """The last ``count`` lines."""
        with self._lock:
            lines = [*self._lines, *([_text(self._open)] if self._open.strip() else [])]
        return "\n".join(lines[-count:])


class Connection:
    """One running worker process.

    Args:
        command: program and arguments.
        on_message: receives (connection, message), in the reading thread.
        on_exit: receives (connection, how it ended in words) once, in the reading thread, when the process is gone.

    Raises:
        WorkerError: the process cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_message: Callable[[Connection, Message], None],
        on_exit: Callable[[Connection, str], None],
    ) -> None:
        self.log = Log()
        self._on_message, self._on_exit = on_message, on_exit
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._why = ""
        self._process = process.start(command)
        self._drain = self._thread("log", self._read_log, self._process.stderr)
        self._thread("write", self._write, self._process.stdin)
        self._thread("read", self._read, self._process.stdout)

    @property
    def pid(self) -> int:
        """The process's id; in Slicer that of the launcher."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Queue a line; returns at once."""
        self._lines.put(line)

    def hang_up(self) -> None:
        """Close the worker's input, on which it ends by itself; returns at once."""
        self._lines.put(None)

    def kill(self, why: str) -> None:
        """End the process and its children now; ``why`` tells ``on_exit`` how it ended, if it was still alive."""
        if self._process.poll() is None:
            self._why = why
        process.end_tree(self._process)

    def join(self, patience: float) -> bool:
        """Wait until the process is gone; False if it is not after ``patience`` seconds."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _thread(self, name: str, target: Callable[[IO[bytes]], None], stream: IO[bytes] | None) -> threading.Thread:
        thread = threading.Thread(target=target, args=(stream,), name=f"medai-{name}", daemon=True)
        thread.start()
        return thread

    def _write(self, stream: IO[bytes]) -> None:
        # A broken pipe is reported by the reading thread, which sees the end of the process.
        with contextlib.suppress(OSError):
            while (line := self._lines.get()) is not None:
                stream.write(line)
                stream.flush()
        with contextlib.suppress(OSError):
            stream.close()

    def _read_log(self, stream: IO[bytes]) -> None:
        with stream:
            while data := stream.read1(65536):  # type: ignore[attr-defined]
                self.log.feed(data)

    def _read(self, stream: IO[bytes]) -> None:
        try:
            self._receive(stream)
        finally:
            # Also after a fault of our own: a job without an end would be worse than a lost process.
            self.join(_PATIENCE)
            self.kill("it closed its output but went on")
            status = self._process.wait()
            self._lines.put(None)
            self._drain.join(1.0)
            self._on_exit(self, self._why or process.describe_exit(status))

    def _receive(self, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(LIMIT):
                if not line.strip():
                    continue
                try:
                    message = decode(line)
                except ProtocolError as error:
                    self.log.note(f"(not understood from the worker: {error})")
                else:
                    self._on_message(self, message)


def _text(line: bytes) -> str:
    return line[:_WIDTH].decode("utf-8", "backslashreplace").rstrip()
