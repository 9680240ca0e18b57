"""The ``medai`` command: what it prints, how it exits, what it asks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import MedAILib
from MedAILib.cli import main as cli
from MedAILib.cli.main import main
from tiny_model import write_ball

ROOT = Path(MedAILib.__file__).parents[1]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return write_ball(tmp_path / "ball.nii.gz")


@pytest.fixture
def call(tiny: Path, volume: Path, tmp_path: Path) -> list[str]:
    """Arguments of a run that works."""
    return ["segment", str(volume), "-o", str(tmp_path / "out.seg.nrrd"), "--model", str(tiny)]


def test_a_run_writes_both_files_and_says_so(call: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert main([*call, "--stats", str(tmp_path / "t.csv")]) == 0
    assert (tmp_path / "out.seg.nrrd").is_file()
    assert (tmp_path / "t.csv").is_file()
    output = capsys.readouterr().out
    assert "2 of 2 structures" in output
    assert f"Written: {tmp_path / 'out.seg.nrrd'}, {tmp_path / 't.csv'}" in output


def test_json_is_the_only_output_when_asked_for(call: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert main([*call, "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert captured.err == ""
    assert answer["output"] == str(tmp_path / "out.seg.nrrd")
    assert [row["name"] for row in answer["volumes"]] == ["Ball", "Core"]


def test_quiet_prints_nothing(call: list[str], capsys: Capture) -> None:
    assert main([*call, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_failure_as_json_has_code_and_message(call: list[str], capsys: Capture) -> None:
    assert main([*call, "--modality", "CT", "--json"]) == 9
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "modality"
    assert captured.err == ""


def test_force_goes_on_against_the_modality(call: list[str]) -> None:
    assert main([*call, "--modality", "CT", "--force", "--quiet"]) == 0


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_both_modes_run(call: list[str], mode: str, capsys: Capture) -> None:
    assert main([*call, "--mode", mode, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["mode"] == mode


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "The following arguments are required: COMMAND"),
        (["segment"], "The following arguments are required: IN, -o/--output"),
        (["dance"], "Argument COMMAND: invalid choice: 'dance'"),
        (["segment", "a", "-o", "b.nii", "--mode", "sloppy"], "Argument --mode: invalid choice"),
        (["segment", "a", "-o", "b.nii", "--format", "mha"], "--format is for an output folder"),
        (["segment", "a", "b", "-o", "c.nii"], "2 inputs need an output folder"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_exit_2(arguments: list[str], words: str, capsys: Capture) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"medai: {words}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"], ["models", "list", "--help"], ["--version"]])
def test_help_and_version_exit_0(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out


def test_an_unknown_device_lists_those_that_are_there(call: list[str], capsys: Capture) -> None:
    assert main([*call, "--device", "abacus"]) == 10
    assert "cpu" in capsys.readouterr().err


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 6), ("", 6)])
def test_somebody_at_the_keyboard_is_asked(
    call: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, answer: str, status: int
) -> None:
    target = tmp_path / "out.seg.nrrd"
    target.write_text("mine")
    monkeypatch.setattr(sys, "stdin", Keyboard(answer))
    assert main(call) == status
    assert "Replace? [y/N]" in capsys.readouterr().err
    assert (target.read_bytes() == b"mine") == bool(status)


def test_overwrite_replaces_without_asking(call: list[str], tmp_path: Path) -> None:
    (tmp_path / "out.seg.nrrd").write_text("mine")
    assert main([*call, "--overwrite", "--quiet"]) == 0
    assert (tmp_path / "out.seg.nrrd").read_bytes().startswith(b"NRRD")


def test_an_unexpected_error_is_a_sentence_and_a_log_file(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(cli, "parser", lambda: 1 / 0)
    assert main(["info"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        "medai: An unexpected error happened (ZeroDivisionError: division by zero). The details are in "
    )
    log = Path(error.strip().removesuffix(".").rsplit(" ", 1)[1])
    assert "Traceback" in log.read_text()
    log.unlink()


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert main(["--debug", "segment", "missing.nii", "-o", "x.nii", "--model", "nobody"]) == 8
    assert "Traceback" in capsys.readouterr().err


def test_info_names_versions_devices_and_models(capsys: Capture) -> None:
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["medai"] == MedAILib.__version__
    assert any(device.startswith("cpu") for device in facts["devices"])
    assert main(["info"]) == 0
    assert f"MedAI {MedAILib.__version__}" in capsys.readouterr().out


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "MedAILib", "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"medai {MedAILib.__version__}\n")


def test_a_reader_that_stops_reading_is_no_error(tiny: Path) -> None:
    command = f'"{sys.executable}" -m MedAILib models info "{tiny}" | true'
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S602
    assert done.stderr == ""


def test_train_hands_its_arguments_over(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    import MedAILib.training

    seen: list[object] = []

    def fake(config: str, data: str, output: str, **options: object) -> None:
        seen.extend([config, data, output, options["resume"], options["steps"]])
        options["report"]({"step": 1})  # type: ignore[operator]

    monkeypatch.setattr(MedAILib.training, "run", fake)
    assert main(["train", "brain-mr", "--data", "d", "--output", "o", "--no-resume", "--steps", "3"]) == 0
    assert seen == ["brain-mr", "d", "o", False, 3]
    assert capsys.readouterr().out == '{"step": 1}\n'
