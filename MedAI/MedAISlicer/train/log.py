"""Follows the log of a training while it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class Log:
    """Reads each line of a log once.

    Args:
        path: of the file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._step = path, 0, -1

    def news(self) -> list[Line]:
        """What was written since the last call; half a line waits for the next.

        After a crash a training goes on from its last checkpoint and does some steps again; what the log says of those
        for the second time is left out.
        """
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                content = stream.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = []
        for text in whole.splitlines():
            line = _parsed(text)
            if line is not None and line["step"] >= self._step:
                self._step = line["step"]
                lines.append(line)
        return lines


def _parsed(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    known = isinstance(line, dict) and all(isinstance(line.get(key), (int, float)) for key in ("step", "seconds"))
    return line if known else None
