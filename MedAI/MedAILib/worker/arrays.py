"""Arrays between the two processes: uncompressed .npy files in a private folder, in memory where there is room.

A client owns one folder per place, with one folder per job in it. The owner holds a lock on it for as long as it lives;
whoever can take the lock (a worker whose client died, the next client that starts) removes the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError, WorkerError, WriteError

PREFIX = "medai-worker-"
_LOCK = "lock"
_MEMORY = Path("/dev/shm")
_SPARE = 64 * 2**20
_ABANDONED_AFTER = 3600.0


@dataclass(frozen=True)
class Kept:
    """Arrays that outlive a job, so that several jobs look at them without sending them again.

    Attributes:
        folder: where they lie, until :meth:`release` or the end of the client.
        files: name to file name.
    """

    folder: Path
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """What a job's parameters say of them."""
        return {"folder": str(self.folder), "files": dict(self.files)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Kept:
        """What :meth:`to_json` wrote."""
        return cls(Path(data["folder"]), dict(data["files"]))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of them, mapped copy-on-write; raises WorkerError if they are gone."""
        return read_arrays(self.folder, self.files, mapped=True)

    def release(self) -> None:
        """Remove them; whoever has them mapped keeps what it has."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Exchange:
    """The private folders of one client.

    Args:
        base: where to make them; by default in memory (/dev/shm) when that has room, else in the temporary folder.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._base = base
        self._roots: dict[Path, _Root] = {}
        self._lock = threading.Lock()
        self._closed = False
        sweep(base)

    def folder(self, size: int) -> Path:
        """Make a job's folder where about ``size`` bytes of input, and results like it, have room.

        Raises:
            WriteError: nothing can be written there.
            WorkerError: the exchange was closed.
        """
        base = self._base or _place(size)
        with self._lock:
            if self._closed:
                raise WorkerError("This worker was closed; make a new one.")
            try:
                root = self._roots.get(base)
                if root is None or not root.path.is_dir():  # some systems clear old temporary folders
                    if root is not None:
                        root.remove()
                    root = self._roots[base] = _Root(base)
                return Path(tempfile.mkdtemp(prefix="job-", dir=root.path))
            except OSError as error:
                raise _unwritable(base, error) from error

    def close(self) -> None:
        """Remove everything; no folder can be made afterwards."""
        with self._lock:
            self._closed = True
            while self._roots:
                self._roots.popitem()[1].remove()


class _Root:
    """A folder that only its living owner keeps: made locked, removed by whoever gets the lock."""

    def __init__(self, base: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self._handle = _make_lock(self.path)

    def remove(self) -> None:
        os.close(self._handle)
        shutil.rmtree(self.path, ignore_errors=True)


def sweep(base: Path | None = None, patience: float = 0.0) -> None:
    """Remove the folders whose owners are dead, from ``base`` or all usual places.

    Args:
        base: where to look; None for all usual places.
        patience: seconds to go on looking while there are folders that are still owned.
    """
    deadline = time.monotonic() + patience
    while True:
        owned = [path for path in _roots(base) if not _remove_orphan(path)]
        if not owned or time.monotonic() >= deadline:
            return
        time.sleep(0.05)


def write_arrays(folder: Path, side: str, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write named arrays of any shape and any dtype without Python objects.

    Args:
        folder: a job's folder.
        side: "in" or "out", so that results never meet inputs.
        arrays: name to array.

    Returns:
        name to file name.

    Raises:
        UsageError: an array holds Python objects.
        WriteError: no room, or no permission.
    """
    files = {}
    for number, (name, values) in enumerate(arrays.items()):
        array = np.asarray(values)
        if array.dtype.hasobject:
            raise UsageError(f"The array '{name}' holds Python objects; only numbers can be sent.")
        files[name] = f"{side}-{number}.npy"
        try:
            with (folder / files[name]).open("wb") as stream:
                np.save(stream, array, allow_pickle=False)
        except OSError as error:
            raise _unwritable(folder.parent.parent, error, array.nbytes) from error
    return files


def read_arrays(folder: Path, files: Mapping[str, str], mapped: bool) -> dict[str, np.ndarray]:
    """Read what :func:`write_arrays` wrote.

    Args:
        folder: the job's folder.
        files: name to file name.
        mapped: True maps the files copy-on-write; False loads them, so that they can be removed.

    Raises:
        WorkerError: a file is missing or damaged.
    """
    arrays = {}
    for name, file in files.items():
        path = folder / Path(file).name
        try:
            arrays[name] = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise WorkerError(
                f"The array '{name}' was lost between MedAI and its worker ({path}: {error}). Run again; if it happens "
                "again, something on this computer removes temporary files."
            ) from error
    return arrays


def _place(size: int) -> Path:
    """The memory file system if inputs, results and as much again have room there, else the temporary folder."""
    with contextlib.suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= 4 * size + _SPARE:
            return _MEMORY
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise WriteError(f"There is no folder for temporary files ({error}); set TMPDIR to one.") from error


def _roots(base: Path | None) -> Iterator[Path]:
    places = {base} if base else {_MEMORY, *_temporary()}
    for place in places:
        with contextlib.suppress(OSError):
            yield from place.glob(f"{PREFIX}*")


def _temporary() -> list[Path]:
    try:
        return [Path(tempfile.gettempdir())]
    except OSError:
        return []


def _remove_orphan(root: Path) -> bool:
    """Remove the folder if its owner is dead; False if it still has one that may leave any moment."""
    try:
        status = root.lstat()
        if root.is_symlink() or (sys.platform != "win32" and status.st_uid != os.getuid()):
            return True
        if not (root / _LOCK).exists():  # being made, or its owner died while making it
            if time.time() - status.st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(root, ignore_errors=True)
            return True
        return _remove_unlocked(root)
    except FileNotFoundError:
        return True
    except OSError:
        return False


if sys.platform == "win32":

    def _make_lock(root: Path) -> int:
        """An open file cannot be removed on Windows, which is lock enough."""
        return os.open(root / _LOCK, os.O_CREAT | os.O_RDWR)

    def _remove_unlocked(root: Path) -> bool:
        (root / _LOCK).unlink()
        shutil.rmtree(root, ignore_errors=True)
        return True

else:
    import fcntl

    def _make_lock(root: Path) -> int:
        """Lock a file before it gets its name, so that nobody finds it unlocked while its owner lives."""
        unnamed = root / f"{_LOCK}.new"
        handle = os.open(unnamed, os.O_CREAT | os.O_RDWR)
        with contextlib.suppress(OSError):  # a file system without locks: there nobody sweeps either
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(root / _LOCK)
        return handle

    def _remove_unlocked(root: Path) -> bool:
        """Remove the folder while holding its lock; raises BlockingIOError when another process holds it."""
        handle = os.open(root / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(root, ignore_errors=True)
        finally:
            os.close(handle)
        return True


def _unwritable(base: Path, error: OSError, size: int = 0) -> WriteError:
    needed = f" ({size / 2**20:.0f} MB needed)" if size else ""
    reason = error.strerror or str(error)
    return WriteError(
        f"The folder for temporary files, {base}, cannot be written{needed}: {reason}. "
        "Free some space there or set TMPDIR to another folder."
    )
