"""What the benchmarks share: fresh processes and what they cost, the processor's name, the report."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux's prctl


@dataclass(frozen=True)
class Cost:
    """What one process took.

    Attributes:
        cpu: user and system seconds.
        wall: seconds.
        peak: memory in MB (10^6 bytes).
    """

    cpu: float
    wall: float
    peak: float


class RunError(Exception):
    """A method ended without a result; the message is the last line it wrote."""


def environment() -> dict[str, str]:
    """As MedAI's worker has it: waiting threads must not count as work."""
    return {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(HERE.parents[1] / "MedAI")}


def run_alone(line: list[str], result: Path, log: Path) -> Cost:
    """Run a command that is to write the file ``result``; what it says goes into ``log``.

    Raises:
        RunError: it failed.
    """
    started = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(line, env=environment(), stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)
        cpu, peak, wall = wait_for_all(process, started)
    if process.returncode != 0 or not result.is_file():
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RunError(lines[-1] if lines else f"ended with {process.returncode}")
    return Cost(cpu, wall, peak)


def wait_for_all(process: subprocess.Popen[bytes], started: float) -> tuple[float, float, float]:
    """Wait for the process and all that it left behind: CPU seconds, peak MB, wall seconds until its own end."""
    cpu = peak = wall = 0.0
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return cpu, peak, wall
        if pid == process.pid:
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        # Linux counts in KiB, macOS in bytes.
        peak = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)


def adopt_orphans() -> None:
    """Make what a method leaves behind a child of this process, so that its time counts as well (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).split(":", 1)[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def publish(report: Iterable[str], output: Path | None) -> None:
    """Print the lines as they come, and write them all to a file if one is given."""
    lines = []
    for line in report:
        lines.append(line)
        print(line, flush=True)
    if output:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
