"""A job that is told to finish with what it has."""

from __future__ import annotations

import pytest

from MedAILib.errors import Cancelled
from MedAILib.worker import Worker
from worker_tools import started


def test_a_running_job_finishes_with_what_it_has(common_worker: Worker) -> None:
    job = common_worker.submit("patient")
    started(job)
    job.conclude()
    job.conclude()
    finished = job.wait()
    assert finished.parameters["rounds"] >= 0
    assert finished.arrays["found"].tolist() == [0, 1, 2]


def test_a_job_concluded_before_its_turn_is_concluded_when_it_runs(worker: Worker) -> None:
    first, second = worker.submit("nap", {"seconds": 0.3}), worker.submit("patient")
    second.conclude()
    assert not second.done
    assert first.wait().parameters == {"done": ""}
    assert second.wait().parameters["rounds"] >= 0


def test_the_next_job_is_not_concluded_with_the_one_before(common_worker: Worker) -> None:
    first = common_worker.submit("patient")
    first.conclude()
    first.wait()
    second = common_worker.submit("patient")
    started(second)
    assert not second.done
    second.cancel()
    with pytest.raises(Cancelled):
        second.wait()


def test_a_cancel_after_the_conclusion_still_cancels(common_worker: Worker) -> None:
    waiting = common_worker.submit("nap", {"seconds": 0.3})
    job = common_worker.submit("patient")
    job.conclude()
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    waiting.wait()


def test_concluding_a_job_that_is_done_changes_nothing(common_worker: Worker) -> None:
    job = common_worker.submit("echo", {"a": 1})
    job.wait()
    job.conclude()
    assert common_worker.submit("echo", {"a": 2}).wait().parameters == {"a": 2}
