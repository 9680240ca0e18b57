from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from MedAILib.errors import Cancelled, WorkerError
from MedAILib.worker import Worker, shared_worker
from MedAILib.worker.connection import Log
from worker_tools import CHILD, TASKS, needs_posix, needs_proc, running, started, until


@pytest.mark.parametrize("task", ["", "echo", "stubborn"])
def test_closing_leaves_no_process_and_no_file(worker_environment: None, tmp_path: Path, task: str) -> None:
    worker = Worker(tasks=TASKS, temporary_folder=tmp_path)
    if task:
        job, waiting = worker.submit(task, arrays={"a": np.ones(9)}), worker.submit("nap")
        if task == "stubborn":
            started(job)
    pid = worker.pid
    worker.close()
    worker.close()
    assert list(tmp_path.iterdir()) == []
    if task:
        with pytest.raises(Cancelled):
            waiting.wait()
        assert job.done
    if os.name == "posix" and pid is not None:
        assert not running(pid)
    with pytest.raises(WorkerError, match="closed"):
        worker.submit("ping")


PARENT = """
import sys
import numpy as np
from pathlib import Path
from MedAILib.worker import Step, Worker
worker = Worker(tasks="worker_tasks", temporary_folder=Path(sys.argv[1]))
job = worker.submit(sys.argv[2], arrays={"a": np.ones(1000)})
waiting = worker.submit("echo", arrays={"a": np.ones(1000)})
if sys.argv[2] in ("nap", "stubborn"):
    while not any(isinstance(event, Step) and event.stage in ("Sleeping", "Ignoring") for event in job.poll()):
        pass
else:
    waiting.wait()
print(worker.pid, flush=True)
if sys.argv[3] == "wait":
    sys.stdin.read()
"""


@needs_posix
@pytest.mark.parametrize("task", ["echo", "nap", "stubborn"])
@pytest.mark.parametrize("end", ["kill", "exit"])
def test_when_the_parent_is_killed_or_ends_neither_process_nor_file_stays(
    worker_environment: None, tmp_path: Path, task: str, end: str
) -> None:
    how = "wait" if end == "kill" else "exit"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), task, how],
        env=CHILD,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    if end == "kill":
        assert running(pid)
        parent.kill()
    parent.wait(60)
    until(lambda: not running(pid))
    until(lambda: not list(tmp_path.iterdir()))
    parent.stdout.close()
    parent.stdin.close()


@needs_proc
def test_fifty_jobs_and_three_crashes_leave_no_open_file_or_thread(worker_environment: None, tmp_path: Path) -> None:
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = handles(), threading.active_count()
    with Worker(tasks=TASKS, temporary_folder=tmp_path) as worker:
        worker.submit("echo").wait()
        warm = handles(), threading.active_count()
        for number in range(50):
            assert worker.submit("echo", arrays={"a": np.full(9, number)}).wait().arrays["a"][0] == number
        until(lambda: (handles(), threading.active_count()) == warm)
        for _ in range(3):
            with pytest.raises(WorkerError):
                worker.submit("crash", {"how": "exit"}).wait()
        worker.submit("echo").wait()
        until(lambda: (handles(), threading.active_count()) == warm)
        assert [path.name for path in tmp_path.glob("*/*")] == ["lock"]
    until(lambda: (handles(), threading.active_count()) == before)


def test_a_device_has_one_shared_process_until_it_is_closed(worker_environment: None) -> None:
    first = shared_worker("cpu")
    assert shared_worker("cpu") is first
    assert shared_worker("auto") is not first
    first.close()
    second = shared_worker("cpu")
    assert second is not first
    assert second.submit("ping").wait().parameters["device"] == "cpu"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_copy_of_this_process_does_not_end_the_worker() -> None:
    code = (
        "import os, sys; from MedAILib.worker import Worker; worker = Worker(); worker.submit('ping').wait();"
        "child = os.fork();"
        "child or sys.exit(0);"
        "os.waitpid(child, 0); pid = worker.pid;"
        "print(worker.submit('ping').wait().parameters['pid'] == pid)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        env=CHILD,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    assert output.stdout.strip() == b"True"


def test_the_log_keeps_only_the_last_lines_of_an_endless_stream() -> None:
    log = Log()
    for number in range(500):
        log.feed(b"x" * 100_000 + b"\rline %d\n" % number)
    assert len(log.tail(10_000)) <= 200 * 2001
    assert log.tail(1) == "line 499"


@needs_posix
@pytest.mark.parametrize("end", ["cancel", "close", "crash"])
def test_behind_a_launcher_the_process_that_works_is_ended_too(
    worker_environment: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, end: str
) -> None:
    launcher = tmp_path_factory.mktemp("Slicer") / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    with Worker(python=str(launcher), tasks=TASKS, temporary_folder=tmp_path, grace=0.2) as worker:
        pid = worker.submit("ping").wait().parameters["pid"]
        assert pid != worker.pid
        job = worker.submit("stubborn")
        started(job)
        if end == "cancel":
            job.cancel()
        elif end == "close":
            worker.close()
        else:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerError if end == "crash" else Cancelled):
            job.wait()
        until(lambda: not running(pid))
    assert list(tmp_path.iterdir()) == []
