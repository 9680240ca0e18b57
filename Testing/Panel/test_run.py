"""The run's state machine alone: no Qt, no scene, jobs that do as they are told."""

from __future__ import annotations

import pytest

from MedAILib.errors import ContentError, MedAIError, WorkerError
from MedAILib.progress import Step
from MedAILib.worker.events import Failed, Finished, Started, Warned
from MedAISlicer.run import Outcome, RunController, State, Status


class ManualTimer:
    running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False


class ManualJob:
    def __init__(self) -> None:
        self.events: list = []
        self.cancelled = self.concluded = False

    def poll(self) -> list:
        events, self.events = self.events, []
        return events

    def cancel(self) -> None:
        self.cancelled = True

    def conclude(self) -> None:
        self.concluded = True


class ManualRun:
    def __init__(self, count: int = 1, skip: bool = False, refuse: MedAIError | None = None) -> None:
        self.count, self.skip, self.refuse = count, skip, refuse
        self.jobs: list[ManualJob] = []
        self.written: list | None = None

    def submit(self, index: int) -> ManualJob:
        if self.refuse:
            raise self.refuse
        self.jobs.append(ManualJob())
        return self.jobs[-1]

    def skippable(self, index: int, error: MedAIError) -> bool:
        return self.skip and isinstance(error, ContentError)

    def write(self, results: list) -> str:
        self.written = list(results)
        return "written"


class Bench:
    """A controller and everything that it said."""

    def __init__(self) -> None:
        self.timer = ManualTimer()
        self.states: list[State] = []
        self.last = Status()
        self.outcomes: list[Outcome] = []
        self.now = 0.0
        self.controller = RunController(self.timer, self.changed, self.outcomes.append, lambda: self.now)

    def changed(self, status: Status) -> None:
        self.last = status
        if not self.states or self.states[-1] is not status.state:
            self.states.append(status.state)

    def play(self, run: ManualRun, *events: object) -> None:
        """Hand events to the newest job and let the controller look."""
        run.jobs[-1].events += events
        self.controller.tick()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def begun(bench: Bench, run: ManualRun) -> ManualRun:
    bench.controller.start(run)
    bench.controller.tick()
    return run


def test_a_run_goes_through_all_states_and_writes_its_result_once(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.play(run, Started(), Step("Finding structures", 0.5, 3.0))
    bench.play(run, Finished({"a": 1}, {}))
    assert run.written is None
    bench.controller.tick()
    assert bench.states == [State.STARTING, State.RUNNING, State.IMPORTING, State.IDLE]
    assert [result.parameters for result in run.written] == [{"a": 1}]
    assert [outcome.result for outcome in bench.outcomes] == ["written"]
    assert not bench.timer.running


def test_the_input_is_not_read_before_the_first_tick(bench: Bench) -> None:
    run = ManualRun()
    bench.controller.start(run)
    assert run.jobs == []
    assert bench.last.state is State.STARTING


def test_stage_fraction_and_remaining_time_are_those_of_the_job(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.play(run, Step("Finding structures", 0.25, 9.0))
    assert (bench.last.stage, bench.last.fraction, bench.last.remaining) == ("Finding structures", 0.25, 9.0)


def test_a_bad_input_ends_the_run_with_its_own_sentence(bench: Bench) -> None:
    begun(bench, ManualRun(refuse=ContentError("T1 is constant: every voxel is 7. Choose an image with content.")))
    assert str(bench.outcomes[0].error).startswith("T1 is constant")
    assert bench.states[-1] is State.IDLE


def test_a_crash_of_the_worker_is_told_and_a_new_run_can_begin(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.play(run, Failed("worker", "The worker process ended unexpectedly.", "last line"))
    assert isinstance(bench.outcomes[0].error, WorkerError)
    assert "last line" in str(bench.outcomes[0].error)
    begun(bench, ManualRun())
    assert bench.controller.busy


def test_cancel_stops_the_job_and_waits_until_it_has_stopped(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.controller.cancel()
    assert run.jobs[0].cancelled
    assert bench.last.state is State.CANCELLING
    bench.play(run, Failed("cancelled", "The run was cancelled; nothing was changed."))
    bench.controller.tick()
    assert bench.outcomes == [Outcome(cancelled="")]
    assert run.written is None


def test_a_result_that_comes_after_the_cancel_is_not_written(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.controller.cancel("The scene was closed.")
    bench.play(run, Finished({}, {}))
    bench.controller.tick()
    assert run.written is None
    assert bench.outcomes == [Outcome(cancelled="The scene was closed.")]


def test_cancel_before_the_first_tick_and_before_the_import_are_heard(bench: Bench) -> None:
    bench.controller.start(ManualRun())
    bench.controller.cancel()
    bench.controller.tick()
    run = begun(bench, ManualRun())
    bench.play(run, Finished({}, {}))
    bench.controller.cancel()
    bench.controller.tick()
    assert [outcome.cancelled for outcome in bench.outcomes] == ["", ""]
    assert run.written is None


def test_concluding_asks_the_job_to_end_and_writes_what_comes(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.controller.conclude()
    assert not run.jobs[0].concluded  # nothing has begun that could be kept
    bench.play(run, Step("Learning", 0.4, 20.0))
    bench.controller.conclude()
    assert run.jobs[0].concluded
    bench.play(run, Step("Learning", 0.5, 10.0))
    assert bench.last.state is State.CONCLUDING
    bench.play(run, Finished({"a": 1}, {}))
    bench.controller.tick()
    assert [result.parameters for result in run.written] == [{"a": 1}]


def test_jobs_that_tell_no_progress_count_when_they_are_done(bench: Bench) -> None:
    run = begun(bench, ManualRun(count=4))
    bench.play(run, Finished({"a": 1}, {}))
    assert bench.last.fraction == pytest.approx(0.25)


def test_concluding_leaves_the_jobs_out_that_were_to_come(bench: Bench) -> None:
    run = begun(bench, ManualRun(count=3))
    bench.play(run, Step("Learning", 0.4, 20.0))
    bench.controller.conclude()
    bench.play(run, Finished({"a": 1}, {}))
    bench.controller.tick()
    assert len(run.jobs) == 1
    assert [result and result.parameters for result in run.written] == [{"a": 1}, None, None]


def test_a_bad_frame_while_concluding_leaves_the_frames_before_it(bench: Bench) -> None:
    run = begun(bench, ManualRun(count=3, skip=True))
    bench.play(run, Finished({"a": 1}, {}))
    bench.controller.tick()
    bench.play(run, Step("Learning", 0.4, 20.0))
    bench.controller.conclude()
    bench.play(run, Failed("content", "Frame 2 is constant."))
    bench.controller.tick()
    assert [result and result.parameters for result in run.written] == [{"a": 1}, None, None]


def test_a_run_that_is_concluding_can_still_be_cancelled(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.play(run, Step("Learning", 0.4, 20.0))
    bench.controller.conclude()
    bench.controller.cancel()
    bench.play(run, Failed("cancelled", ""))
    bench.controller.tick()
    assert bench.outcomes == [Outcome(cancelled="")]
    assert run.written is None


def test_a_fault_of_who_hears_of_the_end_is_not_one_of_the_run() -> None:
    outcomes: list[Outcome] = []

    def listener(outcome: Outcome) -> None:
        outcomes.append(outcome)
        raise ContentError("The view cannot be shown.")

    run = ManualRun()
    controller = RunController(ManualTimer(), lambda status: None, listener)
    controller.start(run)
    controller.tick()
    run.jobs[0].events.append(Finished({}, {}))
    controller.tick()
    with pytest.raises(ContentError):
        controller.tick()
    assert [outcome.result for outcome in outcomes] == ["written"]


def test_a_job_that_was_cancelled_by_somebody_else_ends_the_run_as_cancelled(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.play(run, Failed("cancelled", "MedAI was closed."))
    assert bench.outcomes == [Outcome(cancelled="MedAI was closed.")]


def test_several_jobs_share_the_progress_and_are_written_together(bench: Bench) -> None:
    run = begun(bench, ManualRun(count=4))
    bench.play(run, Finished({"frame": 0}, {}))
    bench.controller.tick()
    bench.now = 30.0
    bench.play(run, Step("Finding structures", 0.5, 1.0))
    assert bench.last.part == (2, 4)
    assert bench.last.fraction == pytest.approx(0.375)
    assert bench.last.remaining == pytest.approx(50.0)
    for frame in (1, 2, 3):
        bench.play(run, Finished({"frame": frame}, {}))
        bench.controller.tick()
    assert [result.parameters["frame"] for result in run.written] == [0, 1, 2, 3]


def test_a_bad_frame_is_left_out_with_a_warning(bench: Bench) -> None:
    run = begun(bench, ManualRun(count=2, skip=True))
    bench.play(run, Finished({}, {}))
    bench.controller.tick()
    bench.play(run, Failed("content", "frame 2 is constant."))
    bench.controller.tick()
    assert run.written[1] is None
    assert bench.outcomes[0].warnings == (("content", "frame 2 is constant."),)


def test_a_sequence_without_one_good_frame_fails(bench: Bench) -> None:
    run = begun(bench, ManualRun(count=2, skip=True))
    for number in (1, 2):
        bench.play(run, Failed("content", f"frame {number} is constant."))
        bench.controller.tick()
    assert isinstance(bench.outcomes[0].error, ContentError)
    assert run.written is None


def test_warnings_are_told_once_and_kept_to_the_end(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.play(run, Warned("memory", "Smaller patches were used."), Warned("memory", "Smaller patches were used."))
    assert bench.last.warnings == [("memory", "Smaller patches were used.")]
    bench.play(run, Finished({}, {}))
    bench.controller.tick()
    assert bench.outcomes[0].warnings == (("memory", "Smaller patches were used."),)


def test_a_bug_while_writing_leaves_a_controller_that_can_be_used_again(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    run.write = lambda results: 1 // 0  # type: ignore[method-assign]
    bench.play(run, Finished({}, {}))
    with pytest.raises(ZeroDivisionError):
        bench.controller.tick()
    assert "ZeroDivisionError" in str(bench.outcomes[0].error)
    assert not bench.controller.busy
    assert not bench.timer.running


def test_the_controller_is_idle_when_it_tells_the_end(bench: Bench) -> None:
    seen = []
    bench.controller = RunController(bench.timer, bench.changed, lambda outcome: seen.append(bench.controller.busy))
    run = begun(bench, ManualRun())
    bench.play(run, Failed("worker", "gone"))
    assert seen == [False]


def test_a_second_start_is_refused_while_one_is_on(bench: Bench) -> None:
    begun(bench, ManualRun())
    with pytest.raises(RuntimeError, match="going on already"):
        bench.controller.start(ManualRun())


def test_abandon_stops_everything_in_silence(bench: Bench) -> None:
    run = begun(bench, ManualRun())
    bench.controller.abandon()
    assert run.jobs[0].cancelled
    assert not bench.timer.running
    assert bench.outcomes == []
    assert not bench.controller.busy
