"""Label maps with names, colors and codes, alone and in Slicer's own scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from image_strategies import rotation
from MedAILib.brain_labels import BRAIN
from MedAILib.errors import ContentError, ReadError, WriteError
from MedAILib.files import read_labels, write_labels
from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label

LIVER = Label(200, "Leber ~ ü: links | rechts", (0.5, 0.25, 0.125), Code("SCT", "10200004", "Liver"))


@pytest.fixture
def labels() -> Image:
    array = np.zeros((6, 7, 8), np.int32)
    array[1:3, 2:5, 3:7] = 2
    array[4, 5, 6] = 3
    array[5, 6, 7] = 60
    affine = np.eye(4)
    affine[:3, :3] = rotation(0.1, -0.2, 0.3) * [1, -2, 3]
    affine[:3, 3] = [10, 20, 30]
    return Image(array, affine, "labels", Kind.LABEL)


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha"])
def test_values_and_place_survive_in_every_format(tmp_path: Path, labels: Image, ending: str) -> None:
    found, table = read_labels(write_labels(tmp_path / f"out{ending}", labels, BRAIN))
    assert found.is_label and np.array_equal(found.array, labels.array)
    assert np.allclose(found.affine, labels.affine, atol=1e-5)
    assert {label.value for label in table} >= {2, 3, 60}


def test_a_segmentation_keeps_the_whole_table(tmp_path: Path, labels: Image) -> None:
    _, found = read_labels(write_labels(tmp_path / "out.seg.nrrd", labels, BRAIN))
    for one, other in zip(found, BRAIN, strict=True):
        assert np.allclose(one.color, other.color, atol=1e-5)
        assert (one.value, one.name, one.terminology()) == (other.value, other.name, other.terminology())


def test_the_smallest_common_number_type_is_written(tmp_path: Path) -> None:
    for value, dtype in ((255, np.uint8), (12175, np.int16), (70000, np.int32)):
        array = np.full((2, 2, 2), value, np.int64)
        table = [Label(value, "x", (1, 1, 1), LIVER.type)]
        path = write_labels(tmp_path / f"{value}.nii.gz", Image(array, np.eye(4), kind=Kind.LABEL), table)
        assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).dtype == dtype


def test_a_value_without_a_name_is_not_lost_silently(tmp_path: Path, labels: Image) -> None:
    with pytest.raises(WriteError, match=r"values \[60\] have no name"):
        write_labels(tmp_path / "out.seg.nrrd", labels, [label for label in BRAIN if label.value < 60])
    assert list(tmp_path.iterdir()) == []


def test_impossible_tables_and_arrays_are_refused(tmp_path: Path, labels: Image) -> None:
    with pytest.raises(ValueError, match="own value"):
        write_labels(tmp_path / "out.nrrd", labels, [LIVER, LIVER])
    with pytest.raises(ValueError, match="negative"):
        write_labels(tmp_path / "out.nrrd", labels.with_array(-labels.array), BRAIN)
    with pytest.raises(ValueError, match="label map"):
        write_labels(tmp_path / "out.nrrd", Image(np.zeros((2, 2, 2)), np.eye(4)), BRAIN)


def test_a_plain_label_map_gets_made_up_names_and_distinct_colors(tmp_path: Path, labels: Image) -> None:
    _, table = read_labels(write_labels(tmp_path / "out.nii.gz", labels, BRAIN))
    assert [(label.value, label.name) for label in table] == [(2, "Label 2"), (3, "Label 3"), (60, "Label 60")]
    assert len({label.color for label in table}) == 3


def test_a_segmentation_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.seg.nrrd"
    with pytest.raises(ReadError, match="does not exist"):
        read_labels(path)
    path.write_bytes(b"PNG" * 50)
    with pytest.raises(ReadError, match="no NRRD file"):
        read_labels(path)


def layered(path: Path, second_value: int, overlap: bool) -> Path:
    """A file of two layers, as Slicer writes overlapping segments."""
    layers = np.zeros((4, 5, 6, 2), np.uint8)
    layers[1:3, 1:3, 1:3, 0] = 1
    layers[2 if overlap else 3, 1:3, 1:3, 1] = second_value
    volume = sitk.GetImageFromArray(layers, isVector=True)
    for number, value in enumerate((1, second_value)):
        for key, text in {"ID": f"S{number}", "Name": f"part {number}", "LabelValue": value, "Layer": number}.items():
            volume.SetMetaData(f"Segment{number}_{key}", str(text))
    sitk.WriteImage(volume, str(path))
    return path


def test_layers_that_do_not_overlap_are_merged(tmp_path: Path) -> None:
    for second, values in ((1, [1, 2]), (5, [1, 5])):
        image, table = read_labels(layered(tmp_path / f"{second}.seg.nrrd", second, overlap=False))
        assert [label.value for label in table] == values
        assert [label.name for label in table] == ["part 0", "part 1"]
        assert [np.count_nonzero(image.array == value) for value in values] == [8, 4]


def test_layers_that_overlap_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match=r"overlap \(part 0, part 1\)"):
        read_labels(layered(tmp_path / "two.seg.nrrd", 1, overlap=True))


# With Slicer's own reader and writer ---------------------------------------------------------------------------------


@pytest.fixture
def scene():  # type: ignore[no-untyped-def]
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    return slicer.vtkMRMLScene()


def load(scene, path: Path):  # type: ignore[no-untyped-def]
    """A segmentation node that Slicer's storage node has read from the file."""
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(node) == 1
    assert storage.GetUserMessages().GetNumberOfMessages() == 0
    return node


def voxels(segment) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """World positions (n, 3) of a segment's voxels, and the IJK-to-world matrix."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    data = segment.GetRepresentation("Binary labelmap")
    low_i, high_i, low_j, high_j, low_k, high_k = data.GetExtent()
    shape = (high_k - low_k + 1, high_j - low_j + 1, high_i - low_i + 1)
    matrix = vtk.vtkMatrix4x4()
    data.GetImageToWorldMatrix(matrix)
    affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    if min(shape) < 1:
        return np.zeros((0, 3)), affine
    array = vtk_to_numpy(data.GetPointData().GetScalars()).reshape(shape)
    places = np.argwhere(array == segment.GetLabelValue())[:, ::-1] + [low_i, low_j, low_k]
    return (np.column_stack([places, np.ones(len(places))]) @ affine.T)[:, :3], affine


def test_slicer_reads_names_colors_codes_and_voxels(tmp_path: Path, labels: Image, scene) -> None:  # type: ignore[no-untyped-def]
    import vtk

    table = [*BRAIN, LIVER]
    path = write_labels(tmp_path / "out.seg.nrrd", labels, table, metadata={"MedAI.Model": "brain 1.0 | x:y"})
    segmentation = load(scene, path).GetSegmentation()
    assert segmentation.GetNumberOfSegments() == len(table)
    for number, label in enumerate(table):
        segment = segmentation.GetNthSegment(number)
        assert segment.GetName() == label.name
        assert np.allclose(segment.GetColor(), label.color, atol=1e-5)
        assert segment.GetLabelValue() == label.value
        assert segment.GetTerminology() == label.terminology()
        tag = vtk.reference("")
        assert segment.GetTag("MedAI.Model", tag) and str(tag) == "brain 1.0 / x:y"
        points, affine = voxels(segment)
        places = np.argwhere(labels.array == label.value)[:, ::-1]
        assert np.allclose(points, (np.column_stack([places, np.ones(len(places))]) @ labels.affine.T)[:, :3])
        assert np.allclose(affine, labels.affine, atol=1e-5) or not len(points)


def test_slicer_reads_an_empty_segmentation(tmp_path: Path, labels: Image, scene) -> None:  # type: ignore[no-untyped-def]
    empty = labels.with_array(np.zeros_like(labels.array))
    segmentation = load(scene, write_labels(tmp_path / "out.seg.nrrd", empty, [LIVER])).GetSegmentation()
    assert segmentation.GetNthSegment(0).GetName() == LIVER.name
    assert len(voxels(segmentation.GetNthSegment(0))[0]) == 0


def test_what_slicer_saves_is_read(tmp_path: Path, labels: Image, scene) -> None:  # type: ignore[no-untyped-def]
    node = load(scene, write_labels(tmp_path / "out.seg.nrrd", labels, BRAIN))
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "slicer.seg.nrrd"))
    assert storage.WriteData(node) == 1
    found, table = read_labels(tmp_path / "slicer.seg.nrrd")
    assert [label.terminology() for label in table] == [label.terminology() for label in BRAIN]
    for value in (2, 3, 60):  # Slicer crops to the segments, so the grid is smaller; the places must agree
        places = [
            (np.column_stack([np.argwhere(image.array == value)[:, ::-1], np.ones((image.array == value).sum())]))
            @ image.affine.T
            for image in (found, labels)
        ]
        assert np.allclose(*places, atol=1e-5)
