"""Many inputs: names, going on after a bad one, resume, report, interrupts."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from MedAILib.batch import BatchOptions, Case, find_cases, run, segment_many
from MedAILib.batch.lock import LOCK_NAME
from MedAILib.cli.main import main
from MedAILib.errors import Cancelled, OutputExistsError, ReadError, UsageError
from MedAILib.files import read_labels
from MedAILib.pipeline.request import Request
from permissions import needs_permissions
from tiny_model import ball, truth, write_ball


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two good volumes of one name, one bad one, and something else."""
    folder = tmp_path / "study"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        write_ball(folder / name / "head.nii.gz")
    (folder / "bad.nii").write_text("garbage")
    (folder / "notes.txt").write_text("no image")
    return folder


def names(cases: list[Case]) -> list[str]:
    return [case.name.as_posix() for case in cases]


def go(study: Path, out: Path, tiny: Path, **options: object) -> tuple[int, int, int]:
    """(cases, failed, skipped) of a run."""
    result = run([study], out, Request(str(tiny)), BatchOptions(**options))  # type: ignore[arg-type]
    return len(result.records), result.failed, result.skipped


class TestCases:
    def test_equal_names_in_different_folders_stay_apart(self, study: Path) -> None:
        assert names(find_cases([study])) == ["bad", "a/head", "b/head"]
        assert names(find_cases([study / "a" / "head.nii.gz", study / "b" / "head.nii.gz"])) == ["a/head", "b/head"]

    def test_equal_names_of_different_formats_stay_apart(self, study: Path) -> None:
        write_ball(study / "a" / "head.nrrd")
        assert names(find_cases([study / "a"])) == ["head.nii.gz", "head.nrrd"]

    def test_an_input_named_twice_is_one_case(self, study: Path) -> None:
        assert len(find_cases([study, study / "bad.nii"])) == 3

    def test_results_and_hidden_files_are_no_inputs(self, study: Path) -> None:
        (study / "a" / "head.seg.nrrd").write_text("NRRD0004")
        (study / ".trash").mkdir()
        shutil.copy(study / "bad.nii", study / ".trash" / "x.nii")
        shutil.copy(study / "bad.nii", study / ".x.nii")
        assert len(find_cases([study])) == 3

    def test_the_output_folder_inside_the_input_is_left_out(self, study: Path) -> None:
        (study / "out").mkdir()
        shutil.copy(study / "bad.nii", study / "out" / "x.nii")
        assert len(find_cases([study], leave_out=study / "out")) == 3

    def test_ways_that_lead_up_and_down_again_do_not_lead_results_out_of_the_output_folder(
        self, study: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(study / "a")
        assert names(find_cases(["../b", "head.nii.gz"])) == ["b/head", "a/head"]
        shutil.copytree(study / "b", study / "out")
        assert len(find_cases([study], leave_out=Path("../out"))) == 3

    def test_an_input_folder_cannot_be_the_output_folder(self, study: Path) -> None:
        with pytest.raises(UsageError, match="both input and output"):
            find_cases([study], leave_out=study)

    def test_a_folder_of_dicom_files_is_one_case(self, study: Path) -> None:
        (study / "ct").mkdir()
        for number in range(3):
            (study / "ct" / f"{number}.dcm").write_bytes(b"\0" * 128 + b"DICM")
        (study / "plain").mkdir()
        (study / "plain" / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
        assert names(find_cases([study]))[-2:] == ["ct", "plain"]
        assert names(find_cases([study / "ct"])) == ["ct"]

    def test_a_folder_without_images_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ReadError, match="holds no image"):
            find_cases([tmp_path])

    @needs_permissions
    def test_a_folder_that_cannot_be_listed_is_an_error(self, study: Path) -> None:
        (study / "a").chmod(0)
        try:
            with pytest.raises(ReadError, match="cannot be listed"):
                find_cases([study])
        finally:
            (study / "a").chmod(0o700)


class TestRun:
    def test_a_bad_case_does_not_stop_the_others(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        out = tmp_path / "out"
        assert go(study, out, tiny) == (3, 1, 0)
        for name in ("a", "b"):
            labels, _ = read_labels(out / name / "head.seg.nrrd")
            assert (labels.array == truth(ball()[0])).all()
        assert not list(out.rglob("bad*"))

    def test_a_second_run_skips_what_is_done_and_tries_the_bad_one_again(
        self, study: Path, tmp_path: Path, tiny: Path
    ) -> None:
        out = tmp_path / "out"
        go(study, out, tiny)
        before = (out / "a" / "head.seg.nrrd").stat().st_mtime_ns
        write_ball(study / "bad.nii")
        assert go(study, out, tiny) == (3, 0, 2)
        assert (out / "a" / "head.seg.nrrd").stat().st_mtime_ns == before

    def test_a_missing_result_is_made_again(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        out = tmp_path / "out"
        go(study, out, tiny)
        (out / "a" / "head.seg.nrrd").unlink()
        assert go(study, out, tiny) == (3, 1, 1)

    def test_a_result_that_would_change_is_kept_until_overwriting_is_allowed(
        self, study: Path, tmp_path: Path, tiny: Path
    ) -> None:
        out = tmp_path / "out"
        go(study, out, tiny)
        old = (out / "a" / "head.seg.nrrd").read_bytes()
        write_ball(study / "a" / "head.nii.gz", radius=14.0)
        result = run([study], out, Request(str(tiny)))
        assert result.records[1].error["code"] == "output-exists"
        assert (out / "a" / "head.seg.nrrd").read_bytes() == old
        assert go(study, out, tiny, overwrite=True) == (3, 1, 0)
        assert (out / "a" / "head.seg.nrrd").read_bytes() != old

    def test_other_parameters_are_another_job(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        run([study / "a"], tmp_path / "out", Request(str(tiny)))
        again = run([study / "a"], tmp_path / "out", Request(str(tiny), mode="fast"))
        assert again.skipped == 0

    def test_a_touched_but_equal_input_is_not_done_again(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        out = tmp_path / "out"
        go(study, out, tiny)
        os.utime(study / "a" / "head.nii.gz", (1, 1))
        assert go(study, out, tiny) == (3, 1, 2)

    def test_an_interrupt_leaves_a_report_and_the_next_run_goes_on(
        self, study: Path, tmp_path: Path, tiny: Path
    ) -> None:
        out = tmp_path / "out"

        def interrupt(number: int, count: int, case: Case) -> None:
            if number == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run([study], out, Request(str(tiny)), watch=interrupt)
        cases = json.loads((out / "report.json").read_text())["cases"]
        assert [case["status"] for case in cases] == ["failed", "done", "unfinished"]
        assert (out / "report.csv").is_file()
        assert go(study, out, tiny) == (3, 1, 1)

    def test_a_case_that_a_killed_run_left_without_a_record_is_done_again(
        self, study: Path, tmp_path: Path, tiny: Path
    ) -> None:
        out = tmp_path / "out"
        go(study, out, tiny)
        report = json.loads((out / "report.json").read_text())
        report["cases"][1]["status"] = "unfinished"
        (out / "report.json").write_text(json.dumps(report))
        assert go(study, out, tiny) == (3, 1, 1)

    def test_two_runs_into_one_folder_at_once_are_refused(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        out = tmp_path / "out"
        refused: list[str] = []

        def again(number: int, count: int, case: Case) -> None:
            with pytest.raises(UsageError) as error:
                go(study, out, tiny)
            refused.append(str(error.value))

        run([study], out, Request(str(tiny)), watch=again)
        assert len(refused) == 3
        assert refused[0].startswith(f"{out}: another MedAI run (process {os.getpid()} on ")
        assert go(study, out, tiny) == (3, 1, 2)
        assert not (out / LOCK_NAME).exists()

    def test_a_run_that_was_killed_does_not_keep_the_next_one_out(
        self, study: Path, tmp_path: Path, tiny: Path
    ) -> None:
        out = tmp_path / "out"
        out.mkdir()
        program = "import sys; from pathlib import Path; from MedAILib.batch.lock import only_run\n"
        program += "with only_run(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", program, str(out)], env=environment, **pipes) as other:  # type: ignore[call-overload]
            assert other.stdout.readline().strip() == b"in"
            with pytest.raises(UsageError, match=f"process {other.pid} on"):
                go(study, out, tiny)
            other.kill()
        assert (out / LOCK_NAME).exists()
        assert go(study, out, tiny) == (3, 1, 0)

    def test_a_failure_that_nobody_foresaw_does_not_stop_the_others(
        self, study: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fault(*args: object, **kwargs: object) -> None:
            raise ZeroDivisionError("by 0")

        monkeypatch.setattr("MedAILib.batch.segmenting.segment_file", fault)
        result = run([study], tmp_path / "out", Request(str(tiny)))
        assert [record.error["code"] for record in result.records] == ["unexpected"] * 3
        assert "ZeroDivisionError: by 0" in result.records[0].error["message"]

    def test_a_foreign_report_is_not_replaced(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        out = tmp_path / "out"
        out.mkdir()
        (out / "report.json").write_text('{"mine": true}')
        with pytest.raises(OutputExistsError, match="no report of a MedAI batch"):
            go(study, out, tiny)
        assert (out / "report.json").read_text() == '{"mine": true}'

    def test_a_foreign_file_in_the_place_of_a_result_is_kept(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        out = tmp_path / "out"
        (out / "a").mkdir(parents=True)
        (out / "a" / "head.seg.nrrd").write_text("mine")
        assert go(study, out, tiny) == (3, 2, 0)
        assert (out / "a" / "head.seg.nrrd").read_text() == "mine"

    def test_a_cancel_from_within_ends_the_batch(
        self, study: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cancelled(*args: object, **kwargs: object) -> None:
            raise Cancelled("The run was cancelled.")

        monkeypatch.setattr("MedAILib.batch.segmenting.segment_file", cancelled)
        with pytest.raises(Cancelled):
            go(study, tmp_path / "out", tiny)

    def test_the_public_call_takes_plain_arguments(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        result = segment_many([study / "a"], tmp_path / "out", model=str(tiny), progress=False, suffix="nii.gz")
        assert (tmp_path / "out" / result.records[0].output).name == "head.nii.gz"
        with pytest.raises(UsageError, match="The format must be one of"):
            segment_many([study / "a"], tmp_path / "out", model=str(tiny), suffix="docx")


class TestReport:
    def test_the_table_has_a_line_per_case_and_a_column_per_structure(
        self, study: Path, tmp_path: Path, tiny: Path
    ) -> None:
        go(study, tmp_path / "out", tiny)
        with (tmp_path / "out" / "report.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["status"] for row in rows] == ["failed", "done", "done"]
        assert float(rows[1]["Ball (ml)"]) == pytest.approx((ball()[0] == 100).sum() * 0.008)
        assert "no NIfTI file" in rows[0]["error"]

    def test_the_page_escapes_what_is_not_ours(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        (study / "<b>bold.nii").write_text("garbage")
        go(study, tmp_path / "out", tiny)
        page = (tmp_path / "out" / "report.html").read_text()
        assert "&lt;b&gt;bold.nii" in page
        assert "<b>bold" not in page


class TestShell:
    def test_a_folder_run_exits_20_when_a_case_failed(
        self, study: Path, tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call = ["segment", str(study), "-o", str(tmp_path / "out"), "--model", str(tiny)]
        assert main(call) == 20
        output = capsys.readouterr().out
        assert "2 of 3 cases segmented, 1 failed." in output
        assert "bad.nii" in output
        (study / "bad.nii").unlink()
        assert main([*call, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["skipped"] == 2

    def test_all_volumes_can_go_into_one_table(self, study: Path, tmp_path: Path, tiny: Path) -> None:
        table = tmp_path / "all.csv"
        call = ["segment", str(study), "-o", str(tmp_path / "out"), "--model", str(tiny), "--stats", str(table)]
        assert main([*call, "--quiet"]) == 20
        with table.open(newline="") as file:
            assert [row["Segment"] for row in csv.DictReader(file)] == ["Ball", "Core"] * 2
