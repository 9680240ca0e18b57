"""Tasks that the worker's tests give to the worker process; some behave as badly as a task can."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from MedAILib.errors import ContentError
from MedAILib.worker.tasks import Arrays, Context

TASKS = {
    name: f"worker_tasks:{name}"
    for name in (
        "broken_answer",
        "chatter",
        "child",
        "crash",
        "echo",
        "fail",
        "full_disk",
        "garbage",
        "huge_answer",
        "nap",
        "patient",
        "remember",
        "steps",
        "stubborn",
        "write_input",
    )
} | {"needs_package": "worker_task_that_is_not_there:run", "typo": "worker_tasks:no_such_function"}

Answer = tuple[dict[str, Any], Arrays]


def echo(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    return parameters, arrays


def write_input(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    """A task may change its input in place."""
    arrays["image"] += 1
    return {"mapped": isinstance(arrays["image"], np.memmap)}, {"image": arrays["image"]}


def nap(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    """Sleep while looking for a cancel."""
    progress = context.progress({"Sleeping": 1.0})
    progress.stage("Sleeping")
    end = time.monotonic() + parameters.get("seconds", 60.0)
    while time.monotonic() < end:
        time.sleep(0.02)
        progress.update(0.5)
    return {"done": parameters.get("name", "")}, {}


def stubborn(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    """Sleep without ever looking."""
    context.progress({"Ignoring": 1.0}).stage("Ignoring")
    time.sleep(60.0)
    return {}, {}


def child(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    """Start a process of its own, then sleep, as a launcher does."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(parameters["note"]).write_text(str(sleeper.pid))
    return stubborn(parameters, arrays, context)


def steps(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    progress = context.progress({"First": 1.0, "Second": 3.0})
    for stage in ("First", "Second"):
        progress.stage(stage)
        for part in range(parameters.get("count", 10)):
            progress.update(part / parameters.get("count", 10))
        progress.warn("test", f"{stage} has a warning")
    for number in range(parameters.get("warnings", 0)):
        progress.warn("many", str(number))
    return {}, {}


def fail(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    kinds = {
        "content": ContentError("The volume 'head' is empty; choose another."),
        "memory": MemoryError(),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "cuda": RuntimeError("CUDA error: an illegal memory access was encountered"),
        "fault": ZeroDivisionError("division by zero"),
    }
    raise kinds[parameters["kind"]]


def crash(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    print("the last words of the task", file=sys.stderr)
    how = parameters["how"]
    if how == "segmentation fault":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def patient(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    """Go on until told to finish with what there is."""
    progress = context.progress({"Sleeping": 1.0})
    progress.stage("Sleeping")
    rounds = 0
    while not context.stop():
        time.sleep(0.02)
        rounds += 1
        progress.update(0.5)
    return {"rounds": rounds}, {"found": np.arange(3)}


def chatter(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    """Print in every way there is, more than any pipe holds."""
    for _ in range(200):
        print("x" * 10_000)
        sys.stderr.write("y" * 10_000)
    os.write(1, b"to the file descriptor\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    print("ende é 漢字 \udcff")
    return {"input": sys.stdin.read()}, {}


def garbage(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    """Write onto the protocol's own pipe, which no task can reach by accident."""
    pipe = next(
        number
        for number in range(3, 20)
        if _target(number).startswith("pipe:") and _target(number) not in (_target(0), _target(2)) and _writable(number)
    )
    for line in parameters["lines"]:
        os.write(pipe, line.encode() + b"\n")
    os.write(pipe, bytes(range(256)) + b"\n" + b"no end of line" * 5000)
    return {"survived": True}, {}


def remember(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    context.warm["calls"] = context.warm.get("calls", 0) + 1
    return {"calls": context.warm["calls"], "device": context.device}, {}


def broken_answer(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    return {"object": object()}, {}


def huge_answer(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    return {"text": "x" * (65 * 2**20)}, {}


def full_disk(parameters: dict[str, Any], arrays: Arrays, context: Context) -> Answer:
    """Run into the file size limit while the result is written, which reads like a full disk."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    return {}, {"labels": np.zeros((64, 64, 64), np.uint8)}


def _target(number: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{number}").readlink())
    except OSError:
        return ""


def _writable(number: int) -> bool:
    import fcntl

    return fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
