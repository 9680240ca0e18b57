"""Brings a finished file to the disk, and onto an older one."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


def flush(draft: Path) -> None:
    """Wait until a file is on the disk.

    Raises:
        OSError: the disk is full, or gone.
    """
    with draft.open("r+b") as file:  # Windows flushes only what could be written to
        os.fsync(file.fileno())


def move_onto(draft: Path, target: Path) -> None:
    """Give a file its final name in one step, over whatever has it.

    On Windows a file cannot be replaced while somebody reads it, as a viewer does, or a virus scanner just after it was
    written; they are soon done.

    Raises:
        OSError: it cannot be done.
    """
    for pause in _PAUSES if sys.platform == "win32" else ():
        try:
            draft.replace(target)
            return
        except PermissionError:
            time.sleep(pause)
    draft.replace(target)
