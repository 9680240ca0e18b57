from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from MedAILib.errors import WorkerError
from MedAILib.worker import Failed, Worker
from MedAILib.worker import client as client_module
from MedAILib.worker import connection as connection_module
from worker_tools import drain, needs_posix, started


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("exit", "exit status 7"),
        pytest.param("kill", "SIGKILL.*memory", marks=needs_posix),
        pytest.param("segmentation fault", "SIGSEGV", marks=needs_posix),
    ],
)
def test_a_crash_is_an_error_with_the_last_log_lines_and_the_next_job_gets_a_new_process(
    worker: Worker, how: str, text: str
) -> None:
    job, following = worker.submit("crash", {"how": how}), worker.submit("echo", {"a": 1})
    with pytest.raises(WorkerError, match=text) as failure:
        job.wait()
    assert "the last words of the task" in str(failure.value)
    if how == "segmentation fault":
        assert "worker_tasks.py" in str(failure.value)
    assert following.wait().parameters == {"a": 1}


@needs_posix
def test_a_process_killed_while_it_computes_is_an_error_at_once_and_comes_back(worker: Worker) -> None:
    job = worker.submit("stubborn")
    started(job)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="ended unexpectedly during 'stubborn'"):
        job.wait()
    assert worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}


@needs_posix
def test_a_process_killed_while_idle_is_not_noticed_by_the_next_job(worker: Worker) -> None:
    worker.submit("echo").wait()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}


def test_a_process_whose_input_is_cut_ends_and_comes_back(worker: Worker) -> None:
    job = worker.submit("stubborn")
    started(job)
    assert worker._connection is not None
    worker._connection.hang_up()
    with pytest.raises(WorkerError, match="ended unexpectedly"):
        job.wait()
    assert worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}


def test_an_interpreter_that_is_not_there_is_a_clear_error_for_each_job(tmp_path: Path) -> None:
    with Worker(python="/no-such-python", temporary_folder=tmp_path) as worker:
        for _ in range(2):
            with pytest.raises(WorkerError, match="no-such-python"):
                worker.submit("ping").wait()


def test_a_process_that_ends_before_it_is_ready_is_an_error_for_each_job_and_no_endless_loop(tmp_path: Path) -> None:
    with Worker(tasks="no_such_module", temporary_folder=tmp_path) as worker:
        for job in (worker.submit("ping"), worker.submit("ping")):
            with pytest.raises(WorkerError, match=r"did not start(.|\n)*no_such_module"):
                job.wait()


@needs_posix
def test_a_process_that_never_becomes_ready_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho hello from a launcher\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(client_module, "_START_PATIENCE", 0.3)
    with (
        Worker(python=str(script), temporary_folder=tmp_path) as worker,
        pytest.raises(WorkerError, match=r"not ready in time(.|\n)*hello from a launcher"),
    ):
        worker.submit("ping").wait()


def test_a_result_that_does_not_fit_into_this_process_is_a_clear_error(
    common_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(client_module, "read_arrays", too_large)
    failed = drain(common_worker.submit("echo", arrays={"a": np.ones(3)}))[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "memory"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_client_itself_ends_the_job_instead_of_leaving_it_forever(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = worker.submit("nap")
    started(job)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_event", lambda *arguments: 1 / 0)
        patch.setattr(connection_module, "_PATIENCE", 0.1)
        with pytest.raises(WorkerError, match="ended unexpectedly during 'nap'"):
            job.wait()
    assert worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}
