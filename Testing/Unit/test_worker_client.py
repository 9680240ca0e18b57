from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import MedAILib
from MedAILib.errors import ContentError, MedAIError, UsageError, WorkerError, WriteError
from MedAILib.worker import Event, Failed, Finished, Started, Step, Warned, Worker
from worker_tools import drain, needs_posix, needs_proc, started, until


def test_parameters_and_arrays_come_back_as_they_went(common_worker: Worker) -> None:
    volume = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    parameters = {
        "text": "è 漢字 \U0001f9e0\n\x00",
        "number": 0.1,
        "nothing": None,
        "list": [1, [2, {}]],
        "nan": np.nan,
    }
    finished = common_worker.submit(
        "echo", parameters, {"image": volume, "mask 漢": volume > 0, "empty": volume[:0]}
    ).wait()
    assert str(finished.parameters) == str({**parameters, "nan": float("nan")})
    assert list(finished.arrays) == ["image", "mask 漢", "empty"]
    np.testing.assert_array_equal(finished.arrays["image"], volume)
    np.testing.assert_array_equal(finished.arrays["mask 漢"], volume > 0)


def test_result_arrays_belong_to_the_caller_and_outlive_the_worker(worker: Worker, tmp_path: Path) -> None:
    result = worker.submit("echo", arrays={"image": np.arange(1000)}).wait().arrays["image"]
    assert [path.name for path in tmp_path.glob("*/*")] == ["lock"]
    worker.close()
    result += 1
    assert result[-1] == 1000
    assert type(result) is np.ndarray


def test_the_callers_array_is_copied_at_submission_and_never_changed(common_worker: Worker) -> None:
    image = np.zeros(1000)
    blocker = common_worker.submit("nap", {"seconds": 0.1})
    job = common_worker.submit("write_input", arrays={"image": image})
    image[:] = 7
    blocker.wait()
    finished = job.wait()
    assert finished.parameters == {"mapped": True}
    np.testing.assert_array_equal(finished.arrays["image"], np.ones(1000))
    np.testing.assert_array_equal(image, np.full(1000, 7))


def test_what_a_task_keeps_warm_is_there_for_the_next_one(worker: Worker) -> None:
    calls = [worker.submit("remember").wait().parameters for _ in range(3)]
    assert calls == [{"calls": number, "device": "cpu"} for number in (1, 2, 3)]


def test_ping_tells_version_process_and_device(common_worker: Worker) -> None:
    answer = common_worker.submit("ping").wait().parameters
    assert answer["version"] == MedAILib.__version__
    assert answer["pid"] == common_worker.pid
    assert answer["device"] == "cpu"


def test_events_tell_start_stages_warnings_and_the_end_in_order(common_worker: Worker) -> None:
    events: list[Event] = []
    common_worker.submit("steps").wait(events.append)
    assert isinstance(next(event for event in events if not isinstance(event, Step)), Started)
    assert isinstance(events[-1], Finished)
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert [event for event in events if isinstance(event, Warned)] == [
        Warned("test", "First has a warning"),
        Warned("test", "Second has a warning"),
    ]


def test_submitting_and_polling_return_at_once_while_the_process_still_starts(worker: Worker) -> None:
    job = worker.submit("echo")
    assert not job.done
    assert job.poll() == [Step("Starting the worker", 0.0, None)]
    assert isinstance(drain(job)[-1], Finished)
    assert job.poll() == []


def test_a_result_that_was_polled_can_still_be_waited_for(common_worker: Worker) -> None:
    job = common_worker.submit("echo", {"a": 1})
    drain(job)
    assert job.wait().parameters == {"a": 1}


def test_events_that_nobody_fetches_do_not_pile_up(common_worker: Worker) -> None:
    job = common_worker.submit("steps", {"count": 1000, "warnings": 500})
    until(lambda: job.done)
    events = job.poll()
    assert len(events) < 110
    assert sum(isinstance(event, Step) for event in events) == 1
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)


def test_two_jobs_at_once_run_in_order_each_with_its_own_events(common_worker: Worker) -> None:
    first = common_worker.submit("nap", {"seconds": 0.2, "name": "first"})
    second = common_worker.submit("nap", {"seconds": 0.1, "name": "second"})
    assert second.poll() == [Step("Waiting for the running job", 0.0, None)]
    finished = second.wait()
    assert first.done
    assert (first.wait().parameters, finished.parameters) == ({"done": "first"}, {"done": "second"})


def test_jobs_may_be_submitted_from_several_threads(common_worker: Worker) -> None:
    answers: list[int] = []

    def submit(number: int) -> None:
        answers.append(
            int(common_worker.submit("echo", arrays={"a": np.full(10, number)}).wait().arrays["a"][0]) - number
        )

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [0] * 8


def test_an_error_of_a_task_is_raised_as_what_it_was(common_worker: Worker) -> None:
    with pytest.raises(ContentError, match=r"^The volume 'head' is empty; choose another\.$"):
        common_worker.submit("fail", {"kind": "content"}).wait()


@pytest.mark.parametrize(
    ("kind", "code", "text"),
    [
        ("fault", "internal", "ZeroDivisionError"),
        ("exit", "internal", "SystemExit"),
        ("interrupt", "internal", "KeyboardInterrupt"),
        ("memory", "memory", "not enough memory"),
    ],
)
def test_whatever_a_task_raises_becomes_a_typed_error_and_the_process_lives_on(
    common_worker: Worker, kind: str, code: str, text: str
) -> None:
    common_worker.submit("echo").wait()
    pid = common_worker.pid
    failed = drain(common_worker.submit("fail", {"kind": kind}))[-1]
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert text in failed.message
    assert "\n" not in failed.message
    assert "worker_tasks.py" in failed.log
    common_worker.submit("echo").wait()
    assert common_worker.pid == pid


def test_a_device_that_is_out_of_order_gets_a_fresh_process(worker: Worker) -> None:
    worker.submit("echo").wait()
    pid = worker.pid
    with pytest.raises(MedAIError, match="illegal memory access"):
        worker.submit("fail", {"kind": "cuda"}).wait()
    worker.submit("echo").wait()
    assert worker.pid != pid


@pytest.mark.parametrize(
    ("task", "error", "text"),
    [
        ("no-such-task", UsageError, r"no task 'no-such-task'; it has .*ping"),
        ("needs_package", MedAIError, "needs the Python package 'worker_task_that_is_not_there'"),
        ("typo", MedAIError, "'typo' failed because of a fault in MedAI"),
        ("broken_answer", MedAIError, "'broken_answer' failed because of a fault in MedAI"),
        ("huge_answer", MedAIError, "'huge_answer' failed because of a fault in MedAI"),
    ],
)
def test_a_task_that_cannot_run_or_answer_is_a_clear_error(
    common_worker: Worker, task: str, error: type[MedAIError], text: str
) -> None:
    with pytest.raises(error, match=text):
        common_worker.submit(task).wait()


def test_parameters_without_json_form_are_refused_at_submission(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="parameters of 'echo' cannot be sent"):
        worker.submit("echo", {"node": object()}, {"a": np.ones(3)})
    with pytest.raises(UsageError, match="'a' holds Python objects"):
        worker.submit("echo", arrays={"a": np.array([None])})
    assert list(tmp_path.glob("*/job-*")) == []


def test_a_temporary_folder_that_is_not_there_is_a_clear_error(worker_environment: None, tmp_path: Path) -> None:
    with Worker(temporary_folder=tmp_path / "gone") as worker, pytest.raises(WriteError, match="set TMPDIR"):
        worker.submit("ping")


@needs_posix
def test_a_disk_that_is_full_when_the_result_is_written_is_a_clear_error(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="Free some space"):
        worker.submit("full_disk").wait()
    assert list(tmp_path.glob("*/job-*")) == []


def test_inputs_that_something_removed_are_a_clear_error(worker: Worker, tmp_path: Path) -> None:
    blocker = worker.submit("nap", {"seconds": 0.3})
    job = worker.submit("echo", arrays={"image": np.ones(10)})
    for path in tmp_path.rglob("in-0.npy"):
        path.unlink()
    blocker.wait()
    with pytest.raises(WorkerError, match="'image' was lost"):
        job.wait()


def test_a_task_that_prints_more_than_the_pipes_hold_neither_hangs_nor_spoils_the_result(common_worker: Worker) -> None:
    assert common_worker.submit("chatter").wait().parameters == {"input": ""}


@needs_proc
def test_garbage_on_the_protocols_own_pipe_is_ignored(worker: Worker) -> None:
    lines = [
        "no json",
        "{}",
        '{"type": "unheard-of"}',
        '{"type": "started", "id": "of another job"}',
        "[" * 9999,
        "null",
    ]
    assert worker.submit("garbage", {"lines": lines}).wait().parameters == {"survived": True}
    assert worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}


def test_an_answer_that_makes_no_sense_ends_the_job_with_a_clear_error(worker: Worker) -> None:
    job = worker.submit("nap")
    started(job)
    assert worker._connection is not None
    worker._on_message(worker._connection, {"type": "run", "id": job.id})
    with pytest.raises(WorkerError, match="answered nonsense during 'nap'"):
        job.wait()
