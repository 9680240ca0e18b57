"""The table of pairs, and what a batch of pairs does; with a registration that only copies."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from MedAILib.batch import PairCase, PairOptions, read_pairs, register_many, run_pairs
from MedAILib.batch.records import Records
from MedAILib.cli.main import main
from MedAILib.errors import ContentError, GeometryError, MedAIError, ReadError, UsageError
from MedAILib.files import write_image, write_labels, write_transform
from MedAILib.files.label_maps import made_up_table
from MedAILib.pairs import PairSources, PairTargets
from MedAILib.registration.request import Registration, RegistrationRequest
from MedAILib.registration.summary import Change, RegistrationSummary, StructureOverlap
from MedAILib.transforms import IDENTITY
from register_tools import labels_of, scan

REQUEST = RegistrationRequest("rigid", "fast")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with two scans, labels and a table of three pairs of which one has no file."""
    folder = tmp_path / "study"
    folder.mkdir()
    for number, name in enumerate(("a", "b")):
        image = scan(seed=number)
        write_image(folder / f"{name}.nii.gz", image)
        labels = labels_of(image)
        write_labels(folder / f"{name}_labels.nii.gz", labels, made_up_table(labels.array))
    lines = [
        "fixed,moving,fixed_labels,moving_labels",
        "a.nii.gz,b.nii.gz,a_labels.nii.gz,b_labels.nii.gz",
        "a.nii.gz,missing.nii.gz,,",
        "b.nii.gz,a.nii.gz,,",
    ]
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> list[PairSources]:
    """In place of the engine: loads, writes the moving image and the identity, and notes what it got."""
    seen: list[PairSources] = []

    def copy(sources: PairSources, request: RegistrationRequest, targets: PairTargets, *more: object) -> Registration:
        overwrite = bool(more[1])
        targets.check(sources, request.deformable, overwrite)
        loaded = sources.load()
        seen.append(sources)
        changes = Change(0.1, 0.2)
        summary = RegistrationSummary(
            "f", "m", "rigid", "fast", "auto", "same", "", "cpu", changes, changes,
            structures=(StructureOverlap(1, "Dark", Change(0.2, 0.8), Change(3.0, float("nan"))),),
            dice=Change(0.2, 0.8),
        )  # fmt: skip
        result = Registration(IDENTITY, IDENTITY, summary, loaded.pair.moving, loaded.pair.moving_labels)
        targets.write(result, loaded, overwrite)
        return result

    monkeypatch.setattr("MedAILib.batch.pairs.register_files", copy)
    return seen


def table(folder: Path, *lines: str) -> Path:
    path = folder / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


class TestTable:
    def test_paths_are_relative_to_the_table_and_names_come_from_the_files(self, study: Path) -> None:
        cases = read_pairs(study / "pairs.csv")
        assert [case.name.as_posix() for case in cases] == ["b_to_a", "missing_to_a", "a_to_b"]
        assert cases[0].files["fixed"] == study / "a.nii.gz"
        assert "fixed_labels" not in cases[1].files
        assert cases[0].sources().moving_labels == study / "b_labels.nii.gz"

    def test_columns_may_stand_in_any_order_with_semicolons_names_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text(
            "\ufeffname;moving;fixed;fixed_landmarks;moving_landmarks\np/1;m.nii;f.nii;f.fcsv;m.fcsv\n\n",
            encoding="utf-8",
        )
        (case,) = read_pairs(path)
        assert case.name == Path("p/1")
        assert case.sources().fixed_points == tmp_path / "f.fcsv"

    def test_equal_pairs_get_names_of_their_own(self, tmp_path: Path) -> None:
        cases = read_pairs(table(tmp_path, "fixed,moving", "f.nii,m.nii", "f.nii,m.nii"))
        assert [case.name.name for case in cases] == ["m_to_f", "m_to_f_line3"]

    @pytest.mark.parametrize(
        ("lines", "says"),
        [
            (["fixed,movin", "a,b"], "lacks the column 'moving'"),
            (["fixed,moving,color", "a,b,c"], "has the unknown column 'color'"),
            (["fixed,moving,moving", "a,b,c"], "has the column 'moving' twice"),
            (["fixed,moving", "a,"], "line 2: the column 'moving' is empty"),
            (["fixed,moving", "a,b,c"], "line 2: it has more cells than the header"),
            (["fixed,moving,name", "a,b,x", "a,c,X"], "line 3: the name 'X' is used twice"),
            (["fixed,moving,name", "a,b,../x"], "leads out of the output folder"),
        ],
    )
    def test_a_table_that_cannot_be_used_is_refused(self, tmp_path: Path, lines: list[str], says: str) -> None:
        with pytest.raises(UsageError, match=says):
            read_pairs(table(tmp_path, *lines))

    def test_a_table_that_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ReadError, match="cannot be read"):
            read_pairs(tmp_path / "none.csv")
        with pytest.raises(ReadError, match="no line below its header"):
            read_pairs(table(tmp_path, "fixed,moving"))
        (tmp_path / "t.csv").write_bytes(b"fixed,moving\n\xff\xfe,b\n")
        with pytest.raises(ReadError, match="no text in UTF-8"):
            read_pairs(tmp_path / "t.csv")


class TestRun:
    def test_a_bad_pair_does_not_stop_the_others(self, study: Path, tmp_path: Path, copying: list[PairSources]) -> None:
        out = tmp_path / "out"
        result = run_pairs(study / "pairs.csv", out, REQUEST)
        assert [record.status for record in result.records] == ["done", "failed", "done"]
        assert result.records[1].error["code"] == "unreadable"
        files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
        assert files == [
            "a_to_b/transform.h5",
            "a_to_b/warped.nii.gz",
            "b_to_a/transform.h5",
            "b_to_a/warped.nii.gz",
            "b_to_a/warped_labels.nii.gz",
            "report.csv",
            "report.html",
            "report.json",
        ]

    def test_a_second_run_does_only_what_is_missing_or_has_changed(
        self, study: Path, tmp_path: Path, copying: list[PairSources]
    ) -> None:
        out = tmp_path / "out"
        run_pairs(study / "pairs.csv", out, REQUEST)
        assert run_pairs(study / "pairs.csv", out, REQUEST).skipped == 2
        (out / "b_to_a" / "warped_labels.nii.gz").unlink()
        assert run_pairs(study / "pairs.csv", out, REQUEST, PairOptions()).skipped == 1
        write_image(study / "b.nii.gz", scan(seed=5), overwrite=True)
        assert run_pairs(study / "pairs.csv", out, REQUEST, PairOptions(overwrite=True)).skipped == 0
        assert run_pairs(study / "pairs.csv", out, RegistrationRequest("affine", "fast")).skipped == 0

    def test_the_report_has_the_figures_of_each_pair(
        self, study: Path, tmp_path: Path, copying: list[PairSources]
    ) -> None:
        out = tmp_path / "out"
        result = register_many(study / "pairs.csv", out, kind="rigid", progress=False)
        with (out / "report.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["status"] for row in rows] == ["done", "failed", "done"]
        assert (rows[0]["similarity_before"], rows[0]["dice_after"]) == ("0.1", "0.8")
        assert rows[1]["similarity_before"] == ""
        assert rows[0]["Dice: Dark (after)"] == "0.8"
        assert "HD95: Dark (after)" not in rows[0]
        assert "<th>similarity_after</th>" in (out / "report.html").read_text()
        json.dumps(result.to_json(), allow_nan=False)

    def test_an_error_that_nobody_foresaw_does_not_stop_the_others(
        self, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fault(*arguments: object) -> None:
            raise ZeroDivisionError("by 0")

        monkeypatch.setattr("MedAILib.batch.pairs.register_files", fault)
        result = run_pairs(study / "pairs.csv", tmp_path / "out", REQUEST)
        assert [record.error["code"] for record in result.records] == ["unexpected", "unreadable", "unexpected"]

    def test_a_report_of_an_earlier_version_is_understood(self, tmp_path: Path) -> None:
        case = {"input": "a", "status": "done", "total_ml": 3.0, "warnings": [], "rows": []}
        content = {"kind": "MedAI batch report", "version": 1, "cases": [case]}
        (tmp_path / "report.json").write_text(json.dumps(content))
        record = Records(tmp_path).get("a")
        assert record is not None and record.figures == {"total_ml": 3.0}


class TestShell:
    def test_a_failed_pair_is_told_and_exits_20(
        self, study: Path, tmp_path: Path, copying: list[PairSources], capsys: pytest.CaptureFixture[str]
    ) -> None:
        call = ["register", "--pairs", str(study / "pairs.csv"), "-o", str(tmp_path / "out")]
        assert main(call) == 20
        text = capsys.readouterr().out
        assert "2 of 3 cases registered, 1 failed." in text
        assert "missing_to_a: " in text
        assert main([*call, "--json"]) == 20
        assert json.loads(capsys.readouterr().out)["skipped"] == 2

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            ([], "--pairs needs an output folder"),
            (["-o", "out", "--fixed-mask", "k.nii"], "--fixed-mask is for one pair"),
            (["-o", "{table}"], "is a file; --pairs needs an output folder"),
        ],
    )
    def test_arguments_that_do_not_go_with_a_table_are_refused(
        self, study: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = str(study / "pairs.csv")
        assert main(["register", "--pairs", path, *(one.format(table=path) for one in more)]) == 2
        assert says in capsys.readouterr().err


class TestSources:
    def test_a_segmentation_file_is_mask_and_labels_with_names(self, tmp_path: Path) -> None:
        image = scan()
        labels = labels_of(image)
        named = [label.__class__(label.value, f"Part {label.value}", label.color, label.type)
                 for label in made_up_table(labels.array)]  # fmt: skip
        path = write_labels(tmp_path / "l.seg.nrrd", labels, named)
        loaded = PairSources(image, image, fixed_mask=path, moving_labels=path).load()
        assert loaded.pair.label_names == {1: "Part 1", 2: "Part 2"}
        assert loaded.pair.fixed_mask is not None and loaded.pair.fixed_mask.is_label
        assert [label.name for label in loaded.table] == ["Part 1", "Part 2"]

    def test_arrays_points_and_matrices_are_taken_as_they_are(self) -> None:
        image = scan()
        points = [[1.0, 2, 3], [4, 5, 6]]
        pair = PairSources(
            (image.array, image.affine), image, fixed_points=points, moving_points=np.array(points), initial=np.eye(4)
        ).load().pair  # fmt: skip
        assert pair.fixed.name == "the fixed array"
        assert pair.points is not None and pair.points[0].shape == (2, 3)
        assert pair.initial is not None and pair.initial.linear is not None

    @pytest.mark.parametrize(
        ("more", "error", "says"),
        [
            ({"fixed_points": np.zeros((2, 3))}, UsageError, "only one list was given"),
            ({"fixed_points": np.zeros(3), "moving_points": np.zeros(3)}, UsageError, r"shape \(n, 3\), not \(3,\)"),
            ({"fixed_points": "x.csv", "moving_points": "y.csv"}, ReadError, "x.csv does not exist"),
            ({"initial": "x.h5"}, ReadError, "x.h5"),
            ({"initial": np.diag([0.0, 1, 1, 1])}, GeometryError, "initial transform is singular"),
            ({"initial": ["nonsense"]}, UsageError, "initial transform is a path, a 4x4 matrix"),
            ({"moving_labels": (np.full((3, 4, 5), 0.5), np.eye(4))}, ContentError, "no label map"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, more: dict[str, object], error: type[Exception], says: str) -> None:
        with pytest.raises(error, match=says):
            PairSources(scan(), scan(), **more).load()  # type: ignore[arg-type]

    def test_an_initial_transform_comes_from_a_file(self, tmp_path: Path) -> None:
        path = write_transform(tmp_path / "t.tfm", IDENTITY, scan())
        pair = PairSources(scan(), scan(), initial=path).load().pair
        assert pair.initial is not None


class TestTargets:
    @pytest.mark.parametrize(
        ("targets", "says"),
        [
            ({"warped_labels": "l.nii.gz"}, "only if moving labels are given"),
            ({"warped": "a.nii.gz", "jacobian": "a.nii.gz"}, "two results have the same name"),
            ({"transform": "t.txt"}, "holds linear transforms only"),
            ({"transform": "t.docx"}, "no format that can be written"),
            ({"warped": "w.h5"}, "no format that can be written"),
            ({"warped": "fixed.nii.gz"}, "would replace the input"),
        ],
    )
    def test_impossible_places_are_refused_before_any_work(
        self, tmp_path: Path, targets: dict[str, str], says: str
    ) -> None:
        fixed = write_image(tmp_path / "fixed.nii.gz", scan())
        places = {name: str(tmp_path / path) for name, path in targets.items()}
        with pytest.raises(MedAIError, match=says):
            PairTargets(**places).check(PairSources(fixed, scan()), True, False)  # type: ignore[arg-type]

    def test_the_images_that_have_a_place_are_asked_for(self) -> None:
        assert PairTargets("w.nii", "t.h5", jacobian="j.nii").outputs == ("warped", "jacobian")


def test_a_pair_is_named_by_name_and_images() -> None:
    case = PairCase({"fixed": Path("/f.nii"), "moving": Path("/m.nii")}, Path("one"))
    assert case.key == f"one: {Path('/m.nii')} to {Path('/f.nii')}"
