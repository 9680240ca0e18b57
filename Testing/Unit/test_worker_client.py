from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import MedAILib
from MedAILib.errors import Cancelled, ContentError, MedAIError, UsageError, WorkerError, WriteError
from MedAILib.worker import Event, Failed, Finished, Job, Started, Step, Warned, Worker, shared_worker
from MedAILib.worker import client as client_module
from MedAILib.worker.connection import Log

HERE = Path(__file__).parent
POSIX = os.name == "posix"
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def running(pid: int) -> bool:
    """True unless the process is gone or waits to be collected by its parent."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return True


def drain(job: Job) -> list[Event]:
    """All events up to the last, by polling as a GUI timer does."""
    events: list[Event] = []
    until(lambda: bool(events.extend(job.poll()) or (events and isinstance(events[-1], (Finished, Failed)))))
    return events


def started(job: Job) -> None:
    """Wait until the task itself has reported."""
    until(lambda: any(isinstance(event, Step) and event.stage in ("Sleeping", "Ignoring") for event in job.poll()))


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        yield


@pytest.fixture(scope="module")
def common(environment: None) -> Iterator[Worker]:
    """One worker for all tests that leave it alive."""
    with Worker("cpu", tasks="worker_tasks") as worker:
        yield worker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def worker(environment: None, folder: Path) -> Iterator[Worker]:
    """A worker of one's own, which must leave no file behind."""
    with Worker("cpu", tasks="worker_tasks", temporary_folder=folder, grace=0.3) as worker:
        yield worker
    assert list(folder.iterdir()) == []


# Results


def test_parameters_and_arrays_come_back_as_they_went(common: Worker) -> None:
    volume = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    parameters = {
        "text": "è 漢字 \U0001f9e0\n\x00",
        "number": 0.1,
        "nothing": None,
        "list": [1, [2, {}]],
        "nan": np.nan,
    }
    finished = common.submit("echo", parameters, {"image": volume, "mask 漢": volume > 0, "empty": volume[:0]}).wait()
    assert str(finished.parameters) == str({**parameters, "nan": float("nan")})
    assert list(finished.arrays) == ["image", "mask 漢", "empty"]
    np.testing.assert_array_equal(finished.arrays["image"], volume)
    np.testing.assert_array_equal(finished.arrays["mask 漢"], volume > 0)


def test_result_arrays_belong_to_the_caller_and_outlive_the_worker(worker: Worker, folder: Path) -> None:
    result = worker.submit("echo", arrays={"image": np.arange(1000)}).wait().arrays["image"]
    assert [path.name for path in folder.glob("*/*")] == ["lock"]
    worker.close()
    result += 1
    assert result[-1] == 1000
    assert type(result) is np.ndarray


def test_the_callers_array_is_copied_at_submission_and_never_changed(common: Worker) -> None:
    image = np.zeros(1000)
    blocker = common.submit("nap", {"seconds": 0.1})
    job = common.submit("write_input", arrays={"image": image})
    image[:] = 7
    blocker.wait()
    finished = job.wait()
    assert finished.parameters == {"mapped": True}
    np.testing.assert_array_equal(finished.arrays["image"], np.ones(1000))
    np.testing.assert_array_equal(image, np.full(1000, 7))


def test_what_a_task_keeps_warm_is_there_for_the_next_one(worker: Worker) -> None:
    calls = [worker.submit("remember").wait().parameters for _ in range(3)]
    assert calls == [{"calls": number, "device": "cpu"} for number in (1, 2, 3)]


def test_ping_tells_version_process_and_device(common: Worker) -> None:
    answer = common.submit("ping").wait().parameters
    assert answer["version"] == MedAILib.__version__
    assert answer["pid"] == common.pid
    assert answer["device"] == "cpu"


# Events


def test_events_tell_start_stages_warnings_and_the_end_in_order(common: Worker) -> None:
    events: list[Event] = []
    common.submit("steps").wait(events.append)
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


def test_a_result_that_was_polled_can_still_be_waited_for(common: Worker) -> None:
    job = common.submit("echo", {"a": 1})
    drain(job)
    assert job.wait().parameters == {"a": 1}


def test_events_that_nobody_fetches_do_not_pile_up(common: Worker) -> None:
    job = common.submit("steps", {"count": 1000, "warnings": 500})
    until(lambda: job.done)
    events = job.poll()
    assert len(events) < 110
    assert sum(isinstance(event, Step) for event in events) == 1
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)


def test_two_jobs_at_once_run_in_order_each_with_its_own_events(common: Worker) -> None:
    first = common.submit("nap", {"seconds": 0.2, "name": "first"})
    second = common.submit("nap", {"seconds": 0.1, "name": "second"})
    assert second.poll() == [Step("Waiting for the running job", 0.0, None)]
    finished = second.wait()
    assert first.done
    assert (first.wait().parameters, finished.parameters) == ({"done": "first"}, {"done": "second"})


def test_jobs_may_be_submitted_from_several_threads(common: Worker) -> None:
    answers: list[int] = []

    def submit(number: int) -> None:
        answers.append(int(common.submit("echo", arrays={"a": np.full(10, number)}).wait().arrays["a"][0]) - number)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [0] * 8


# Errors of a task


def test_an_error_of_a_task_is_raised_as_what_it_was(common: Worker) -> None:
    with pytest.raises(ContentError, match=r"^The volume 'head' is empty; choose another\.$"):
        common.submit("fail", {"kind": "content"}).wait()


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
    common: Worker, kind: str, code: str, text: str
) -> None:
    common.submit("echo").wait()
    pid = common.pid
    failed = drain(common.submit("fail", {"kind": kind}))[-1]
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert text in failed.message
    assert "\n" not in failed.message
    assert "worker_tasks.py" in failed.log
    common.submit("echo").wait()
    assert common.pid == pid


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
    common: Worker, task: str, error: type[MedAIError], text: str
) -> None:
    with pytest.raises(error, match=text):
        common.submit(task).wait()


def test_parameters_without_json_form_are_refused_at_submission(worker: Worker, folder: Path) -> None:
    with pytest.raises(UsageError, match="parameters of 'echo' cannot be sent"):
        worker.submit("echo", {"node": object()}, {"a": np.ones(3)})
    with pytest.raises(UsageError, match="'a' holds Python objects"):
        worker.submit("echo", arrays={"a": np.array([None])})
    assert list(folder.glob("*/job-*")) == []


def test_a_temporary_folder_that_is_not_there_is_a_clear_error(environment: None, folder: Path) -> None:
    with Worker(temporary_folder=folder / "gone") as worker, pytest.raises(WriteError, match="set TMPDIR"):
        worker.submit("ping")


@pytest.mark.skipif(not POSIX, reason="uses a POSIX limit to stand in for a full disk")
def test_a_disk_that_is_full_when_the_result_is_written_is_a_clear_error(worker: Worker, folder: Path) -> None:
    with pytest.raises(WriteError, match="Free some space"):
        worker.submit("full_disk").wait()
    assert list(folder.glob("*/job-*")) == []


def test_inputs_that_something_removed_are_a_clear_error(worker: Worker, folder: Path) -> None:
    blocker = worker.submit("nap", {"seconds": 0.3})
    job = worker.submit("echo", arrays={"image": np.ones(10)})
    for path in folder.rglob("in-0.npy"):
        path.unlink()
    blocker.wait()
    with pytest.raises(WorkerError, match="'image' was lost"):
        job.wait()


# Output that nobody asked for


def test_a_task_that_prints_more_than_the_pipes_hold_neither_hangs_nor_spoils_the_result(common: Worker) -> None:
    assert common.submit("chatter").wait().parameters == {"input": ""}


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


# Cancel


def test_a_job_cancelled_before_the_process_is_up_ends_at_once(worker: Worker) -> None:
    job = worker.submit("nap")
    job.cancel()
    assert job.done
    with pytest.raises(Cancelled, match="nothing was changed"):
        job.wait()
    assert worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}


def test_a_waiting_job_is_cancelled_at_once_and_the_running_one_goes_on(common: Worker) -> None:
    first, second, third = common.submit("nap", {"seconds": 0.3}), common.submit("nap"), common.submit("echo")
    second.cancel()
    assert second.done
    assert not first.done
    assert isinstance(drain(first)[-1], Finished)
    assert isinstance(drain(third)[-1], Finished)


def test_a_running_job_stops_at_its_next_look_and_the_process_stays_warm(common: Worker) -> None:
    job = common.submit("nap")
    started(job)
    pid = common.pid
    job.cancel()
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert common.submit("echo", {"a": 1}).wait().parameters == {"a": 1}
    assert common.pid == pid


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
    if POSIX:
        assert not running(pid)


@pytest.mark.skipif(not POSIX, reason="looks for processes as POSIX does")
def test_children_of_the_process_are_ended_with_it(worker: Worker, folder: Path) -> None:
    note = folder / "note"
    job = worker.submit("child", {"note": str(note)})
    started(job)
    child = int(note.read_text())
    note.unlink()
    assert running(child)
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    until(lambda: not running(child))


def test_a_result_that_comes_after_the_cancel_is_not_delivered(common: Worker) -> None:
    job = common.submit("nap", {"seconds": 0.15})
    started(job)
    time.sleep(0.12)
    job.cancel()
    assert isinstance(drain(job)[-1], Failed)


def test_cancelling_a_finished_job_changes_nothing(common: Worker) -> None:
    job = common.submit("echo", {"a": 1})
    job.wait()
    job.cancel()
    assert job.wait().parameters == {"a": 1}


def test_an_interrupt_while_waiting_cancels_the_job(common: Worker) -> None:
    job = common.submit("nap")

    def interrupt(event: Event) -> None:
        if isinstance(event, Step) and event.stage == "Sleeping":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.wait(interrupt)
    assert isinstance(drain(job)[-1], Failed)


# Crashes


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("exit", "exit status 7"),
        pytest.param("kill", "SIGKILL.*memory", marks=pytest.mark.skipif(not POSIX, reason="signals")),
        pytest.param("segmentation fault", "SIGSEGV", marks=pytest.mark.skipif(not POSIX, reason="signals")),
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


@pytest.mark.skipif(not POSIX, reason="signals")
def test_a_process_killed_while_it_computes_is_an_error_at_once_and_comes_back(worker: Worker) -> None:
    job = worker.submit("stubborn")
    started(job)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="ended unexpectedly during 'stubborn'"):
        job.wait()
    assert worker.submit("echo", {"a": 1}).wait().parameters == {"a": 1}


@pytest.mark.skipif(not POSIX, reason="signals")
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


def test_an_interpreter_that_is_not_there_is_a_clear_error_for_each_job(folder: Path) -> None:
    with Worker(python="/no-such-python", temporary_folder=folder) as worker:
        for _ in range(2):
            with pytest.raises(WorkerError, match="no-such-python"):
                worker.submit("ping").wait()


def test_a_process_that_ends_before_it_is_ready_is_an_error_for_each_job_and_no_endless_loop(folder: Path) -> None:
    with Worker(tasks="no_such_module", temporary_folder=folder) as worker:
        for job in (worker.submit("ping"), worker.submit("ping")):
            with pytest.raises(WorkerError, match=r"did not start(.|\n)*no_such_module"):
                job.wait()


@pytest.mark.skipif(not POSIX, reason="a shell script stands in for the interpreter")
def test_a_process_that_never_becomes_ready_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = folder / "python"
    script.write_text("#!/bin/sh\necho hello from a launcher\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(client_module, "_START_PATIENCE", 0.3)
    with (
        Worker(python=str(script), temporary_folder=folder) as worker,
        pytest.raises(WorkerError, match=r"did not start(.|\n)*hello from a launcher"),
    ):
        worker.submit("ping").wait()


# Ends


@pytest.mark.parametrize("task", ["", "echo", "stubborn"])
def test_closing_leaves_no_process_and_no_file(environment: None, folder: Path, task: str) -> None:
    worker = Worker(tasks="worker_tasks", temporary_folder=folder)
    if task:
        job, waiting = worker.submit(task, arrays={"a": np.ones(9)}), worker.submit("nap")
        if task == "stubborn":
            started(job)
    pid = worker.pid
    worker.close()
    worker.close()
    assert list(folder.iterdir()) == []
    if task:
        with pytest.raises(Cancelled):
            waiting.wait()
        assert job.done
    if POSIX and pid is not None:
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


@pytest.mark.skipif(not POSIX, reason="looks for processes as POSIX does")
@pytest.mark.parametrize("task", ["echo", "nap", "stubborn"])
@pytest.mark.parametrize("end", ["kill", "exit"])
def test_when_the_parent_is_killed_or_ends_neither_process_nor_file_stays(
    environment: None, folder: Path, task: str, end: str
) -> None:
    path = os.pathsep.join((str(Path(MedAILib.__file__).parents[1]), str(HERE)))
    how = "wait" if end == "kill" else "exit"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), task, how],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    if end == "kill":
        assert running(pid)
        parent.kill()
    parent.wait(20)
    until(lambda: not running(pid))
    until(lambda: not list(folder.iterdir()))
    parent.stdout.close()
    parent.stdin.close()


@needs_proc
def test_fifty_jobs_and_ten_crashes_leave_no_open_file_and_no_thread(environment: None, folder: Path) -> None:
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = handles(), threading.active_count()
    with Worker(tasks="worker_tasks", temporary_folder=folder) as worker:
        worker.submit("echo").wait()
        warm = handles(), threading.active_count()
        for number in range(50):
            assert worker.submit("echo", arrays={"a": np.full(9, number)}).wait().arrays["a"][0] == number
        until(lambda: (handles(), threading.active_count()) == warm)
        for _ in range(10):
            with pytest.raises(WorkerError):
                worker.submit("crash", {"how": "exit"}).wait()
        worker.submit("echo").wait()
        until(lambda: (handles(), threading.active_count()) == warm)
        assert [path.name for path in folder.glob("*/*")] == ["lock"]
    until(lambda: (handles(), threading.active_count()) == before)


def test_a_device_has_one_shared_process_until_it_is_closed(environment: None) -> None:
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
    path = str(Path(MedAILib.__file__).parents[1])
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
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
