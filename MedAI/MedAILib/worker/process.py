"""Starting the worker process and ending it with everything that it started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from ..errors import WorkerError

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the package; in Slicer a qt-scripted-modules folder."""
_KEPT = 32 * 2**20
"""Bytes: the largest piece of memory that glibc can be told to keep for the next one who asks."""


def python_executable() -> str:
    """Find the Python interpreter with this process's packages.

    That is ``sys.executable``, unless Python is embedded: in Slicer ``sys.executable`` may be the application itself
    (SlicerApp-real) or empty, and the interpreter is PythonSlicer, which stands on Slicer's own PATH.

    Raises:
        WorkerError: there is none.
    """
    own = Path(sys.executable) if sys.executable else None
    if own and own.name.lower().startswith("python") and own.is_file():
        return str(own)
    name = "PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer"
    folders = [own.parent, own.parent.parent / "bin"] if own else []
    if home := os.environ.get("SLICER_HOME"):
        folders.insert(0, Path(home) / "bin")
    for candidate in (shutil.which(name), *(str(folder / name) for folder in folders)):
        if candidate and Path(candidate).is_file():
            return candidate
    raise WorkerError(
        f"No Python interpreter was found beside {own or 'this program'}. In Slicer it is called {name}; "
        "set SLICER_HOME to Slicer's folder."
    )


def environment() -> dict[str, str]:
    """This process's environment with what the worker needs; settings that the user made stay."""
    child = dict(os.environ)
    # Threads of OpenMP and OpenBLAS that spin while they wait take the cores from the user's program.
    child.setdefault("OMP_WAIT_POLICY", "passive")
    child.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    # Memory that is freed and asked for again at every step costs the kernel's time.
    child.setdefault("MALLOC_MMAP_THRESHOLD_", str(_KEPT))
    child.setdefault("MALLOC_TRIM_THRESHOLD_", str(_KEPT))
    child["PYTHONUNBUFFERED"] = "1"
    child["PYTHONFAULTHANDLER"] = "1"  # a crash in native code leaves its stack in the log
    child["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    child["PYTHONSAFEPATH"] = "1"  # a file random.py in the user's folder must not be taken for Python's own
    if str(_PACKAGE_ROOT) not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        child["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_PACKAGE_ROOT), child.get("PYTHONPATH"))))
    return child


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process with pipes, in a process group of its own and without a console window.

    It runs in the package's folder, because Python before 3.11 imports from the current folder first.

    Raises:
        WorkerError: it cannot be started.
    """
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=_PACKAGE_ROOT,
            start_new_session=sys.platform != "win32",
            creationflags=flags,
        )
    except OSError as error:
        raise WorkerError(f"The worker process cannot be started: {command[0]}: {error.strerror or error}.") from error


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End the process and all its children, at once.

    PythonSlicer is a launcher whose child does the work: ending the parent alone would leave the child running.
    """
    if sys.platform == "win32":
        if process.poll() is None:
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=subprocess.CREATE_NO_WINDOW,
                check=False,
            )
    else:
        # The group outlives its leader as long as a member is there.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()


def describe_exit(status: int) -> str:
    """Say in words how a process ended, from its exit status (negative: the signal on POSIX)."""
    if status >= 0:
        return f"exit status {status if status < 256 else hex(status)}"  # Windows: 0xc0000005 and the like
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if name == "SIGKILL":
        return f"{name}; the system ends programs like this when memory runs out"
    return name
