"""``MedAILib.register`` and ``medai register`` with the real engine and worker: files, arrays, bad input, cancel."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import MedAILib
from MedAILib.api import register_files
from MedAILib.cli.main import main
from MedAILib.errors import Cancelled, UsageError
from MedAILib.files import read_image, read_labels, read_transform, write_image, write_labels, write_points
from MedAILib.files.label_maps import made_up_table
from MedAILib.image import Image
from MedAILib.pairs import PairSources, PairTargets
from MedAILib.registration.request import Registration, RegistrationRequest
from MedAILib.registration.summary import RegistrationSummary
from MedAILib.worker import shared_worker
from register_tools import SHIFT, labels_of, scan, shift, shifted_pair

ROOT = Path(MedAILib.__file__).parents[1]
Capture = pytest.CaptureFixture[str]
USAGE, UNREADABLE, GEOMETRY, CONTENT, EXISTS = 2, 3, 4, 5, 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images that a shift brings together, with labels and landmarks."""
    pair = shifted_pair()
    for image in (pair.fixed, pair.moving):
        write_image(tmp_path / f"{image.name}.nii.gz", image)
        labels = labels_of(image)
        write_labels(tmp_path / f"{image.name}_labels.nii.gz", labels, made_up_table(labels.array))
    write_points(tmp_path / "fixed.mrk.json", np.eye(3) * 9)
    write_points(tmp_path / "moving.mrk.json", np.eye(3) * 9 + SHIFT)
    return tmp_path


@pytest.fixture
def call(folder: Path) -> list[str]:
    """Arguments of a run that works."""
    images = ["--fixed", str(folder / "fixed.nii.gz"), "--moving", str(folder / "moving.nii.gz")]
    return ["register", *images, "--kind", "rigid", "--contrast", "same"]


def close_to_shift(transform: object, mm: float = 0.5) -> bool:
    points = np.array([[0.0, 0, 0], [15, 0, 0], [0, 15, 0], [0, 0, 15]])
    return bool(np.abs(transform.points(points) - points - SHIFT).max() < mm)  # type: ignore[attr-defined]


def test_the_command_writes_everything_that_was_asked_for(folder: Path, call: list[str], capsys: Capture) -> None:
    results = {
        "--output": "w.nii.gz",
        "--transform": "t.h5",
        "--inverse": "i.tfm",
        "--warped-labels": "wl.seg.nrrd",
        "--jacobian": "j.nii.gz",
    }
    places = [part for option, name in results.items() for part in (option, str(folder / name))]
    labels = ["--fixed-labels", str(folder / "fixed_labels.nii.gz")]
    labels += ["--moving-labels", str(folder / "moving_labels.nii.gz")]
    landmarks = ["--landmarks", str(folder / "fixed.mrk.json"), str(folder / "moving.mrk.json")]
    assert main([*call, *places, *labels, *landmarks]) == 0
    text = capsys.readouterr().out
    assert "Dice, mean of 2 structures" in text and "Landmark error, mean of 3" in text
    assert text.rstrip().endswith(f"Written: {', '.join(str(folder / name) for name in results.values())}")
    assert close_to_shift(read_transform(folder / "t.h5"))
    points = np.array([[3.0, 4.0, 5.0]])
    there = read_transform(folder / "t.h5").points(points)
    np.testing.assert_allclose(read_transform(folder / "i.tfm").points(there), points, atol=1e-3)
    assert read_image(folder / "w.nii.gz").shape == read_image(folder / "fixed.nii.gz").shape
    assert read_labels(folder / "wl.seg.nrrd")[0].array.max() == 2
    assert read_image(folder / "j.nii.gz").array.mean() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", ["t.h5", "t.nii.gz", "t.tfm"])
def test_itk_warps_with_the_file_to_what_was_written(folder: Path, call: list[str], name: str) -> None:
    assert main([*call, "-o", str(folder / "w.nii.gz"), "--transform", str(folder / name), "--quiet"]) == 0
    if name == "t.nii.gz":
        image = sitk.ReadImage(str(folder / name), sitk.sitkVectorFloat64)
        transform: sitk.Transform = sitk.DisplacementFieldTransform(image)
    else:
        transform = sitk.ReadTransform(str(folder / name))
    fixed, moving = (sitk.ReadImage(str(folder / f"{which}.nii.gz")) for which in ("fixed", "moving"))
    by_itk = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear))
    inner = (slice(5, -5),) * 3
    np.testing.assert_allclose(by_itk[inner], read_image(folder / "w.nii.gz").array[inner], atol=0.5)


def test_json_is_the_only_output_when_asked_for(folder: Path, call: list[str], capsys: Capture) -> None:
    assert main([*call, "--transform", str(folder / "t.h5"), "--json"]) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert captured.err == ""
    assert data["outputs"] == [str(folder / "t.h5")]
    assert data["similarity"]["after"] > data["similarity"]["before"]
    assert RegistrationSummary.from_json({k: v for k, v in data.items() if k != "outputs"}).kind == "rigid"


def test_the_deformable_default_runs_and_its_displacement_is_that_of_the_transform(folder: Path) -> None:
    pair = shifted_pair()
    result = MedAILib.register(
        pair.fixed, pair.moving, transform=folder / "t.nii.gz", preset="fast", contrast="same", progress=False
    )
    assert isinstance(result, Registration) and result.warped is None
    assert result.summary.local_correlation.after > 0.9
    points = np.array([[3.0, 4.0, 5.0], [-8.0, 2.0, 1.0]])
    written = read_transform(folder / "t.nii.gz").points(points)
    np.testing.assert_allclose(written, result.transform.points(points), atol=0.3)


def test_arrays_give_the_warped_image_and_labels_back() -> None:
    pair = shifted_pair()
    labels = labels_of(pair.moving)
    result = MedAILib.register(
        (pair.fixed.array, pair.fixed.affine),
        (pair.moving.array, pair.moving.affine),
        kind="rigid",
        contrast="same",
        moving_labels=labels,
        landmarks=(np.eye(3) * 9, np.eye(3) * 9 + SHIFT),
        initial=shift(SHIFT + 1),
        progress=False,
    )
    assert close_to_shift(result.transform)
    assert result.warped.name == "the moving array" and result.warped_labels.is_label
    assert result.summary.landmark_mm.after < 0.5


def test_auto_contrast_is_decided_and_explained() -> None:
    pair = shifted_pair()
    summary = MedAILib.register(pair.fixed, pair.moving, kind="rigid", progress=False).summary
    assert summary.contrast in ("same", "different") and summary.contrast_reason.endswith(".")


@pytest.mark.parametrize(("kind", "contrast"), [("rigid", "same"), ("deformable", "same"), ("deformable", "different")])
def test_two_slices_of_one_plane_are_registered_in_their_plane(kind: str, contrast: str) -> None:
    volume = scan((9, 60, 64), seed=2)
    fixed = Image(volume.array[4:5], volume.affine, "fixed")
    moving = Image(np.roll(fixed.array, (2, -3), (1, 2)), fixed.affine, "moving")
    result = MedAILib.register(fixed, moving, kind=kind, preset="fast", contrast=contrast, progress=False)
    points = np.array([[0.0, 0, 0], [20, 10, 0]])
    moved = result.transform.points(points) - points
    np.testing.assert_allclose(moved, [[-6.0, 4.0, 0.0]] * 2, atol=1.5)
    np.testing.assert_allclose(moved[:, 2], 0, atol=1e-3)


def test_a_caller_keeps_torch_out_of_its_process(folder: Path) -> None:
    code = (
        "import sys, MedAILib\n"
        f"result = MedAILib.register({str(folder / 'fixed.nii.gz')!r}, {str(folder / 'moving.nii.gz')!r}, "
        "kind='rigid', contrast='same', progress=False)\n"
        "print(result.summary.kind)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "rigid"), done.stderr


def test_a_cancel_leaves_no_files_and_a_worker_that_goes_on(folder: Path) -> None:
    before = sorted(folder.iterdir())

    def cancel(event: object) -> None:
        raise KeyboardInterrupt

    sources = PairSources(folder / "fixed.nii.gz", folder / "moving.nii.gz")
    with pytest.raises((Cancelled, KeyboardInterrupt)):
        register_files(sources, RegistrationRequest(), PairTargets(folder / "w.nii.gz"), on_event=cancel)
    assert sorted(folder.iterdir()) == before
    shared_worker("auto").submit("ping").wait()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--fixed and --moving are needed, or --pairs"),
        (["--fixed", "a.nii", "--moving", "b.nii"], "No result was asked for"),
        (["--fixed", "a", "--moving", "b", "-o", "c.nii", "--kind", "elastic"], "invalid choice: 'elastic'"),
        (["--fixed", "a", "--moving", "b", "-o", "c.nii", "--landmarks", "one"], "expected 2 arguments"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_exit_2(arguments: list[str], says: str, capsys: Capture) -> None:
    assert main(["register", *arguments]) == USAGE
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_landmark_pair_of_another_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="two lists or files"):
        MedAILib.register(scan(), scan(), landmarks=np.zeros(3), progress=False)  # type: ignore[arg-type]


def volume(array: np.ndarray) -> Callable[[Path], list[str]]:
    """A moving image with these values."""

    def write(folder: Path) -> list[str]:
        like = read_image(folder / "moving.nii.gz")
        write_image(folder / "moving.nii.gz", Image(array, like.affine, "moving"), overwrite=True)
        return []

    return write


def empty_mask(folder: Path) -> list[str]:
    image = read_image(folder / "moving.nii.gz")
    write_image(folder / "mask.nii.gz", Image(np.zeros(image.shape, np.uint8), image.affine))
    return ["--moving-mask", str(folder / "mask.nii.gz")]


def singular_transform(folder: Path) -> list[str]:
    (folder / "bad.tfm").write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        "Parameters: 0 0 0 0 1 0 0 0 1 0 0 0\nFixedParameters: 0 0 0\n"
    )
    return ["--initial", str(folder / "bad.tfm")]


def far_apart_with_the_start_given(folder: Path) -> list[str]:
    image = read_image(folder / "moving.nii.gz")
    away = shift(np.array([900.0, 0, 0])) @ image.affine
    write_image(folder / "moving.nii.gz", Image(image.array, away), overwrite=True)
    return ["--start", "given"]


def missing(folder: Path) -> list[str]:
    (folder / "moving.nii.gz").unlink()
    return []


def labels_that_are_none(folder: Path) -> list[str]:
    return ["--moving-labels", str(folder / "fixed.nii.gz")]


def output_is_there(folder: Path) -> list[str]:
    (folder / "out.nii.gz").write_text("mine")
    return []


@pytest.mark.parametrize(
    ("bad", "status", "says"),
    [
        (volume(np.full((20, 24, 28), 7.0)), CONTENT, "moving is constant"),
        (volume(np.full((20, 24, 28), np.nan)), CONTENT, "moving has no finite value"),
        (volume(np.arange(24.0 * 28).reshape(1, 24, 28)), GEOMETRY, "moving is a single slice and fixed a volume"),
        (empty_mask, CONTENT, "mask is an empty mask"),
        (singular_transform, GEOMETRY, "singular"),
        (far_apart_with_the_start_given, GEOMETRY, "do not overlap where the headers put them"),
        (missing, UNREADABLE, "does not exist"),
        (labels_that_are_none, CONTENT, "is no label map"),
        (output_is_there, EXISTS, "exists already"),
    ],
)
def test_bad_input_is_one_sentence_with_its_own_status_and_leaves_nothing(
    folder: Path, call: list[str], bad: Callable[[Path], list[str]], status: int, says: str, capsys: Capture
) -> None:
    more = bad(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main([*call, *more, "-o", str(folder / "out.nii.gz"), "--transform", str(folder / "t.h5")]) == status
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_some_voxels_without_a_number_and_images_far_apart_still_end_well(
    folder: Path, call: list[str], capsys: Capture
) -> None:
    image = read_image(folder / "moving.nii.gz")
    array = image.array.copy()
    array[::5, ::7, ::6] = np.nan
    away = shift(np.array([300.0, 50, 20])) @ image.affine
    write_image(folder / "moving.nii.gz", Image(array, away), overwrite=True)
    assert main([*call, "--transform", str(folder / "t.h5"), "--json"]) == 0
    assert [one["code"] for one in json.loads(capsys.readouterr().out)["warnings"]] == ["not-finite"]
    points = np.array([[0.0, 0, 0], [15, 0, 0], [0, 15, 0]])
    moved = read_transform(folder / "t.h5").points(points) - points - SHIFT - np.array([300.0, 50, 20])
    assert np.abs(moved).max() < 1.0
