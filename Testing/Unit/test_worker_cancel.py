from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from MedAILib.errors import Cancelled
from MedAILib.worker import Event, Failed, Finished, Step, Worker
from worker_tools import drain, needs_posix, running, started, until


def test_a_job_cancelled_before_the_process_is_up_ends_at_once(worker: Worker) -> None:
    job = worker.submit("nap")
    job.cancel()
    assert job.done
    with pytest.raises(Cancelled, match="nothing was changed"):
        job.wait()
    assert worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}


def test_a_waiting_job_is_cancelled_at_once_and_the_running_one_goes_on(common_worker: Worker) -> None:
    first, second, third = (
        common_worker.submit("nap", {"seconds": 0.3}),
        common_worker.submit("nap"),
        common_worker.submit("echo"),
    )
    second.cancel()
    assert second.done
    assert not first.done
    assert isinstance(drain(first)[-1], Finished)
    assert isinstance(drain(third)[-1], Finished)


def test_a_running_job_stops_at_its_next_look_and_the_process_stays_warm(common_worker: Worker) -> None:
    job = common_worker.submit("nap")
    started(job)
    pid = common_worker.pid
    job.cancel()
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert common_worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}
    assert common_worker.pid == pid


def test_a_job_that_ignores_the_cancel_is_ended_with_its_process_after_the_grace_time(worker: Worker) -> None:
    job, following = worker.submit("stubborn"), worker.submit("echo", {"a": 1})
    started(job)
    pid = worker.pid
    assert pid is not None
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert following.wait().parameters == {"a": 1}
    assert worker.pid != pid
    if os.name == "posix":
        assert not running(pid)


@needs_posix
def test_children_of_the_process_are_ended_with_it(worker: Worker, tmp_path: Path) -> None:
    note = tmp_path / "note"
    job = worker.submit("child", {"note": str(note)})
    started(job)
    child = int(note.read_text())
    note.unlink()
    assert running(child)
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    until(lambda: not running(child))


def test_a_result_that_comes_after_the_cancel_is_not_delivered(common_worker: Worker) -> None:
    job = common_worker.submit("nap", {"seconds": 0.15})
    started(job)
    time.sleep(0.12)
    job.cancel()
    assert isinstance(drain(job)[-1], Failed)


def test_cancelling_a_finished_job_changes_nothing(common_worker: Worker) -> None:
    job = common_worker.submit("echo", {"a": 1})
    job.wait()
    job.cancel()
    assert job.wait().parameters == {"a": 1}


def test_an_interrupt_while_waiting_cancels_the_job(common_worker: Worker) -> None:
    job = common_worker.submit("nap")

    def interrupt(event: Event) -> None:
        if isinstance(event, Step) and event.stage == "Sleeping":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.wait(interrupt)
    assert isinstance(drain(job)[-1], Failed)
