"""``MedAILib.superresolve`` and ``medai superres`` with the real worker: files, tags, bad input, batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import MedAILib
from dicom_samples import write_series
from MedAILib.api import superresolve_files
from MedAILib.cli.main import main
from MedAILib.errors import Cancelled, GeometryError, UsageError
from MedAILib.files import read_image, write_image
from MedAILib.files.tags import Tags, read_tags
from MedAILib.scans import ScanSources, ScanTargets
from MedAILib.superres.request import SuperresRequest
from MedAILib.superres.summary import NOTICE
from superres_phantoms import CENTER, center_of, thick_ball

Capture = pytest.CaptureFixture[str]
USAGE, UNREADABLE, GEOMETRY, CONTENT, EXISTS, UNWRITABLE, SOME_FAILED = 2, 3, 4, 5, 6, 7, 20
ODD = Path(__file__).parents[3] / "shared" / "data" / "odd"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A file with thick slices."""
    return write_image(tmp_path / "thick.nii.gz", thick_ball(dtype=np.int16))


def series(folder: Path, **tags: str) -> Path:
    """The ball as a DICOM series along k, 4 mm apart; tags by their number, with an underscore.

    The writer puts 1 mm in SpacingBetweenSlices (0018,0088) whatever it is told.
    """
    image = thick_ball(dtype=np.int16, count=8)
    places = [image.affine @ [0, 0, number, 1] for number in range(8)]
    positions = [(-place[0], -place[1], place[2]) for place in places]
    more = {name.lstrip("t").replace("_", "|"): value for name, value in tags.items()}
    # Directions that go to the left and to the back, as in LPS: the phantom's own go right and front.
    write_series(folder, image.array, positions, orientation=(-1, 0, 0, 0, -1, 0), spacing=(1.5, 1.5), tags=more)
    return folder


def test_the_command_writes_a_finer_volume_in_the_same_place(scan: Path, capsys: Capture) -> None:
    out, left = scan.with_name("thin.nrrd"), scan.with_name("left.nii.gz")
    call = ["superres", str(scan), "-o", str(out), "--method", "tikhonov", "--thickness", "4", "--residual", str(left)]
    assert main(call) == 0
    text = capsys.readouterr().out
    assert "Slices 4 mm thick (as given) every 4 mm, without gap" in text
    assert f"{NOTICE}." in text and text.rstrip().endswith(f"Written: {out}, {left}")
    result = read_image(out)
    np.testing.assert_allclose(result.spacing, 1.5, atol=1e-6)
    assert result.array.dtype == np.int16
    assert np.linalg.norm(center_of(result) - CENTER) < 0.02
    assert read_image(left).shape == (12, 32, 32)
    assert b"MedAI.Computed" in out.read_bytes()[:4000]
    assert main(call) == EXISTS
    assert main([*call, "--overwrite", "--quiet"]) == 0


def test_the_command_tells_everything_as_json(scan: Path, capsys: Capture) -> None:
    out = scan.with_name("thin.nii.gz")
    call = ["superres", str(scan), "-o", str(out), "--method", "cubic", "--spacing", "1", "--isotropic", "--json"]
    assert main([*call, "--thickness", "4"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outputs"] == [str(out)] and told["method"] == "cubic"
    assert told["spacing_after"] == pytest.approx([1, 1, 1])
    assert told["provenance"]["MedAI.Computed"] == NOTICE


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (["--thickness", "0"], USAGE),
        (["--spacing", "9"], USAGE),
        (["--spacing", "4"], GEOMETRY),
        (["--method", "dmdip"], USAGE),
        (["--method", "nothing"], USAGE),
        (["--uncertainty", "u.nii.gz"], USAGE),
        (["--like", "no-such-file.nii.gz"], UNREADABLE),
        (["--format", "nrrd"], USAGE),
        (["--spacing", "1", "--like", "x.nii.gz"], USAGE),
        (["--quality", "best", "--budget", "3"], USAGE),
    ],
)
def test_what_cannot_be_done_ends_with_a_sentence_and_leaves_nothing(
    scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, more: list[str], status: int
) -> None:
    monkeypatch.chdir(scan.parent)
    before = sorted(scan.parent.iterdir())
    call = ["superres", str(scan), "-o", "thin.nii.gz", *([] if "--method" in more else ["--method", "tikhonov"])]
    thick = [] if "--thickness" in more or "4" in more else ["--thickness", "4"]
    assert main([*call, *thick, *more]) == status
    assert capsys.readouterr().err.startswith("medai: ")
    assert sorted(scan.parent.iterdir()) == before


@pytest.mark.skipif(not ODD.is_dir(), reason="needs the shared data beside the repository")
@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("nifti_shear_gantry_tilt.nii.gz", GEOMETRY, "not perpendicular"),
        ("nifti_rgb24.nii.gz", CONTENT, "RGB"),
        ("nifti_4d_asl_8vol.nii.gz", CONTENT, "8 frames"),
        ("flair_oblique19.nii.gz", GEOMETRY, "nearly isotropic already"),
    ],
)
def test_odd_files_are_refused_in_words(tmp_path: Path, capsys: Capture, name: str, status: int, says: str) -> None:
    assert main(["superres", str(ODD / name), "-o", str(tmp_path / "out.nii.gz"), "--method", "cubic"]) == status
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_arrays_images_and_several_scans_are_taken() -> None:
    image = thick_ball()
    result = MedAILib.superresolve(
        (image.array, image.affine), thickness=4.0, method="tikhonov", residual=True, progress=False
    )
    assert result.image.array.dtype == np.float32 and result.residual is not None
    pair = (image.array, image.affine)
    assert ScanSources.of(image, pair).others == (pair,)
    assert ScanSources.of(image, ("a.nii", "b.nii")).others == ("a.nii", "b.nii")
    assert ScanSources.of(image, "a.nii").others == ("a.nii",)
    assert ScanSources.of(image, None).others == ScanSources.of(image).others == ()
    with pytest.raises(UsageError, match="does not know"):
        MedAILib.superresolve(image, thicknes=4.0, progress=False)


def test_no_result_replaces_an_input_or_another_result(scan: Path) -> None:
    with pytest.raises(UsageError, match="would replace the input"):
        ScanTargets(scan).check(ScanSources(scan), True)
    with pytest.raises(UsageError, match="two results have the same name"):
        ScanTargets(scan.with_name("a.nii"), scan.with_name("a.nii")).check(ScanSources(scan), True)


def test_the_thickness_comes_from_dicom(tmp_path: Path) -> None:
    folder = series(tmp_path / "series", t0018_0050="5.0")
    assert read_tags(folder) == Tags("MR", 5.0, 1.0)
    account = MedAILib.superresolve(folder, method="cubic", progress=False).summary
    assert (account.thickness, account.thickness_source, account.modality) == (5.0, "dicom", "MR")


def test_a_contradiction_or_nonsense_in_the_header_is_told(tmp_path: Path) -> None:
    folder = series(tmp_path / "series", t0018_0050="0")
    account = MedAILib.superresolve(folder, method="cubic", progress=False).summary
    codes = [one.code for one in account.warnings]
    assert "thickness-tag" in codes and "increment-tag" in codes
    assert account.increment == pytest.approx(4.0, abs=1e-6) and account.thickness_source != "dicom"


@pytest.mark.skipif(not ODD.is_dir(), reason="needs the shared data beside the repository")
def test_the_thickness_of_a_multi_frame_file_is_found_among_its_frames() -> None:
    assert read_tags(ODD / "dicom_enhanced_multiframe.dcm") == Tags("MR", 2.4, 2.4)


def test_the_thickness_comes_from_the_file_beside_a_converted_scan(scan: Path) -> None:
    scan.with_name("thick.json").write_text(json.dumps({"SliceThickness": 3.5, "Modality": "MR", "EchoTime": 0.1}))
    assert read_tags(scan) == Tags("MR", 3.5, None)
    scan.with_name("thick.json").write_text("[1, 2]")
    assert read_tags(scan) == Tags()
    scan.with_name("thick.json").write_text("{broken")
    assert read_tags(scan) == Tags()


def test_a_cancel_leaves_nothing(scan: Path) -> None:
    def cancel(event: object) -> None:
        raise KeyboardInterrupt

    out = scan.with_name("thin.nii.gz")
    with pytest.raises((KeyboardInterrupt, Cancelled)):
        superresolve_files(
            ScanSources(scan), SuperresRequest("tikhonov", thickness=4.0), ScanTargets(out), on_event=cancel
        )
    assert not out.exists()


def test_a_folder_is_worked_through_and_resumed(tmp_path: Path, capsys: Capture) -> None:
    study, results = tmp_path / "study", tmp_path / "results"
    (study / "a").mkdir(parents=True)
    write_image(study / "a" / "one.nii.gz", thick_ball())
    write_image(study / "two.nii.gz", thick_ball(increment=3.0))
    write_image(study / "sharp.nii.gz", thick_ball(increment=1.5, thickness=1.5, count=32))
    call = ["superres", str(study), "-o", str(results), "--method", "tikhonov", "--thickness", "3", "--format", "nrrd"]
    one = (results / "a" / "one.nrrd", results / "two.nrrd")
    assert main([*call, "--spacing", "1.5"]) == 0
    assert all(path.is_file() for path in one)
    capsys.readouterr()
    assert main([*call, "--spacing", "1.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 3
    assert main([*call, "--spacing", "1", "--overwrite"]) == 0
    assert "3 of 3 cases sharpened" in capsys.readouterr().out
    assert read_image(one[1]).spacing[0] == pytest.approx(1.0)
    table = (results / "report.csv").read_text()
    assert "thickness_mm" in table and "consistency_db" in table


def test_a_batch_goes_on_after_a_bad_scan(tmp_path: Path, capsys: Capture) -> None:
    study = tmp_path / "study"
    study.mkdir()
    write_image(study / "good.nii.gz", thick_ball())
    write_image(study / "sharp.nii.gz", thick_ball(increment=1.5, thickness=1.5, count=32))
    result = MedAILib.superresolve_many([study], tmp_path / "out", progress=False, method="cubic", thickness=1.5)
    assert result.failed == 1 and (tmp_path / "out" / "good.nii.gz").is_file()
    assert main(["superres", str(study), "-o", str(tmp_path / "out"), "--second", "x.nii"]) == USAGE
    with pytest.raises(UsageError, match="format must be one of"):
        MedAILib.superresolve_many([study], tmp_path / "out", suffix="seg.nrrd")


def test_the_grid_of_another_image_is_met(scan: Path) -> None:
    like = write_image(scan.with_name("like.nii.gz"), thick_ball(increment=1.5, thickness=1.5, count=30))
    result = MedAILib.superresolve(scan, thickness=4.0, method="tikhonov", like=like, progress=False)
    grid = read_image(like)
    assert result.image.shape == grid.shape
    np.testing.assert_allclose(result.image.affine, grid.affine, atol=1e-6)
    with pytest.raises(GeometryError):
        MedAILib.superresolve(like, method="tikhonov", progress=False)
