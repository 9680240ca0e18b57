"""Volumes and label maps between MRML and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import ContentError, GeometryError, UsageError
from MedAILib.image import Image, Kind
from MedAILib.labels import LEFT, Code, Label
from MedAISlicer import mrml
from MRML.nodes import add_transform, add_warp, place, rotation

HIPPOCAMPUS = Label(17, "Left hippocampus", (0.9, 0.8, 0.1), Code("SCT", "5366008", "Hippocampus"), LEFT)
THALAMUS = Label(3, "Thalamus", (0.0, 0.5, 0.1), Code("SCT", "42695009", "Thalamus"))


def numbers(shape: tuple[int, ...] = (4, 5, 6), dtype: Any = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_a_volume_comes_back_bit_by_bit_in_its_own_voxel_type(scene: Any, affine: np.ndarray, dtype: str) -> None:
    array = numbers(dtype=dtype)
    back = mrml.image_from_node(mrml.volume_from_image(scene, Image(array, affine, "head")))
    assert back.array.dtype == array.dtype
    assert np.array_equal(back.array, array)
    assert np.allclose(back.affine, affine, atol=1e-12)
    assert back.name == "head"


@pytest.mark.parametrize(
    ("values", "kept_as"),
    [
        (np.array([True, False]), "u1"),
        (np.array([1.5, 2], "f2"), "f4"),
        (np.array([1, -2], "i8"), "i4"),
        (np.array([1, 3 << 30], "u8"), "u4"),
        (np.array([1, 1 << 40], "i8"), "f8"),
        (np.array([1, 2], ">i2"), "i2"),
    ],
)
def test_voxel_types_that_slicer_cannot_show_are_widened_without_loss(
    scene: Any, values: np.ndarray, kept_as: str
) -> None:
    back = mrml.image_from_node(mrml.volume_from_image(scene, Image(values.reshape(1, 1, 2), np.eye(4))))
    assert back.array.dtype == np.dtype(kept_as)
    assert np.array_equal(back.array.ravel(), values)


def test_complex_voxels_are_refused(scene: Any) -> None:
    with pytest.raises(ContentError, match="complex64"):
        mrml.volume_from_image(scene, Image(np.zeros((1, 1, 2), np.complex64), np.eye(4)))


def test_a_view_of_a_volume_cannot_be_written_to(scene: Any) -> None:
    node = mrml.volume_from_image(scene, Image(numbers(), np.eye(4)))
    with pytest.raises(ValueError, match="read-only"):
        mrml.image_from_node(node).array[0, 0, 0] = 1


def test_a_parent_transform_is_part_of_the_place(scene: Any, affine: np.ndarray) -> None:
    node = mrml.volume_from_image(scene, Image(numbers(), affine))
    outer, inner = rotation(30), place((1, 1, 1), -15)
    first, second = add_transform(scene, inner), add_transform(scene, outer, "outer")
    first.SetAndObserveTransformNodeID(second.GetID())
    node.SetAndObserveTransformNodeID(first.GetID())
    assert np.allclose(mrml.image_from_node(node).affine, outer @ inner @ affine)


def test_hardening_a_linear_transform_leaves_the_image_where_it_was(scene: Any, affine: np.ndarray) -> None:
    node = mrml.volume_from_image(scene, Image(numbers(), affine))
    node.SetAndObserveTransformNodeID(add_transform(scene, place((1, 1, 1), 20)).GetID())
    before = mrml.image_from_node(node)
    node.HardenTransform()
    after = mrml.image_from_node(node)
    assert node.GetParentTransformNode() is None
    assert np.allclose(after.affine, before.affine)
    assert np.array_equal(after.array, before.array)


def test_a_non_linear_parent_transform_is_refused_by_name(scene: Any) -> None:
    node = mrml.volume_from_image(scene, Image(numbers(), np.eye(4), "head"))
    node.SetAndObserveTransformNodeID(add_warp(scene, "bend").GetID())
    with pytest.raises(GeometryError, match=r"head .* bend\. Harden"):
        mrml.image_from_node(node)


def test_a_new_volume_stands_under_the_same_transform_as_its_model(scene: Any, affine: np.ndarray) -> None:
    node = mrml.volume_from_image(scene, Image(numbers(), affine))
    transform = add_transform(scene, rotation(50))
    node.SetAndObserveTransformNodeID(transform.GetID())
    copy = mrml.volume_from_image(scene, mrml.image_from_node(node), like=node)
    assert copy.GetParentTransformNode() is transform
    assert np.allclose(mrml.local_affine(copy), affine)
    assert np.allclose(mrml.image_from_node(copy).affine, mrml.image_from_node(node).affine)


def test_an_extent_that_does_not_begin_at_zero_is_part_of_the_place(scene: Any) -> None:
    node = mrml.volume_from_image(scene, Image(numbers(), np.eye(4)))
    node.GetImageData().SetExtent(2, 7, -1, 3, 10, 13)
    assert np.allclose(mrml.image_from_node(node).affine[:3, 3], (2, -1, 10))


@pytest.mark.parametrize("shape", [(1, 5, 6), (4, 1, 6), (4, 5, 1), (1, 1, 1)])
def test_flat_volumes_keep_their_shape(scene: Any, shape: tuple[int, int, int]) -> None:
    node = mrml.volume_from_image(scene, Image(numbers(shape), place((1, 1, 3), 10)))
    assert mrml.image_from_node(node).array.shape == shape


def test_a_volume_without_image_data_is_refused_by_name(scene: Any) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(ContentError, match="nothing holds no voxels"):
        mrml.image_from_node(node)


def test_a_color_volume_has_three_channels_where_colors_will_do(scene: Any) -> None:
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    array = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    slicer.util.updateVolumeFromArray(node, array)
    image = mrml.image_from_node(node, colors=True)
    assert image.shape == (2, 3, 4)
    assert np.array_equal(image.array, np.moveaxis(array[..., :3], -1, 0))
    slicer.util.updateVolumeFromArray(node, array[..., :2])
    with pytest.raises(ContentError, match="photo holds 2 values per voxel"):
        mrml.image_from_node(node, colors=True)


def test_a_color_volume_is_refused_by_name(scene: Any) -> None:
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(node, np.zeros((2, 3, 4, 3), np.uint8))
    with pytest.raises(ContentError, match="photo holds 3 values per voxel"):
        mrml.image_from_node(node)


def test_a_label_map_is_no_input_image(scene: Any) -> None:
    node = mrml.volume_from_image(scene, Image(numbers(), np.eye(4), "drawn", Kind.LABEL))
    with pytest.raises(ContentError, match="drawn is a label map"):
        mrml.image_from_node(node)


def test_another_kind_of_node_is_no_volume(scene: Any) -> None:
    with pytest.raises(UsageError, match="Model"):
        mrml.image_from_node(scene.AddNewNodeByClass("vtkMRMLModelNode", "surface"))


def test_a_label_map_volume_keeps_numbers_names_colors_and_codes(scene: Any, affine: np.ndarray) -> None:
    array = np.zeros((4, 5, 6), np.uint8)
    array[1, 2, 3], array[2] = 17, 3
    node = mrml.volume_from_image(scene, Image(array, affine, "atlas", Kind.LABEL), [HIPPOCAMPUS, THALAMUS])
    labels, table = mrml.labels_from_volume(node)
    assert labels.kind is Kind.LABEL
    assert np.array_equal(labels.array, array)
    assert np.allclose(labels.affine, affine)
    assert [(label.value, label.name, label.type, label.modifier) for label in table] == [
        (3, "Thalamus", THALAMUS.type, None),
        (17, "Left hippocampus", HIPPOCAMPUS.type, LEFT),
    ]
    assert np.allclose(table[1].color, HIPPOCAMPUS.color, atol=1 / 255)


def test_label_values_that_no_color_table_names_get_a_name(scene: Any) -> None:
    node = mrml.volume_from_image(scene, Image(np.full((1, 2, 2), 1000, np.int16), np.eye(4), "x", Kind.LABEL))
    for _ in range(2):
        assert [label.name for label in mrml.labels_from_volume(node)[1]] == ["Label 1000"]
        scene.RemoveNode(node.GetDisplayNode())


def test_fractions_are_no_label_map(scene: Any) -> None:
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "soft")
    slicer.util.updateVolumeFromArray(node, np.full((1, 2, 2), 0.5, np.float32))
    with pytest.raises(ContentError, match="soft"):
        mrml.labels_from_volume(node)
