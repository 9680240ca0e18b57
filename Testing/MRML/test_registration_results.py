"""What a registration leaves in the scene: transforms in both directions, volumes, maps, figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAILib.registration.request import Registration
from MedAILib.transforms import Transform
from MedAISlicer import mrml
from MedAISlicer import scene_undo as undo
from MedAISlicer.registration import quality, results
from MedAISlicer.registration.inputs import Inputs
from MedAISlicer.registration.outputs import Outputs
from MedAISlicer.targets import Target
from MRML.nodes import add_transform, add_warp, place, rotation
from registration_samples import ball, center_of, middle_of, result, shift, warp

ALL = Outputs(Target(True), Target(True), Target(True), Target(True))
NEW = ("warped", "jacobian")


def add(scene: Any, image: Image, name: str) -> Any:
    node = mrml.volume_from_image(scene, image)
    node.SetName(name)
    return node


@pytest.fixture
def pair(scene: Any, affine: np.ndarray) -> Inputs:
    """Two balls, 3 mm apart, on grids that lie differently."""
    middle = middle_of(affine)
    moved = (middle[0] + 3.0, middle[1] - 2.0, middle[2] + 1.0)
    other = place((1.2, 1.0, 1.1), 15, (1, -1, 1))
    other[:3, 3] += np.array(moved) - (other @ [9.5, 8.5, 7.5, 1.0])[:3]
    return Inputs(add(scene, ball(affine, middle), "Fixed"), add(scene, ball(other, moved), "Moving"))


def answer(inputs: Inputs, transform: Transform, **facts: Any) -> Registration:
    images = mrml.image_from_node(inputs.fixed), mrml.image_from_node(inputs.moving)
    return result(transform, *images, NEW, **facts)


def points_of(node: Any, count: int = 50, margin: float = 0.25) -> np.ndarray:
    """World points inside a volume."""
    image = mrml.image_from_node(node)
    parts = np.random.default_rng(0).uniform(margin, 1 - margin, (count, 3))
    at = parts * (np.array(image.shape[::-1]) - 1)
    return at @ image.affine[:3, :3].T + image.affine[:3, 3]


def through(node: Any, points: np.ndarray, direction: str) -> np.ndarray:
    transform = getattr(node, f"GetTransform{direction}Parent")()
    return np.array([transform.TransformPoint(point) for point in points])


def test_a_linear_result_is_a_linear_node_that_brings_the_moving_volume_into_place(pair: Inputs) -> None:
    done = results.write(pair, ALL, [answer(pair, shift(3, -2, 1))])
    assert done.transform.GetClassName() == "vtkMRMLLinearTransformNode"
    pair.moving.SetAndObserveTransformNodeID(done.transform.GetID())
    fixed, moving = mrml.image_from_node(pair.fixed), mrml.image_from_node(pair.moving)
    assert np.allclose(center_of(moving), center_of(fixed), atol=0.1)
    inverse = mrml.matrix_from_transform(done.inverse)
    assert np.allclose(inverse @ mrml.matrix_from_transform(done.transform), np.eye(4))


def test_a_warp_is_a_grid_node_that_holds_in_both_directions(pair: Inputs) -> None:
    transform = warp(mrml.image_from_node(pair.fixed).affine)
    done = results.write(pair, ALL, [answer(pair, transform)])
    assert done.transform.GetClassName() == "vtkMRMLGridTransformNode"
    points = points_of(pair.fixed)
    assert np.allclose(through(done.transform, points, "From"), transform.points(points), atol=1e-3)
    there = through(done.transform, points, "From")
    assert np.allclose(through(done.transform, there, "To"), points, atol=0.05)
    moved = points_of(pair.moving)
    assert np.allclose(through(done.inverse, moved, "From"), transform.inverse().points(moved), atol=0.1)


def test_the_registered_volume_has_the_fixed_voxels_and_the_content_in_place(pair: Inputs) -> None:
    done = results.write(pair, ALL, [answer(pair, shift(3, -2, 1))])
    fixed, registered = mrml.image_from_node(pair.fixed), mrml.image_from_node(done.volume)
    assert registered.shape == fixed.shape and np.allclose(registered.affine, fixed.affine)
    assert np.allclose(center_of(registered), center_of(fixed), atol=0.15)
    assert registered.array.dtype == np.int16


def test_with_its_own_voxels_a_rigid_result_keeps_every_value(pair: Inputs) -> None:
    turn = rotation(20)
    turn[:3, 3] = 3, -2, 1
    own = Outputs(Target(True), volume=Target(True), own_voxels=True)
    done = results.write(pair, own, [answer(pair, Transform.from_matrix(turn))])
    moving, registered = mrml.image_from_node(pair.moving), mrml.image_from_node(done.volume)
    assert np.array_equal(registered.array, moving.array)
    assert np.allclose(registered.affine, np.linalg.inv(turn) @ moving.affine)


def test_with_its_own_voxels_a_stretched_volume_loses_nothing_at_its_edges(pair: Inputs) -> None:
    stretch = np.diag([0.8, 0.8, 0.8, 1.0])
    own = Outputs(Target(True), volume=Target(True), own_voxels=True)
    done = results.write(pair, own, [answer(pair, Transform.from_matrix(stretch))])
    moving, registered = mrml.image_from_node(pair.moving), mrml.image_from_node(done.volume)
    assert np.allclose(registered.spacing, moving.spacing)
    for corner in np.ndindex(2, 2, 2):
        at = np.array(corner) * (np.array(moving.shape) - 1)
        world = np.linalg.inv(stretch) @ moving.affine @ [*at[::-1], 1]
        voxel = (np.linalg.inv(registered.affine) @ world)[2::-1]
        assert (voxel > -0.01).all() and (voxel < np.array(registered.shape) - 0.99).all()


def test_the_jacobian_map_is_on_the_fixed_volume(pair: Inputs) -> None:
    stretch = np.diag([1.1, 1.0, 1.0, 1.0])
    done = results.write(pair, ALL, [answer(pair, Transform.from_matrix(stretch))])
    jacobian = mrml.image_from_node(done.jacobian)
    assert np.allclose(jacobian.affine, mrml.image_from_node(pair.fixed).affine)
    assert np.allclose(jacobian.array, 1.1, atol=1e-3)


def test_volumes_under_transforms_are_registered_where_they_are_seen(scene: Any, pair: Inputs) -> None:
    """The result stands under the fixed volume's transform, so that it goes wherever that goes."""
    above = add_transform(scene, rotation(30), "above")
    pair.fixed.SetAndObserveTransformNodeID(above.GetID())
    fixed, moving = mrml.image_from_node(pair.fixed), mrml.image_from_node(pair.moving)
    gap = center_of(moving) - center_of(fixed)
    done = results.write(pair, ALL, [answer(pair, shift(*gap))])
    for node in (done.volume, done.jacobian):
        assert node.GetParentTransformNode() is above
    registered = mrml.image_from_node(done.volume)
    assert np.allclose(registered.affine, fixed.affine)
    assert np.allclose(center_of(registered), center_of(fixed), atol=0.15)
    assert done.transform.GetParentTransformNode() is None


def test_an_initial_chain_of_transforms_is_taken_as_it_is(scene: Any, pair: Inputs) -> None:
    upper, lower = add_transform(scene, rotation(10), "upper"), add_transform(scene, place((1, 1, 1), 5), "lower")
    lower.SetAndObserveTransformNodeID(upper.GetID())
    moving = mrml.image_from_node(pair.moving)
    initial = Inputs(pair.fixed, pair.moving, lower).pair().initial
    assert initial is not None
    pair.moving.SetAndObserveTransformNodeID(lower.GetID())
    seen = center_of(mrml.image_from_node(pair.moving))
    assert np.allclose(initial.points(seen[None])[0], center_of(moving))


def test_an_initial_warp_keeps_its_grid_and_a_thin_plate_is_sampled(scene: Any, pair: Inputs) -> None:
    fixed = mrml.image_from_node(pair.fixed)
    grid = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "grid")
    transform = warp(fixed.affine)
    mrml.transform_to_node(grid, transform, fixed)
    above = add_transform(scene, rotation(5), "above")
    grid.SetAndObserveTransformNodeID(above.GetID())
    points = points_of(pair.fixed)
    initial = mrml.transform_from_node(grid, fixed)
    assert initial.linear is None and len(initial.parts) == 2
    assert np.allclose(initial.points(points @ rotation(5)[:3, :3].T), transform.points(points), atol=1e-3)
    plate = add_warp(scene)
    sampled = mrml.transform_from_node(plate, fixed).points(points)
    assert np.allclose(sampled, through(plate, points, "From"), atol=0.2)


def test_the_table_has_every_figure_and_finds_everything_that_belongs_to_it(pair: Inputs) -> None:
    done = results.write(pair, ALL, [answer(pair, shift(1, 0, 0))])
    table = done.table.GetTable()
    columns = [table.GetColumnName(n) for n in range(table.GetNumberOfColumns())]
    assert columns == ["Measure", "Before", "After", "Unit"]
    rows = {table.GetValueByName(n, "Measure").ToString(): n for n in range(table.GetNumberOfRows())}
    assert table.GetValueByName(rows["Dice (mean)"], "After").ToDouble() == pytest.approx(0.96)
    assert table.GetValueByName(rows["HD95: Ball"], "Before").ToDouble() == pytest.approx(8.0)
    assert table.GetValueByName(rows["Folds"], "Before").ToString() == ""
    assert quality.referred(done.table, quality.FIXED) is pair.fixed
    assert quality.referred(done.table, quality.MOVING) is pair.moving
    (told,) = quality.summaries_of(done.table)
    assert told is not None and told.contrast_reason.startswith("The gray values")


def test_results_say_where_they_come_from(pair: Inputs) -> None:
    done = results.write(pair, ALL, [answer(pair, shift(1, 0, 0))])
    for node in (done.transform, done.inverse, done.volume, done.jacobian, done.table):
        assert "kind=deformable" in node.GetAttribute("MedAI.Registration")
        assert node.GetAttribute("MedAI.Time")
        assert node.GetDescription()


def test_only_what_is_wanted_is_made(scene: Any, pair: Inputs) -> None:
    volumes = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    done = results.write(pair, Outputs(Target(True), volume=Target(False)), [answer(pair, shift(1, 0, 0))])
    assert done.transform is not None
    assert (done.inverse, done.volume, done.jacobian) == (None, None, None)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == volumes


def test_undo_takes_away_what_was_made_and_brings_back_what_was_replaced(scene: Any, pair: Inputs) -> None:
    matrix = place((1, 1, 1), 33)
    mine = add_transform(scene, matrix, "Mine")
    volume = add(scene, ball(np.eye(4), (5, 5, 5)), "My volume")
    before, nodes = mrml.image_from_node(volume).array.copy(), scene.GetNumberOfNodes()
    done = results.write(pair, Outputs(Target(True, mine), volume=Target(True, volume)), [answer(pair, shift(3, 0, 0))])
    assert (done.transform, done.volume) == (mine, volume)
    assert np.allclose(mrml.matrix_from_transform(mine)[:3, 3], [-3, 0, 0])
    assert undo.can_undo(done.table)
    assert undo.undo(done.table)
    assert np.allclose(mrml.matrix_from_transform(mine), matrix)
    back = mrml.image_from_node(volume)
    assert np.array_equal(back.array, before) and np.allclose(back.affine, np.eye(4))
    assert volume.GetAttribute("MedAI.Registration") is None
    assert scene.GetNumberOfNodes() == nodes


def test_a_failure_leaves_the_scene_as_it_was(scene: Any, pair: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("no memory left")

    mine = add_transform(scene, place((1, 1, 1), 33), "Mine")
    before, nodes = mrml.matrix_from_transform(mine), scene.GetNumberOfNodes()
    monkeypatch.setattr(quality, "write_quality", fail)
    with pytest.raises(MemoryError):
        results.write(pair, Outputs(Target(True, mine)), [answer(pair, shift(3, 0, 0))])
    assert scene.GetNumberOfNodes() == nodes
    assert np.allclose(mrml.matrix_from_transform(mine), before)


def test_a_node_that_left_the_scene_meanwhile_ends_in_a_sentence(scene: Any, pair: Inputs) -> None:
    done = answer(pair, shift(1, 0, 0))
    scene.RemoveNode(pair.moving)
    with pytest.raises(UsageError, match="Moving is no longer in the scene"):
        results.write(pair, ALL, [done])


def test_a_scene_with_results_can_be_saved_and_read_again(application: Any, pair: Inputs, tmp_path: Any) -> None:
    transform = warp(mrml.image_from_node(pair.fixed).affine)
    points = points_of(pair.fixed)
    results.write(pair, ALL, [answer(pair, transform)])
    application.save(tmp_path / "scene.mrb")
    application.load(tmp_path / "scene.mrb")
    tables = application.scene.GetNodesByClass("vtkMRMLTableNode")
    table = next(tables.GetItemAsObject(n) for n in range(tables.GetNumberOfItems()))
    assert [told.dice.after for told in quality.summaries_of(table)] == [pytest.approx(0.96)]
    node = quality.referred(table, quality.TRANSFORM)
    # Slicer interpolates a grid that it has read from a file with splines; the nodes of this one are 2 voxels apart.
    assert np.allclose(through(node, points, "From"), transform.points(points), atol=0.2)
    assert quality.referred(table, quality.VOLUME).GetImageData() is not None
