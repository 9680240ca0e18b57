from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from MedAILib.errors import WorkerError
from MedAILib.worker import process
from worker_tools import CHILD, needs_posix, running, until


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An embedded Python with nothing around it."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("SLICER_HOME", raising=False)
    monkeypatch.setattr(sys, "executable", str(executable(tmp_path / "Slicer" / "bin" / "SlicerApp-real")))
    return tmp_path


def test_an_ordinary_python_is_its_own_interpreter() -> None:
    assert process.python_executable() == sys.executable


def test_the_launcher_is_used_where_slicer_names_it_as_its_python(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = executable(bare / "Slicer" / "bin" / "PythonSlicer")
    monkeypatch.setattr(sys, "executable", str(launcher))
    assert process.python_executable() == str(launcher)


@needs_posix
def test_slicer_finds_its_launcher_on_the_path(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = executable(bare / "on-path" / "PythonSlicer")
    monkeypatch.setenv("PATH", str(launcher.parent))
    assert process.python_executable() == str(launcher)


@needs_posix
@pytest.mark.parametrize("place", ["Slicer/bin", "home/bin"])
def test_slicer_finds_its_launcher_beside_the_program_and_in_its_home(
    bare: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    launcher = executable(bare / place / "PythonSlicer")
    monkeypatch.setenv("SLICER_HOME", str(bare / "home"))
    assert process.python_executable() == str(launcher)


@needs_posix
def test_slicer_on_macos_finds_its_launcher_in_the_bundle(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(executable(bare / "Slicer.app" / "Contents" / "MacOS" / "Slicer")))
    launcher = executable(bare / "Slicer.app" / "Contents" / "bin" / "PythonSlicer")
    assert process.python_executable() == str(launcher)


@pytest.mark.parametrize("own", [None, ""])
def test_an_embedded_python_without_interpreter_is_a_clear_error(
    bare: Path, monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    with pytest.raises(WorkerError, match=r"SlicerApp-real.*SLICER_HOME"):
        process.python_executable()
    monkeypatch.setattr(sys, "executable", own)
    with pytest.raises(WorkerError, match=r"this program.*SLICER_HOME"):
        process.python_executable()


def test_the_worker_gets_passive_threads_and_the_package_but_keeps_the_users_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("PYTHONPATH", "/users/own")
    child = process.environment()
    assert child["OMP_WAIT_POLICY"] == "passive"
    assert child["PYTHONPATH"].split(os.pathsep)[-1] == "/users/own"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert process.environment()["OMP_WAIT_POLICY"] == "active"


def test_a_file_in_the_users_folder_does_not_stand_in_for_a_python_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "colorsys.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    child = process.start([sys.executable, "-c", "import colorsys"])
    assert child.communicate(timeout=60)[1] == b""
    assert child.returncode == 0


def test_a_program_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(WorkerError, match="no-such-python"):
        process.start(["/no-such-python"])


@needs_posix
@pytest.mark.parametrize("parent_first", [False, True])
def test_ending_a_launcher_ends_its_child_even_if_the_launcher_is_dead_already(parent_first: bool) -> None:
    launcher = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    started = process.start([sys.executable, "-c", launcher])
    assert started.stdout is not None
    child = int(started.stdout.readline())
    if parent_first:
        os.kill(started.pid, signal.SIGKILL)
        started.wait(60)
    process.end_tree(started)
    started.communicate(timeout=60)  # ends only when the child's copy of the pipe is closed too
    until(lambda: not running(child))


def test_ending_what_has_ended_does_nothing() -> None:
    child = process.start([sys.executable, "-c", ""])
    child.communicate(timeout=60)
    process.end_tree(child)


def test_ends_are_described_in_words() -> None:
    assert process.describe_exit(3) == "exit status 3"
    assert process.describe_exit(0xC0000005) == "exit status 0xc0000005"
    if os.name == "posix":
        assert "memory runs out" in process.describe_exit(-9)
        assert process.describe_exit(-11) == "SIGSEGV"
        assert process.describe_exit(-250) == "signal 250"


def test_importing_the_client_brings_neither_torch_nor_simpleitk() -> None:
    code = "import sys, MedAILib.worker; print(sorted({'torch', 'SimpleITK', 'vtk', 'slicer'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], env=CHILD, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
