from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedAILib.errors import ReadError
from MedAILib.files import write_image, write_labels
from MedAILib.geometry import with_spacing
from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label
from MedAILib.training.cases.checks import check_cases
from MedAILib.training.cases.folder import find_cases
from MedAILib.training.cases.reading import read_case_image
from MedAILib.training.cases.report import Report
from Unit.cases_tools import ball_case, write_case, write_cases

ROOT = Path(__file__).parents[2]


def fatal(report: Report) -> str:
    return " ".join(problem.message for problem in report.fatal)


def warned(report: Report) -> str:
    return " ".join(problem.message for problem in report.problems if not problem.fatal)


def test_images_and_labels_of_equal_names_are_cases(tmp_path: Path) -> None:
    found = find_cases(write_cases(tmp_path, 3))
    assert [case.name for case in found.cases] == ["first", "second", "third"]
    assert found.problems == ()


def test_nnu_net_s_layout_has_channels_in_the_names(tmp_path: Path) -> None:
    image, labels = ball_case(1)
    write_case(tmp_path, "one", np.stack([image, 2 * image]), labels)
    (tmp_path / "images").rename(tmp_path / "imagesTr")
    (tmp_path / "labels").rename(tmp_path / "labelsTr")
    (case,) = find_cases(tmp_path).cases
    assert case.name == "one"
    assert [file.name for file in case.images] == ["one_0000.nii.gz", "one_0001.nii.gz"]
    assert np.allclose(read_case_image(case).array, [image, 2 * image])


@pytest.mark.parametrize("word", ["_seg", "_label", "-mask"])
def test_labels_may_lie_beside_the_images(tmp_path: Path, word: str) -> None:
    image, labels = ball_case(1)
    write_image(tmp_path / "head.nii.gz", Image(image, np.eye(4)))
    write_image(tmp_path / f"head{word}.nii.gz", Image(labels, np.eye(4), kind=Kind.LABEL))
    (case,) = find_cases(tmp_path).cases
    assert (case.name, case.labels.name) == ("head", f"head{word}.nii.gz")


def test_a_file_without_counterpart_is_named(tmp_path: Path) -> None:
    write_cases(tmp_path, 3)
    (tmp_path / "labels" / "second.nii.gz").unlink()
    (tmp_path / "images" / "third.nii.gz").unlink()
    report = check_cases(tmp_path)
    assert "second.nii.gz has no label map" in fatal(report)
    assert "third.nii.gz has no image" in fatal(report)


def test_a_folder_without_cases_says_how_one_looks(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="images and the label maps"):
        find_cases(tmp_path)
    with pytest.raises(ReadError, match="no such folder"):
        find_cases(tmp_path / "nothing")


def test_a_good_folder_is_counted_and_measured(tmp_path: Path) -> None:
    report = check_cases(write_cases(tmp_path, 4, spacing=(2.0, 1.0, 1.0), shape=(8, 18, 20)))
    assert report.fatal == ()
    ball, core = report.classes
    assert (len(ball.cases), len(core.cases)) == (4, 4)
    assert core.median_ml == pytest.approx(4 / 3 * np.pi * 3**3 / 1000, rel=0.2)
    assert report.to_json()["classes"][0]["cases"] == 4


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    write_cases(tmp_path, 3)
    image, labels = ball_case(7)
    write_case(tmp_path, "shifted", image, labels)
    moved = with_spacing((1.0, 1.0, 1.0))
    moved[0, 3] = 5.0
    write_image(tmp_path / "labels" / "shifted.nii.gz", Image(labels, moved, kind=Kind.LABEL), overwrite=True)
    write_case(tmp_path, "smaller", image, labels[1:])
    write_case(tmp_path, "constant", np.full_like(image, 5.0), labels)
    write_case(tmp_path, "two", np.stack([image, image]), labels)
    write_image(tmp_path / "labels" / "first.nii.gz", Image(image + 0.5, np.eye(4)), overwrite=True)
    text = fatal(check_cases(tmp_path))
    assert "first: " in text
    assert "whole numbers" in text
    assert "shifted: image and label map have equally many voxels, but do not lie at the same place" in text
    assert "smaller: 20 x 18 x 15 voxels in the label map, but 20 x 18 x 16 voxels in the image" in text
    assert "constant: the image is constant" in text
    assert "second" not in text


def test_a_case_of_other_channels_is_refused(tmp_path: Path) -> None:
    image, labels = ball_case(1, (1, 18, 20))
    for name in ("a", "b", "c"):
        for part, layers in (("images", np.stack([image[0]] * 3, -1)), ("labels", labels[0])):
            (tmp_path / part).mkdir(exist_ok=True)
            layers = layers[..., 0] if (part, name) == ("images", "c") else layers
            picture = sitk.GetImageFromArray(np.clip(layers, 0, 255).astype(np.uint8), isVector=layers.ndim == 3)
            sitk.WriteImage(picture, str(tmp_path / part / f"{name}.png"))
    assert "c: has 1 channels, most cases have 3" in fatal(check_cases(tmp_path))


def test_a_missing_channel_is_told_or_left_out_where_the_network_can_do_without(tmp_path: Path) -> None:
    image, labels = ball_case(1)
    for name in ("a", "b", "c"):
        write_case(tmp_path, name, np.stack([image, image, image]), labels)
    (tmp_path / "images" / "c_0001.nii.gz").unlink()
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "T2", "2": "FLAIR"}}))
    assert "c: lacks the channel _0001" in fatal(check_cases(tmp_path))
    report = check_cases(tmp_path, subsets=True)
    assert report.fatal == ()
    assert report.inputs == ("T1", "T2", "FLAIR")
    assert report.facts[2].missing == (1,)
    read = read_case_image(find_cases(tmp_path).cases[2]).array
    assert np.isnan(read[1]).all()
    assert np.isfinite(read[[0, 2]]).all()


def test_one_case_is_not_enough(tmp_path: Path) -> None:
    assert "only one case" in fatal(check_cases(write_cases(tmp_path, 1)))


def test_what_is_only_odd_is_a_warning(tmp_path: Path) -> None:
    write_cases(tmp_path, 3)
    image, labels = ball_case(8)
    image[0, 0, 0] = np.nan
    write_case(tmp_path, "holes", image, labels)
    write_case(tmp_path, "empty", image, np.zeros_like(labels))
    write_case(tmp_path, "rare", ball_case(9)[0], np.where(ball_case(9)[1] == 2, 7, ball_case(9)[1]))
    report = check_cases(tmp_path)
    assert report.fatal == ()
    text = warned(report)
    assert "holes: 1 voxels" in text
    assert "empty: the label map is empty" in text
    assert "Label 7 (7) is only in rare" in text


def test_all_empty_label_maps_are_nothing_to_learn(tmp_path: Path) -> None:
    for name in ("a", "b"):
        image, labels = ball_case(1)
        write_case(tmp_path, name, image, np.zeros_like(labels))
    assert "nothing to learn" in fatal(check_cases(tmp_path))


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "left hippocampus": 1, "core": 2},
        {"0": "background", "1": "left hippocampus", "2": "core"},
    ],
)
def test_names_come_from_dataset_json_in_both_directions(tmp_path: Path, labels: dict[str, object]) -> None:
    write_cases(tmp_path, 2)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    first, second = check_cases(tmp_path).table
    assert (first.name, first.type.meaning, second.name) == ("left hippocampus", "Hippocampus", "core")
    assert first.modifier is not None
    assert (first.value, second.value) == (1, 2)


def test_whole_labels_keep_their_colors_and_codes(tmp_path: Path) -> None:
    write_cases(tmp_path, 2)
    ball = Label(1, "ball", (1.0, 0.5, 0.0), Code("SCT", "1", "Ball"))
    core = Label(2, "core", (0.0, 0.5, 0.0), Code("SCT", "2", "Core"))
    text = json.dumps({"labels": {"x": 1}, "medai_labels": [ball.to_json(), core.to_json()]})
    (tmp_path / "dataset.json").write_text(text)
    assert check_cases(tmp_path).table == (ball, core)


def test_a_color_table_of_slicer_names_and_colors(tmp_path: Path) -> None:
    write_cases(tmp_path, 2)
    (tmp_path / "labels.ctbl").write_text("# table\n0 background 0 0 0 0\n1 the_ball 255 0 0 255\n2 core 0 255 0 255\n")
    first, second = check_cases(tmp_path).table
    assert (first.name, first.color, second.color) == ("the ball", (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@pytest.mark.parametrize(
    ("description", "modality"),
    [
        ({"channel_names": {"0": "CT"}}, "CT"),
        ({"modality": {"0": "MRI"}}, "MR"),
        ({"channel_names": {"0": "T1", "1": "FLAIR"}}, "MR"),
        ({"channel_names": {"0": "CT", "1": "PET"}}, None),
        ({}, None),
    ],
)
def test_the_modality_comes_from_dataset_json(tmp_path: Path, description: dict[str, object], modality: str) -> None:
    write_cases(tmp_path, 2)
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    assert check_cases(tmp_path).modality == modality


def test_regions_and_ignored_labels_are_refused(tmp_path: Path) -> None:
    write_cases(tmp_path, 2)
    for labels in ({"background": 0, "whole": [1, 2]}, {"background": 0, "ball": 1, "ignore": 2}):
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
        with pytest.raises(ReadError, match="regions made of several"):
            check_cases(tmp_path)


def test_values_without_a_name_and_names_without_a_voxel_are_told(tmp_path: Path) -> None:
    write_cases(tmp_path, 2)
    (tmp_path / "labels.json").write_text(json.dumps({"1": "ball", "9": "nowhere"}))
    text = warned(check_cases(tmp_path))
    assert "The value 2 has no name, e.g. in first" in text
    assert "nowhere (9) occurs in no label map; it is left out" in text
    assert [label.value for label in check_cases(tmp_path).table] == [1, 2]


def test_segmentation_files_bring_their_own_names(tmp_path: Path) -> None:
    table = [
        Label(1, "ball", (1.0, 0.0, 0.0), Code("SCT", "1", "Ball")),
        Label(2, "core", (0.0, 0.0, 1.0), Code("SCT", "2", "Core")),
    ]
    write_cases(tmp_path, 2)
    for name, named in (("first", table), ("second", table[::-1])):
        labels = Image(ball_case(1)[1], np.eye(4), name, Kind.LABEL)
        (tmp_path / "labels" / f"{name}.nii.gz").unlink()
        write_labels(tmp_path / "labels" / f"{name}.seg.nrrd", labels, named)
    assert [label.name for label in check_cases(tmp_path).table] == ["ball", "core"]


def test_pictures_are_slices_and_colors_are_channels(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("a", "b"):
        labels = ball_case(len(name))[1][8]
        color = np.stack([labels * 60, labels * 30, labels * 10], -1)
        sitk.WriteImage(sitk.GetImageFromArray(color, isVector=True), str(tmp_path / "images" / f"{name}.png"))
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / "labels" / f"{name}.png"))
    report = check_cases(tmp_path)
    assert report.fatal == ()
    assert (report.facts[0].channels, report.facts[0].shape) == (3, (1, 18, 20))


def test_the_checks_load_no_torch(tmp_path: Path) -> None:
    write_cases(tmp_path, 2)
    code = (
        "import sys; from MedAILib.training.cases.checks import check_cases; "
        f"from MedAILib.training.cases import request, run_folder, plan; check_cases({str(tmp_path)!r}); "
        "print([name for name in ('torch', 'skimage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "MedAI", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
