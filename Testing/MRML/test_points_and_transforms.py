"""Markups and transforms between MRML and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import GeometryError, UsageError
from MedAILib.image import Image
from MedAISlicer import mrml
from MRML.nodes import add_transform, add_warp, place, rotation

POINTS = np.array([[0.0, 0, 0], [10, -20, 30.5], [-7, 8, 9], [40, 1, 2]])
MARKUPS = ["vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsCurveNode", "vtkMRMLMarkupsClosedCurveNode"]


def field(affine: np.ndarray, dtype: str = "f8") -> Image:
    array = np.random.default_rng(1).normal(0, 2, (3, 5, 6, 7)).astype(dtype)
    return Image(array, affine, "warp")


@pytest.mark.parametrize("class_name", MARKUPS)
def test_points_come_back_as_they_were_set(scene: Any, class_name: str) -> None:
    node = scene.AddNewNodeByClass(class_name)
    mrml.points_to_markups(node, POINTS)
    assert np.allclose(mrml.points_from_markups(node), POINTS)
    mrml.points_to_markups(node, POINTS[:2])
    assert np.allclose(mrml.points_from_markups(node), POINTS[:2])


def test_points_are_in_world_whatever_transform_the_node_stands_under(scene: Any) -> None:
    node, matrix = scene.AddNewNodeByClass(MARKUPS[0]), place((1, 1, 1), 40)
    mrml.points_to_markups(node, POINTS)
    node.SetAndObserveTransformNodeID(add_transform(scene, matrix).GetID())
    assert np.allclose(mrml.points_from_markups(node), POINTS @ matrix[:3, :3].T + matrix[:3, 3])
    mrml.points_to_markups(node, POINTS)
    assert np.allclose(mrml.points_from_markups(node), POINTS)
    assert not np.allclose(node.GetNthControlPointPosition(1), POINTS[1])


def test_points_under_a_non_linear_transform_are_in_world_too(scene: Any) -> None:
    node, warp = scene.AddNewNodeByClass(MARKUPS[0]), add_warp(scene)
    mrml.points_to_markups(node, POINTS)
    node.SetAndObserveTransformNodeID(warp.GetID())
    moved = [warp.GetTransformToParent().TransformPoint(point) for point in POINTS]
    assert np.allclose(mrml.points_from_markups(node), moved)
    mrml.points_to_markups(node, POINTS)
    assert np.allclose(mrml.points_from_markups(node), POINTS, atol=1e-2)


def test_points_that_are_not_placed_yet_are_left_out(scene: Any) -> None:
    node = scene.AddNewNodeByClass(MARKUPS[0])
    mrml.points_to_markups(node, POINTS)
    node.UnsetNthControlPointPosition(1)
    assert np.allclose(mrml.points_from_markups(node), POINTS[[0, 2, 3]])


def test_no_points_are_an_empty_array(scene: Any) -> None:
    node = scene.AddNewNodeByClass(MARKUPS[1])
    assert mrml.points_from_markups(node).shape == (0, 3)
    assert mrml.points_from_markups(node, along_curve=True).shape == (0, 3)


def test_a_curve_gives_the_points_along_it(scene: Any) -> None:
    node = scene.AddNewNodeByClass(MARKUPS[1])
    mrml.points_to_markups(node, POINTS)
    drawn = mrml.points_from_markups(node, along_curve=True)
    assert len(drawn) > len(POINTS)
    assert np.allclose(drawn[0], POINTS[0])
    assert np.allclose(drawn[-1], POINTS[-1])


def test_a_linear_transform_moves_points_as_its_matrix_does(scene: Any) -> None:
    node, matrix = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode"), place((1, 2, 0.5), 70)
    mrml.matrix_to_transform(node, matrix)
    assert np.allclose(mrml.matrix_from_transform(node), matrix)
    assert np.allclose(node.GetTransformToParent().TransformPoint(1, 2, 3), (matrix @ [1, 2, 3, 1])[:3])


def test_a_warp_is_not_a_matrix(scene: Any) -> None:
    with pytest.raises(GeometryError, match="bend is not a linear transform"):
        mrml.matrix_from_transform(add_warp(scene, "bend"))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_displacements_come_back_bit_by_bit(scene: Any, affine: np.ndarray, dtype: str) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    mrml.displacements_to_transform(node, field(affine, dtype))
    back = mrml.displacements_from_transform(node)
    assert back.array.dtype == dtype
    assert np.array_equal(back.array, field(affine, dtype).array)
    assert np.allclose(back.affine, affine)


def test_a_grid_transform_takes_p_to_p_plus_d_on_the_way_from_the_world(scene: Any, affine: np.ndarray) -> None:
    """At voxel centers exactly, and halfway between two of them with the mean of both."""
    import vtk

    node, image = scene.AddNewNodeByClass("vtkMRMLGridTransformNode"), field(affine)
    mrml.displacements_to_transform(node, image)
    from_world = vtk.vtkGeneralTransform()
    node.GetTransformFromWorld(from_world)
    for k, j, i in ((0, 0, 0), (2, 3, 4), (4, 5, 6), (1, 0, 5)):
        point = (affine @ [i, j, k, 1])[:3]
        assert np.allclose(from_world.TransformPoint(point), point + image.array[:, k, j, i])
    point = (affine @ [2.5, 3, 1, 1])[:3]
    assert np.allclose(from_world.TransformPoint(point), point + image.array[:, 1, 3, 2:4].mean(1))


def test_a_volume_under_the_transform_is_resampled_where_the_displacements_point(scene: Any) -> None:
    """The value at p of the fixed grid is the moving volume's value at p + d."""
    import slicer
    import vtk

    shift = np.zeros((3, 4, 4, 4))
    shift[0] = 2.0
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    mrml.displacements_to_transform(node, Image(shift, np.diag([4.0, 4, 4, 1])))
    moving = np.zeros((4, 4, 12), np.float32)
    moving[..., 7] = 1
    volume = mrml.volume_from_image(scene, Image(moving, np.eye(4)))
    volume.SetAndObserveTransformNodeID(node.GetID())
    to_moving = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node, to_moving)
    assert np.allclose(to_moving.TransformPoint(5, 1, 1), (7, 1, 1))


def test_the_opposite_direction_is_inverted_on_its_own_grid(scene: Any) -> None:
    smooth = np.zeros((3, 12, 12, 12))
    smooth[0] = 2 * np.sin(np.linspace(0, 3, 12))[None, None]
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    mrml.displacements_to_transform(node, Image(smooth, np.diag([3.0, 3, 3, 1])))
    node.Inverse()
    back = mrml.displacements_from_transform(node)
    assert back.shape == (12, 12, 12)
    point = np.array([12.0, 15, 15])
    there = point + back.array[:, 5, 5, 4]
    node.Inverse()
    assert np.allclose(node.GetTransformFromParent().TransformPoint(there), point, atol=0.01)


def test_any_transform_can_be_sampled_on_a_grid(scene: Any, affine: np.ndarray) -> None:
    node = add_transform(scene, rotation(30))
    like = Image(np.zeros((3, 4, 5), np.uint8), affine)
    field_of_rotation = mrml.displacements_from_transform(node, like)
    point = (affine @ [4, 2, 1, 1])[:3]
    assert np.allclose(field_of_rotation.array[:, 1, 2, 4], (rotation(-30)[:3, :3] - np.eye(3)) @ point)


def test_a_transform_without_a_grid_asks_for_one(scene: Any) -> None:
    with pytest.raises(UsageError, match="moved has no grid"):
        mrml.displacements_from_transform(add_transform(scene, np.eye(4)))
