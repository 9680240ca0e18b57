"""What moves along with the moving volume: copies of volumes, segmentations, markups and models in the right place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label
from MedAILib.registration.request import Registration
from MedAILib.transforms import Transform, warp_image
from MedAISlicer import mrml
from MedAISlicer import scene_undo as undo
from MedAISlicer.registration import results
from MedAISlicer.registration.carrying import CLASSES, carry
from MedAISlicer.registration.inputs import Inputs
from MedAISlicer.registration.outputs import Outputs
from MedAISlicer.targets import Target
from MRML.nodes import add_transform, add_warp, place, rotation
from registration_samples import SHAPE, ball, center_of, middle_of, result, warp

GRID = place((1.1, 0.9, 1.3), 20)
MIDDLE = middle_of(GRID)


@pytest.fixture
def volumes(scene: Any) -> Inputs:
    """The fixed and the moving volume have the same grid; the content is moved by the warp."""
    fixed = mrml.volume_from_image(scene, ball(GRID, MIDDLE))
    there = warp(GRID).points(np.array([MIDDLE]))[0]
    moving = mrml.volume_from_image(scene, ball(GRID, (there[0], there[1], there[2])))
    fixed.SetName("Fixed")
    moving.SetName("Moving")
    return Inputs(fixed, moving)


@pytest.fixture
def registration(volumes: Inputs) -> Registration:
    return result(warp(GRID), mrml.image_from_node(volumes.fixed), mrml.image_from_node(volumes.moving))


def expected(inputs: Inputs, transform: Transform) -> Image:
    """The moving volume on the fixed voxels."""
    return warp_image(mrml.image_from_node(inputs.moving), mrml.image_from_node(inputs.fixed), transform)


def fixed_points() -> np.ndarray:
    """World points near the middle of the fixed volume."""
    return np.array(MIDDLE) + np.random.default_rng(2).uniform(-4, 4, (4, 3))


def markups(scene: Any, class_name: str, points: np.ndarray) -> Any:
    node = scene.AddNewNodeByClass(class_name, "Mine")
    if class_name.endswith("LineNode"):
        points = points[:2]
    if class_name.endswith("AngleNode"):
        points = points[:3]
    mrml.points_to_markups(node, points)
    return node


@pytest.mark.parametrize("kind", ["Fiducial", "Line", "Angle", "Curve", "ClosedCurve"])
def test_markups_go_where_their_points_are_in_the_fixed_volume(
    scene: Any, volumes: Inputs, registration: Registration, kind: str
) -> None:
    there = warp(GRID).points(fixed_points())
    node = markups(scene, f"vtkMRMLMarkups{kind}Node", there)
    count = node.GetNumberOfControlPoints()
    node.SetNthControlPointLabel(1, "tip")
    copy = carry(node, volumes.fixed, registration, False)
    assert copy is not node and copy.GetName() == "Mine registered"
    found = mrml.points_from_markups(copy)
    assert np.allclose(found, registration.inverse.points(there)[:count], atol=1e-3)
    assert np.allclose(found, fixed_points()[:count], atol=0.2)
    assert np.allclose(mrml.points_from_markups(node), there[:count])
    assert copy.GetNthControlPointLabel(1) == "tip"
    assert copy.GetParentTransformNode() is None


def test_markups_under_transforms_are_taken_from_where_they_are_seen(
    scene: Any, volumes: Inputs, registration: Registration
) -> None:
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", fixed_points())
    above = add_warp(scene, "above")
    node.SetAndObserveTransformNodeID(above.GetID())
    seen = mrml.points_from_markups(node)
    copy = carry(node, volumes.fixed, registration, False)
    assert np.allclose(mrml.points_from_markups(copy), registration.inverse.points(seen), atol=0.05)
    assert node.GetParentTransformNode() is above


@pytest.mark.parametrize("kind", ["Plane", "ROI"])
def test_planes_and_boxes_are_carried(scene: Any, volumes: Inputs, registration: Registration, kind: str) -> None:
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", "Mine")
    there = warp(GRID).points(np.array([MIDDLE]))[0]
    node.SetCenter(there)
    if kind == "ROI":
        node.SetSize(4, 5, 6)
    copy = carry(node, volumes.fixed, registration, False)
    assert np.allclose(copy.GetCenter(), MIDDLE, atol=0.1)


def test_a_model_is_carried_with_all_its_points(scene: Any, volumes: Inputs, registration: Registration) -> None:
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    there = warp(GRID).points(np.array([MIDDLE]))[0]
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(*there)
    sphere.SetRadius(3)
    sphere.Update()
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "Bone")
    node.SetAndObservePolyData(sphere.GetOutput())
    copy = carry(node, volumes.fixed, registration, False)
    before, after = (vtk_to_numpy(one.GetPolyData().GetPoints().GetData()) for one in (node, copy))
    assert np.allclose(after, registration.inverse.points(before), atol=0.02)
    assert np.allclose(before.mean(0), there, atol=0.1)


@pytest.mark.parametrize("own_voxels", [False, True], ids=["fixed voxels", "own voxels"])
def test_a_further_volume_is_carried(scene: Any, volumes: Inputs, registration: Registration, own_voxels: bool) -> None:
    node = mrml.volume_from_image(scene, mrml.image_from_node(volumes.moving))
    node.SetName("T2")
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(333, 222)
    copy = carry(node, volumes.fixed, registration, own_voxels)
    image = mrml.image_from_node(copy)
    assert copy.GetName() == "T2 registered"
    assert image.array.dtype == np.int16
    assert np.allclose(center_of(image), center_of(expected(volumes, registration.transform)), atol=0.1)
    assert (copy.GetDisplayNode().GetWindow(), copy.GetDisplayNode().GetLevel()) == (333, 222)
    if not own_voxels:
        assert image.shape == SHAPE and np.allclose(image.affine, GRID)


def test_a_label_map_keeps_its_values_and_colors(scene: Any, volumes: Inputs, registration: Registration) -> None:
    bright = mrml.image_from_node(volumes.moving)
    labels = Image((bright.array > 500).astype(np.int16) * 7, bright.affine, "map", Kind.LABEL)
    code = Code("SCT", "85756007", "Tissue")
    node = mrml.volume_from_image(scene, labels, [Label(7, "Ball", (1, 0, 0), code)])
    copy = carry(node, volumes.fixed, registration, False)
    image, table = mrml.labels_from_volume(copy)
    assert copy.IsA("vtkMRMLLabelMapVolumeNode")
    assert sorted(np.unique(image.array)) == [0, 7]
    assert [label.name for label in table] == ["Ball"]
    truth = expected(volumes, registration.transform).array > 500
    assert np.mean((image.array > 0) == truth) > 0.98


def overlapping(scene: Any, bright: Image) -> Any:
    """Two segments in layers of their own, one within the other."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    code = Code("SCT", "10200004", "Liver")
    for level, name, color in ((500, "Outer", (1.0, 0.0, 0.0)), (900, "Inner", (0.0, 0.0, 1.0))):
        array = (bright.array > level).astype(np.uint8)
        for one, segment in mrml.segments_from_labels(array, bright.affine, [Label(1, name, color, code)]):
            node.GetSegmentation().AddSegment(segment, one.name)
    return node


def test_segments_keep_their_overlap_names_colors_and_codes(
    scene: Any, volumes: Inputs, registration: Registration
) -> None:
    fixed, moving = mrml.image_from_node(volumes.fixed), mrml.image_from_node(volumes.moving)
    node = overlapping(scene, moving)
    node.CreateClosedSurfaceRepresentation()
    copy = carry(node, volumes.fixed, registration, False)
    for name, level in (("Outer", 500), ("Inner", 900)):
        mask = mrml.mask_from_segment(copy, name, fixed).array > 0
        truth = expected(volumes, registration.transform).array > level
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
        segment = copy.GetSegmentation().GetSegment(name)
        assert segment.GetName() == name
        assert "10200004" in segment.GetTerminology()
        assert segment.GetColor() == node.GetSegmentation().GetSegment(name).GetColor()
    assert copy.GetSegmentation().ContainsRepresentation("Closed surface")
    assert mrml.labels_from_segmentation(copy)[0].shape == SHAPE


def test_segments_of_surfaces_only_are_carried_too(scene: Any, volumes: Inputs, registration: Registration) -> None:
    node = overlapping(scene, mrml.image_from_node(volumes.moving))
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    node.RemoveBinaryLabelmapRepresentation()
    copy = carry(node, volumes.fixed, registration, False)
    mask = mrml.mask_from_segment(copy, "Outer", mrml.image_from_node(volumes.fixed)).array > 0
    truth = expected(volumes, registration.transform).array > 500
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.85


def test_everything_carried_belongs_to_the_result_and_goes_with_its_undo(
    scene: Any, volumes: Inputs, registration: Registration
) -> None:
    nodes = (
        markups(scene, "vtkMRMLMarkupsFiducialNode", fixed_points()),
        overlapping(scene, mrml.image_from_node(volumes.moving)),
    )
    count = scene.GetNumberOfNodes()
    done = results.write(volumes, Outputs(Target(True), carried=nodes), [registration])
    assert [node.GetName() for node in done.carried] == ["Mine registered", "Mine registered_1"]
    assert all(node.GetAttribute("MedAI.Registration") for node in done.carried)
    assert undo.undo(done.table)
    assert scene.GetNumberOfNodes() == count


def test_a_moving_world_far_outside_of_the_grid_is_carried_by_the_affine_part(
    scene: Any, volumes: Inputs, registration: Registration
) -> None:
    far = np.array([[300.0, -250.0, 200.0]])
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", warp(GRID).points(far))
    copy = carry(node, volumes.fixed, registration, False)
    assert np.allclose(mrml.points_from_markups(copy), far, atol=1e-3)


def test_copies_stand_under_the_transform_of_the_fixed_volume_where_they_hold_voxels(
    scene: Any, volumes: Inputs
) -> None:
    above = add_transform(scene, rotation(25), "above")
    volumes.fixed.SetAndObserveTransformNodeID(above.GetID())
    fixed, moving = mrml.image_from_node(volumes.fixed), mrml.image_from_node(volumes.moving)
    there = Transform.from_matrix(np.linalg.inv(rotation(25))).then(warp(GRID))
    copy = carry(overlapping(scene, moving), volumes.fixed, result(there, fixed, moving), False)
    assert copy.GetParentTransformNode() is above
    mask = mrml.mask_from_segment(copy, "Outer", fixed).array > 0
    truth = expected(volumes, there).array > 500
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9


def test_every_class_that_can_be_chosen_can_be_made(scene: Any) -> None:
    for name in CLASSES:
        assert scene.AddNewNodeByClass(name) is not None
