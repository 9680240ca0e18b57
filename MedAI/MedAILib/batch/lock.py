"""One run at a time in an output folder."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UsageError
from ..files.writing import write_error

LOCK_NAME = ".medai-run"
"""Begins with a dot, so it is no input of a later run."""


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep other runs out of the folder while the block is worked on.

    The operating system's file lock is held, which ends with the process however that ends: what a killed run leaves is
    an unlocked file that the next run takes over. A file system without locks gives no protection.

    Raises:
        UsageError: another run is in the folder; the message names folder, process and computer.
        WriteError: the folder cannot be written.
    """
    path = folder / LOCK_NAME
    try:
        handle = _take(path)
    except OSError as error:
        raise write_error(folder, error) from error
    if handle is None:
        raise UsageError(
            f"{folder}: another MedAI run{_owner(path)} is working in this output folder. Wait for its end, or choose "
            "another folder."
        )
    try:
        yield
    finally:
        _leave(path, handle)


def _take(path: Path) -> int | None:
    """Open and lock the file, and write into it who did; None if somebody else holds the lock."""
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        if not _lock(handle):
            os.close(handle)
            return None
        if _is_current(path, handle):
            break
        os.close(handle)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f" (process {os.getpid()} on {platform.node()})".encode())
    except OSError:
        _leave(path, handle)
        raise
    return handle


def _is_current(path: Path, handle: int) -> bool:
    """False if the run before removed the file before we locked it: such a lock keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 20
    """Far behind the text, which others read; on Windows a locked byte cannot be read."""

    def _lock(handle: int) -> bool:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        os.lseek(handle, 0, os.SEEK_SET)
        return True

    def _leave(path: Path, handle: int) -> None:
        """An open file cannot be removed on Windows: neither ours before it is closed, nor that of a later run."""
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink()

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def _leave(path: Path, handle: int) -> None:
        """Remove the file while it is still locked, so that it is never that of a later run."""
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)
