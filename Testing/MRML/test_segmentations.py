"""Segmentations between MRML and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import ContentError, GeometryError
from MedAILib.image import Image, Kind
from MedAILib.label_boxes import label_boxes
from MedAILib.labels import LEFT, Code, Label
from MedAISlicer import mrml
from MRML.nodes import add_transform, add_warp, place, rotation

SHAPE = (6, 8, 10)
TABLE = [
    Label(17, "Left hippocampus", (0.9, 0.8, 0.1), Code("SCT", "5366008", "Hippocampus"), LEFT),
    Label(3, "Thalamus", (0.0, 0.5, 0.1), Code("SCT", "42695009", "Thalamus")),
    Label(12175, "Cortex", (1.0, 0.0, 0.1), Code("SCT", "40146001", "Cerebral cortex")),
    Label(5, "Absent", (1.0, 1.0, 1.0), Code("SCT", "85756007", "Tissue")),
]


def labels() -> np.ndarray:
    array = np.zeros(SHAPE, np.int16)
    array[1:3, 2:5, 3:9], array[4, 4:7, 2:4], array[5, 7, 9] = 17, 3, 12175
    return array


def build(scene: Any, affine: np.ndarray, array: np.ndarray | None = None) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain")
    for label, segment in mrml.segments_from_labels(labels() if array is None else array, affine, TABLE):
        node.GetSegmentation().AddSegment(segment, f"s{label.value}")
    return node


def grid(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Image:
    return Image(np.zeros(shape, np.uint8), affine)


def test_boxes_of_labels_are_tight_and_leave_the_background_out() -> None:
    assert label_boxes(labels()) == {
        3: (slice(4, 5), slice(4, 7), slice(2, 4)),
        17: (slice(1, 3), slice(2, 5), slice(3, 9)),
        12175: (slice(5, 6), slice(7, 8), slice(9, 10)),
    }


@pytest.mark.parametrize("factor", [-1, 1 << 20])
def test_boxes_work_for_negative_and_large_labels(factor: int) -> None:
    array = labels().astype(np.int64)
    assert list(label_boxes(array * factor).values()) == [
        label_boxes(array)[value] for value in sorted((3, 17, 12175), key=lambda value: value * factor)
    ]


def test_no_voxels_have_no_boxes() -> None:
    assert label_boxes(np.zeros((2, 2, 2), np.uint8)) == label_boxes(np.zeros((0, 2, 2), np.uint8)) == {}


def test_labels_become_segments_and_come_back_bit_by_bit(scene: Any, affine: np.ndarray) -> None:
    image, table = mrml.labels_from_segmentation(build(scene, affine), grid(affine))
    assert image.kind is Kind.LABEL
    assert np.array_equal(image.array, np.select([labels() == 17, labels() == 3, labels() == 12175], [1, 2, 3]))
    assert np.allclose(image.affine, affine)
    assert [(one.value, one.name, one.type, one.modifier, one.category) for one in table] == [
        (number, label.name, label.type, label.modifier, label.category) for number, label in enumerate(TABLE[:3], 1)
    ]
    assert np.allclose(table[0].color, TABLE[0].color)


def test_all_segments_of_a_label_map_share_one_small_layer(scene: Any) -> None:
    segmentation = build(scene, np.eye(4)).GetSegmentation()
    assert segmentation.GetNumberOfLayers() == 1
    layer = mrml.layer_of(segmentation.GetNthSegment(0))
    assert mrml.layer_array(layer).shape == (5, 6, 8)
    assert mrml.layer_array(layer).dtype == np.uint8


def test_a_value_that_the_table_does_not_name_is_refused(scene: Any) -> None:
    with pytest.raises(ContentError, match="99"):
        mrml.segments_from_labels(np.full(SHAPE, 99), np.eye(4), TABLE)


def test_without_another_grid_the_reference_geometry_is_used(scene: Any, affine: np.ndarray) -> None:
    volume = mrml.volume_from_image(scene, Image(np.zeros(SHAPE, np.uint8), affine))
    node = build(scene, affine)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    image, _ = mrml.labels_from_segmentation(node)
    assert image.shape == SHAPE
    assert np.allclose(image.affine, affine)
    assert np.array_equal(image.array > 0, labels() > 0)


def test_without_any_geometry_the_box_of_the_voxels_is_used(scene: Any, affine: np.ndarray) -> None:
    image, _ = mrml.labels_from_segmentation(build(scene, affine))
    assert image.shape == (5, 6, 8)
    assert np.array_equal(image.array > 0, labels()[1:6, 2:8, 2:10] > 0)
    assert np.allclose(image.affine[:3, 3], (affine @ [2, 2, 1, 1])[:3])


def test_an_empty_segmentation_without_geometry_is_refused_by_name(scene: Any) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "blank")
    with pytest.raises(ContentError, match="blank is empty"):
        mrml.labels_from_segmentation(node)


def test_a_parent_transform_is_part_of_the_place_of_segments(scene: Any, affine: np.ndarray) -> None:
    node, matrix = build(scene, affine), place((1, 1, 1), 33)
    node.SetAndObserveTransformNodeID(add_transform(scene, matrix).GetID())
    image, _ = mrml.labels_from_segmentation(node, grid(matrix @ affine))
    assert np.array_equal(image.array > 0, labels() > 0)
    assert np.allclose(image.affine, matrix @ affine)


def test_segments_under_a_non_linear_transform_are_refused_by_name(scene: Any) -> None:
    node = build(scene, np.eye(4))
    node.SetAndObserveTransformNodeID(add_warp(scene, "bend").GetID())
    with pytest.raises(GeometryError, match=r"brain .* bend"):
        mrml.labels_from_segmentation(node)


def test_overlapping_segments_are_each_complete_and_the_later_is_seen(scene: Any) -> None:
    node = build(scene, np.eye(4))
    extra = np.zeros(SHAPE, np.uint8)
    extra[2:5, 3:6, 3:6] = 5
    ((_, segment),) = mrml.segments_from_labels(extra, np.eye(4), TABLE)
    node.GetSegmentation().AddSegment(segment, "extra", "s3")  # between the two others
    like = grid(np.eye(4))
    image, _ = mrml.labels_from_segmentation(node, like)
    expected = (labels() == 17).astype(np.uint8)
    expected[extra > 0] = 2
    expected[labels() == 3] = 3
    expected[labels() == 12175] = 4
    assert np.array_equal(image.array, expected)
    assert np.array_equal(mrml.mask_from_segment(node, "s17", like).array, labels() == 17)
    assert np.array_equal(mrml.mask_from_segment(node, "extra", like).array, extra > 0)


def test_another_part_of_the_same_lattice_is_cut_and_filled_without_interpolation(
    scene: Any, affine: np.ndarray
) -> None:
    node = build(scene, affine)
    moved = affine.copy()
    moved[:3, 3] = (affine @ [-2, 3, 1, 1])[:3]  # two voxels more at the left, three less below, one less in front
    image, _ = mrml.labels_from_segmentation(node, grid(moved, (8, 3, 12)))
    expected = np.zeros((8, 3, 12), bool)
    expected[:5, :, 2:] = labels()[1:, 3:6] > 0
    assert np.array_equal(image.array > 0, expected)


def test_a_grid_beside_the_segments_is_empty(scene: Any) -> None:
    far = np.eye(4)
    far[:3, 3] = 500
    assert not mrml.labels_from_segmentation(build(scene, np.eye(4)), grid(far))[0].array.any()


def test_a_finer_grid_repeats_the_nearest_voxel(scene: Any) -> None:
    fine = np.diag([0.5, 0.5, 0.5, 1.0])
    fine[:3, 3] = -0.25
    image, _ = mrml.labels_from_segmentation(build(scene, np.eye(4)), grid(fine, (12, 16, 20)))
    assert np.array_equal(image.array > 0, np.kron(labels() > 0, np.ones((2, 2, 2), bool)))


def test_a_flipped_and_turned_axis_order_finds_the_same_voxels(scene: Any) -> None:
    swapped = np.array([[0, 0, -1, 9], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    image, _ = mrml.labels_from_segmentation(build(scene, np.eye(4)), grid(swapped, (10, 8, 6)))
    assert np.array_equal(image.array > 0, (labels() > 0).transpose(2, 1, 0)[::-1])


def test_surfaces_are_turned_into_voxels_without_changing_the_node(scene: Any) -> None:
    array = np.zeros((20, 20, 20), np.int16)
    array[5:15, 5:15, 5:15] = 3
    node = build(scene, np.eye(4), array)
    node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface()
    node.RemoveBinaryLabelmapRepresentation()
    image, _ = mrml.labels_from_segmentation(node, grid(np.eye(4), array.shape))
    assert 0.7 < np.count_nonzero(image.array) / 1000 < 1.3
    assert not node.GetSegmentation().ContainsRepresentation(mrml.BINARY_LABELMAP)


def test_a_segment_without_voxels_is_listed_and_leaves_no_trace(scene: Any) -> None:
    node = build(scene, np.eye(4))
    node.GetSegmentation().AddEmptySegment("none", "nothing yet")
    image, table = mrml.labels_from_segmentation(node, grid(np.eye(4)))
    assert table[3].name == "nothing yet"
    assert image.array.max() == 3


def test_a_segment_in_world_is_where_slicer_says_it_is(scene: Any, affine: np.ndarray) -> None:
    array = np.zeros(SHAPE, np.int16)
    array[2, 3, 4] = 3
    node, matrix = build(scene, affine, array), rotation(20)
    node.SetAndObserveTransformNodeID(add_transform(scene, matrix).GetID())
    image, _ = mrml.labels_from_segmentation(node)
    assert np.allclose(node.GetSegmentCenterRAS("s3"), (image.affine @ [0, 0, 0, 1])[:3], atol=1e-4)
    assert np.allclose(image.affine[:3, 3], (matrix @ affine @ [4, 3, 2, 1])[:3])
