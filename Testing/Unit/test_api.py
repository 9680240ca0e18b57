"""The public call: files, arrays, events, and that the caller's process stays small."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import MedAILib
from MedAILib.api import segment_file
from MedAILib.errors import Cancelled, ModelError, UsageError
from MedAILib.files import read_labels
from MedAILib.pipeline.request import TASK, Request
from MedAILib.progress import Step
from MedAILib.progress_line import ProgressLine
from MedAILib.worker import Warned, shared_worker
from tiny_model import BALL, CORE, ball, truth, write_ball

ROOT = Path(MedAILib.__file__).parents[1]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'SimpleITK', 'numpy', 'scipy', 'skimage', 'vtk'}"
    assert python(f"import sys, MedAILib; sys.exit(str({heavy} & set(sys.modules) or ''))").stderr.strip() == ""


def test_every_public_name_is_there_and_an_unknown_one_is_not() -> None:
    for name in MedAILib.__all__:
        assert getattr(MedAILib, name) is not None
    assert set(MedAILib.__all__) <= set(dir(MedAILib))
    with pytest.raises(AttributeError, match="no attribute 'segmentt'"):
        _ = MedAILib.segmentt


def test_a_segmentation_leaves_torch_out_of_the_callers_process(tiny: Path, tmp_path: Path) -> None:
    volume = write_ball(tmp_path / "ball.nii.gz")
    code = (
        "import sys, MedAILib\n"
        f"print(MedAILib.segment({str(volume)!r}, model={str(tiny)!r}, progress=False).summary.missing)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = python(code)
    assert (done.returncode, done.stdout.strip()) == (0, "()"), done.stderr


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz", ".mha"])
def test_a_file_becomes_a_file_on_the_same_grid_with_names(tiny: Path, tmp_path: Path, ending: str) -> None:
    array, affine = ball()
    volume = write_ball(tmp_path / "ball.nii.gz")
    result = MedAILib.segment(volume, model=str(tiny), output=tmp_path / f"out{ending}", progress=False)
    assert (result.labels.array == truth(array)).all()
    labels, table = read_labels(tmp_path / f"out{ending}")
    assert (labels.array == truth(array)).all()
    np.testing.assert_allclose(labels.affine, affine, atol=1e-6)
    if ending == ".seg.nrrd":
        assert [label.name for label in table] == ["Ball", "Core"]


def test_an_array_with_its_affine_is_enough(tiny: Path) -> None:
    array, affine = ball()
    result = MedAILib.segment((array, affine), model=str(tiny), progress=False)
    assert set(np.unique(result.labels.array)) == {0, BALL, CORE}


@pytest.mark.parametrize("source", [5, None, (1, 2, 3), (np.zeros((3, 3)), np.eye(4))])
def test_a_source_of_another_kind_is_refused(tiny: Path, source: object) -> None:
    with pytest.raises(UsageError, match="A volume is"):
        MedAILib.segment(source, model=str(tiny), progress=False)


def test_a_statistics_table_is_written_with_the_result(tiny: Path, tmp_path: Path) -> None:
    volume = write_ball(tmp_path / "ball.nii.gz")
    MedAILib.segment(volume, model=str(tiny), statistics=tmp_path / "t.csv", progress=False)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0].startswith("Label,Segment,Voxels,Volume")
    assert [line.split(",")[1] for line in lines[1:]] == ["Ball", "Core"]


def test_the_model_is_asked_for_before_the_volume_is_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model named"):
        MedAILib.segment(tmp_path / "missing.nii", model="nobody", progress=False)


def test_a_cancelled_job_writes_nothing(tiny: Path, tmp_path: Path) -> None:
    volume = write_ball(tmp_path / "ball.nii.gz")
    blocker = shared_worker("cpu").submit("ping")
    blocker.wait()

    def cancel(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises((Cancelled, KeyboardInterrupt)):
        segment_file(volume, Request(str(tiny)), tmp_path / "out.nii.gz", device="cpu", on_event=cancel)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball.nii.gz"]
    shared_worker("cpu").submit("ping").wait()  # and the worker goes on


def test_two_callers_share_the_worker(tiny: Path) -> None:
    array, affine = ball()
    request = Request(str(tiny))
    results: list[bool] = []

    def call() -> None:
        found = segment_file((array, affine), request, device="cpu")
        results.append(bool((found.labels.array == truth(array)).all()))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_rewritten_and_taken_away() -> None:
    stream = Terminal()
    with ProgressLine(stream=stream) as line:
        line.event(Step("Finding structures", 0.42, 100.0))
        line.event(Step("Done", 0.5, None))
    assert stream.getvalue().startswith("\rFinding structures: 42%, about 1 min 40 s left\rDone: 50%")
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r")


def test_elsewhere_each_stage_gets_one_line_and_warnings_are_kept() -> None:
    stream = io.StringIO()
    line = ProgressLine(prefix="[1/2] ", stream=stream)
    for fraction in (0.1, 0.2):
        line.event(Step("Preparing", fraction, None))
    line.event(Warned("code", "Look out."))
    assert stream.getvalue() == "[1/2] Preparing (10% done)\n[1/2] Warning: Look out.\n"


def test_a_silent_line_is_silent() -> None:
    stream = io.StringIO()
    ProgressLine(False, stream=stream).event(Warned("code", "Look out."))
    assert stream.getvalue() == ""


def test_the_task_that_is_sent_is_one_that_the_worker_has() -> None:
    from MedAILib.worker.tasks import TASKS

    assert TASK in TASKS


def test_the_process_ends_cleanly_on_an_interrupt(tiny: Path, tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("signals are sent differently on Windows")
    volume = write_ball(tmp_path / "ball.nii.gz")
    code = (
        "import os, signal, sys, threading\n"
        "from MedAILib.cli.main import main\n"
        "from MedAILib.worker import Job\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "wait = Job.wait\n"
        "def interrupted(job, *arguments):\n"
        "    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    return wait(job, *arguments)\n"
        "Job.wait = interrupted\n"
        f"sys.exit(main(['segment', {str(volume)!r}, '-o', {str(tmp_path / 'o.nii')!r}, '--model', {str(tiny)!r}]))"
    )
    done = python(code)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "medai: The run was cancelled.\n"
    assert not (tmp_path / "o.nii").exists()
