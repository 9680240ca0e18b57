"""Training cases from the scene: files that hold what the nodes show, and problems that name the nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from MedAILib.errors import ContentError
from MedAILib.files import read_image, read_labels
from MedAILib.labels import LEFT, Code, Label
from MedAILib.training.cases.checks import check_cases
from MedAISlicer import mrml
from MedAISlicer.train.cases import cases_of, clear, write_case
from MRML.nodes import add_transform, rotation

SHAPE = (6, 8, 10)
HIPPOCAMPUS = Label(17, "Left hippocampus", (0.9, 0.8, 0.1), Code("SCT", "5366008", "Hippocampus"), LEFT)
THALAMUS = Label(3, "Thalamus", (0.0, 0.5, 0.1), Code("SCT", "42695009", "Thalamus"))


def add_case(
    scene: Any, affine: np.ndarray, name: str = "head", table: tuple[Label, ...] = (HIPPOCAMPUS, THALAMUS)
) -> Any:
    """A volume, and a segmentation with one structure in each of the first slices."""
    from MedAILib.image import Image

    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    volume = mrml.volume_from_image(scene, Image(array, affine, name))
    labels = np.zeros(SHAPE, np.uint8)
    for number, label in enumerate(table):
        labels[number + 1, 2:5, 3 : 7 + number] = label.value
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} segments")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for _label, segment in mrml.segments_from_labels(labels, mrml.local_affine(volume), table):
        node.GetSegmentation().AddSegment(segment)
    return node


def written(node: Any, folder: Path) -> tuple[Any, Any, list[Label]]:
    """Image, labels and table of a segmentation's case."""
    found = cases_of([node])
    (case,) = found.cases
    write_case(case, found.classes, folder)
    labels, table = read_labels(folder / "labels" / f"{case.name}.seg.nrrd")
    return read_image(folder / "images" / f"{case.name}.nii"), labels, table


def test_files_hold_the_voxels_in_their_place_and_the_names(scene: Any, affine: np.ndarray, tmp_path: Path) -> None:
    image, labels, table = written(add_case(scene, affine), tmp_path)
    volume = scene.GetFirstNodeByName("head")
    assert np.array_equal(image.array, mrml.image_from_node(volume).array)
    assert np.allclose(image.affine, affine, atol=1e-4)
    assert np.allclose(labels.affine, affine, atol=1e-4)
    assert [(label.value, label.name) for label in table] == [(1, "Left hippocampus"), (2, "Thalamus")]
    assert table[0].type == HIPPOCAMPUS.type
    assert table[0].modifier == LEFT
    assert np.array_equal(np.unique(labels.array[1]), [0, 1])
    assert (labels.array == 1).sum() == 12
    assert (labels.array == 2).sum() == 15


def test_a_parent_transform_is_in_the_files(scene: Any, tmp_path: Path) -> None:
    node = add_case(scene, np.eye(4))
    moved = add_transform(scene, rotation(30))
    for one in (node, scene.GetFirstNodeByName("head")):
        one.SetAndObserveTransformNodeID(moved.GetID())
    image, labels, _ = written(node, tmp_path)
    assert np.allclose(image.affine, rotation(30), atol=1e-4)
    assert np.allclose(labels.affine, rotation(30), atol=1e-4)
    assert (labels.array == 1).sum() == 12


def test_segments_are_matched_by_name_whatever_their_order_spaces_or_upper_case(scene: Any, tmp_path: Path) -> None:
    first = add_case(scene, np.eye(4), "a")
    second = add_case(scene, np.eye(4), "b", (replace(THALAMUS, name="thalamus "), HIPPOCAMPUS))
    found = cases_of([first, second])
    assert list(found.classes.values()) == [1, 2]
    for case in found.cases:
        write_case(case, found.classes, tmp_path)
    labels, _ = read_labels(tmp_path / "labels" / "b.seg.nrrd")
    assert np.array_equal(np.unique(labels.array[1]), [0, 2])
    assert np.array_equal(np.unique(labels.array[2]), [0, 1])


def test_cases_of_the_same_or_odd_names_get_files_of_their_own(scene: Any) -> None:
    nodes = [add_case(scene, np.eye(4), name) for name in ("x/y", "x y", "***")]
    assert [case.name for case in cases_of(nodes).cases] == ["x-y", "x-y-2", "case"]


def test_a_segmentation_without_volume_or_segments_is_named(scene: Any) -> None:
    lost = add_case(scene, np.eye(4), "lost")
    scene.RemoveNode(scene.GetFirstNodeByName("lost"))
    empty = add_case(scene, np.eye(4), "empty", ())
    found = cases_of([lost, empty])
    assert found.cases == ()
    assert [(problem.where, problem.fatal) for problem in found.problems] == [
        ("lost segments", True),
        ("empty segments", True),
    ]
    assert "has no source volume" in found.problems[0].message


def test_two_segmentations_of_a_volume_would_let_the_validation_see_what_was_trained_on(scene: Any) -> None:
    first = add_case(scene, np.eye(4), "a")
    twin = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "twin")
    twin.GetSegmentation().DeepCopy(first.GetSegmentation())
    twin.SetReferenceImageGeometryParameterFromVolumeNode(scene.GetFirstNodeByName("a"))
    found = cases_of([first, twin])
    assert len(found.cases) == 1
    assert "both segmentations of a" in found.problems[0].message


def test_a_volume_without_voxels_is_an_error_that_names_it(scene: Any, tmp_path: Path) -> None:
    node = add_case(scene, np.eye(4), "hollow")
    scene.GetFirstNodeByName("hollow").SetAndObserveImageData(None)
    with pytest.raises(ContentError, match="hollow"):
        written(node, tmp_path)


def test_overlapping_segments_are_told_and_the_later_one_counts(scene: Any, tmp_path: Path) -> None:
    node = add_case(scene, np.eye(4), "head", (HIPPOCAMPUS,))
    over = np.zeros(SHAPE, np.uint8)
    over[1, 2:5, 3:5] = 1
    ((_, segment),) = mrml.segments_from_labels(over, np.eye(4), [replace(THALAMUS, value=1)])
    node.GetSegmentation().AddSegment(segment)
    found = cases_of([node])
    (note,) = write_case(found.cases[0], found.classes, tmp_path)
    assert not note.fatal
    assert note.message.startswith("head segments: segments overlap in 6 voxels")
    labels, _ = read_labels(tmp_path / "labels" / "head.seg.nrrd")
    assert (labels.array == 2).sum() == 6
    assert (labels.array == 1).sum() == 12 - 6


def add_picture(scene: Any, name: str) -> Any:
    """A picture in colors, and a segmentation of it."""
    volume = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", name)
    slicer.util.updateVolumeFromArray(volume, np.arange(8 * 10 * 3, dtype=np.uint8).reshape(1, 8, 10, 3))
    labels = np.zeros((1, 8, 10), np.uint8)
    labels[0, 2:5, 3:7] = HIPPOCAMPUS.value
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} segments")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    ((_, segment),) = mrml.segments_from_labels(labels, mrml.local_affine(volume), [HIPPOCAMPUS])
    node.GetSegmentation().AddSegment(segment)
    return node


def test_pictures_in_colors_are_cases_with_a_channel_for_each_color(scene: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    found = cases_of([add_picture(scene, "a"), add_picture(scene, "b")])
    for case in found.cases:
        assert write_case(case, found.classes, folder) == []
    report = check_cases(folder)
    assert [one.name for one in report.facts] == ["a", "b"]
    assert report.facts[0].channels == 3
    assert report.inputs == ("red", "green", "blue")
    assert report.fatal == ()
    clear(folder)
    assert list(folder.iterdir()) == []


def test_gray_and_colored_cases_do_not_mix(scene: Any) -> None:
    found = cases_of([add_picture(scene, "a"), add_case(scene, np.eye(4), "b")])
    assert [case.name for case in found.cases] == ["a"]
    assert found.problems[0].message == "Of b and a one is in colors, one gray. Uncheck one of them."


def test_segments_side_by_side_give_no_note(scene: Any, tmp_path: Path) -> None:
    node = add_case(scene, np.eye(4))
    found = cases_of([node])
    assert write_case(found.cases[0], found.classes, tmp_path) == []


def test_what_an_earlier_look_has_written_goes(scene: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    written(add_case(scene, np.eye(4)), folder)
    (folder / "mine.txt").write_text("stays")
    clear(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
