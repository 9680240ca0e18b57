"""The worker process alone, spoken to through raw pipes as a client in any state of confusion would."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from MedAILib.worker.protocol import LIMIT
from worker_tools import CHILD, TASKS, needs_posix


class RawWorker:
    """The process with its pipes; lines are fetched by a thread so that no test can hang."""

    def __init__(self, *arguments: str, first: str = "") -> None:
        command = [sys.executable, "-m", "MedAILib.worker", "--tasks", TASKS, *arguments]
        if first:
            run = (
                f"import runpy, sys; sys.argv = {command[2:]}; runpy.run_module('MedAILib.worker', run_name='__main__')"
            )
            command = [sys.executable, "-c", f"{first}\n{run}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=CHILD, **pipes)  # type: ignore[call-overload]
        self.lines: queue.Queue[bytes] = queue.Queue()
        self._deaf = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self.process.stdout as output:
            while not self._deaf and (line := output.readline()):
                self.lines.put(line)
        self.lines.put(b"")

    def deafen(self) -> None:
        """Close the reading end, which the reading thread does after one more line."""
        self._deaf = True
        self.send(b"something to answer\n")
        while self.lines.get(timeout=60):
            pass

    def send(self, *lines: bytes | dict[str, Any]) -> None:
        for line in lines:
            self.process.stdin.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()

    def run(self, task: str, folder: Path, job: str = "1", **parameters: object) -> None:
        order = {"type": "run", "id": job, "task": task, "parameters": parameters, "arrays": {}, "folder": str(folder)}
        self.send(order)

    def next(self, kind: str) -> dict[str, Any]:
        """The next message of a kind."""
        while True:
            line = self.lines.get(timeout=60)
            assert line, f"the worker ended before it sent '{kind}'"
            if line.startswith(b"{") and (message := json.loads(line))["type"] == kind:
                return message

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


@pytest.fixture
def raw() -> Iterator[RawWorker]:
    worker = RawWorker()
    yield worker
    worker.close()


def test_garbage_on_its_input_is_answered_with_a_typed_error_and_survived(raw: RawWorker, tmp_path: Path) -> None:
    lines = [b"hello\n", b"{}\n", b"\xff\x00\n", b'{"type": "ready", "pid": 1, "python": ""}\n', b"[" * 50_000 + b"\n"]
    for line in lines:
        raw.send(line)
        error = raw.next("error")
        assert (error["id"], error["code"]) == (None, "usage")
        assert len(error["message"]) < 500
    raw.run("echo", tmp_path, value=1)
    assert raw.next("result")["parameters"] == {"value": 1}


def test_an_endless_line_is_answered_with_a_typed_error_and_survived(raw: RawWorker, tmp_path: Path) -> None:
    raw.send(b"x" * (LIMIT + 10), b"\n")
    assert raw.next("error")["code"] == "usage"
    raw.run("echo", tmp_path)
    raw.next("result")


def test_a_cancel_for_an_unknown_job_is_ignored(raw: RawWorker, tmp_path: Path) -> None:
    raw.send({"type": "cancel", "id": "never heard of"})
    raw.run("echo", tmp_path)
    raw.next("result")


def test_jobs_sent_at_once_run_in_order_and_one_of_them_can_be_cancelled_before_it_starts(
    raw: RawWorker, tmp_path: Path
) -> None:
    raw.run("nap", tmp_path, "first", seconds=0.3)
    raw.run("nap", tmp_path, "second")
    raw.run("echo", tmp_path, "third")
    raw.send({"type": "cancel", "id": "second"})
    assert raw.next("result")["id"] == "first"
    cancelled = raw.next("error")
    assert (cancelled["id"], cancelled["code"]) == ("second", "cancelled")
    assert raw.next("result")["id"] == "third"


@pytest.mark.parametrize("task", ["", "nap", "stubborn"])
def test_it_ends_by_itself_when_its_input_ends_idle_or_in_the_middle_of_a_task(
    raw: RawWorker, tmp_path: Path, task: str
) -> None:
    raw.next("ready")
    if task:
        raw.run(task, tmp_path)
        raw.next("progress")
    raw.process.stdin.close()
    raw.process.wait(timeout=60)


def test_it_ends_by_itself_when_nobody_reads_its_output_any_more(raw: RawWorker, tmp_path: Path) -> None:
    raw.next("ready")
    raw.deafen()
    raw.run("nap", tmp_path)
    raw.process.wait(timeout=60)


@needs_posix
def test_it_ends_when_its_parent_is_dead_even_if_another_process_keeps_the_pipe_open() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    raw = RawWorker("--parent", str(parent.pid))
    raw.next("ready")
    parent.kill()
    parent.wait()
    raw.process.wait(timeout=60)
    raw.close()


def test_what_was_printed_before_it_took_over_the_output_does_not_spoil_a_message(tmp_path: Path) -> None:
    raw = RawWorker(first="import os; os.write(1, b'a banner without an end of line')")
    assert raw.next("ready")["pid"] == raw.process.pid
    raw.close()


def test_close_ends_it_after_the_running_task(raw: RawWorker, tmp_path: Path) -> None:
    raw.run("nap", tmp_path, seconds=0.2)
    raw.send({"type": "close"})
    raw.next("result")
    assert raw.process.wait(timeout=60) == 0


@needs_posix
def test_an_interrupt_from_the_keyboard_is_left_to_the_client(raw: RawWorker, tmp_path: Path) -> None:
    raw.next("ready")
    raw.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    raw.run("echo", tmp_path)
    raw.next("result")


def test_two_orders_with_one_id_are_both_answered(raw: RawWorker, tmp_path: Path) -> None:
    raw.run("echo", tmp_path, "same", value=1)
    raw.run("echo", tmp_path, "same", value=2)
    assert [raw.next("result")["parameters"]["value"] for _ in range(2)] == [1, 2]
