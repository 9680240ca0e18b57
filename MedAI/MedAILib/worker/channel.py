"""The worker's ends of the protocol, kept apart from the standard streams."""

from __future__ import annotations

import io
import os
import sys
import threading

from .protocol import LIMIT, Message, encode


class Channel:
    """Takes over standard input and output for messages.

    From then on whatever a library prints goes to the log, and nobody else can read the messages.
    """

    def __init__(self) -> None:
        self._input = io.BufferedReader(io.FileIO(os.dup(0), "rb"))
        self._output = os.dup(1)
        self._lock = threading.Lock()
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def receive(self) -> bytes:
        """The next line; empty at the end."""
        try:
            return self._input.readline(LIMIT)
        except OSError:
            return b""

    def send(self, message: Message) -> None:
        """Write one message.

        Raises:
            ProtocolError: see :func:`.protocol.encode`.
            OSError: nobody reads any more.
        """
        self.write(encode(message))

    def write(self, line: bytes) -> None:
        """Write one encoded message, on a line of its own whatever was printed before this channel existed."""
        line = b"\n" + line
        with self._lock:
            while line:
                line = line[os.write(self._output, line) :]
