"""From nodes to a pair of images with masks, landmarks and structures; and what is refused before a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import GeometryError, UsageError
from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label
from MedAISlicer import mrml
from MedAISlicer.registration.inputs import Inputs, as_mask
from MedAISlicer.registration.outputs import Outputs
from MedAISlicer.targets import Target
from MRML.nodes import add_transform, add_warp, place, rotation
from registration_samples import SHAPE, ball, middle_of

POINTS = np.array([[0.0, 0, 0], [10, -20, 30.5], [-7, 8, 9]])


def label(value: int, name: str) -> Label:
    return Label(value, name, (0.1 * value, 0.5, 0.5), Code("SCT", "85756007", "Tissue"))


def segmentation(scene: Any, image: Image, name: str, *names: str) -> Any:
    """One slab per name, one after the other along k."""
    array = np.zeros(image.shape, np.uint8)
    for number in range(len(names)):
        array[2 + 3 * number : 4 + 3 * number, 3:8, 3:9] = number + 1
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    table = [label(number, one) for number, one in enumerate(names, 1)]
    for one, segment in mrml.segments_from_labels(array, image.affine, table):
        node.GetSegmentation().AddSegment(segment, one.name)
    return node


@pytest.fixture
def inputs(scene: Any, affine: np.ndarray) -> Inputs:
    fixed = mrml.volume_from_image(scene, ball(affine, middle_of(affine)))
    other = place((1.0, 1.0, 1.5), 10)
    moving = mrml.volume_from_image(scene, ball(other, middle_of(other)))
    fixed.SetName("Fixed")
    moving.SetName("Moving")
    return Inputs(fixed, moving)


def but(inputs: Inputs, **changes: Any) -> Inputs:
    from dataclasses import replace

    return replace(inputs, **changes)


def test_images_come_in_world_coordinates(scene: Any, inputs: Inputs) -> None:
    inputs.moving.SetAndObserveTransformNodeID(add_transform(scene, rotation(40)).GetID())
    pair = inputs.pair()
    assert np.allclose(pair.fixed.affine, mrml.local_affine(inputs.fixed))
    assert np.allclose(pair.moving.affine, rotation(40) @ mrml.local_affine(inputs.moving))
    assert (pair.fixed.name, pair.moving.name) == ("Fixed", "Moving")


def test_a_segment_becomes_a_mask_on_its_volume(scene: Any, inputs: Inputs) -> None:
    image = mrml.image_from_node(inputs.fixed)
    node = segmentation(scene, image, "Masks", "Other", "Inside")
    pair = but(inputs, fixed_mask=(node, "Inside")).pair()
    assert pair.fixed_mask is not None and pair.moving_mask is None
    assert pair.fixed_mask.shape == SHAPE
    assert np.argwhere(pair.fixed_mask.array).min(0).tolist() == [5, 3, 3]


def test_structures_of_the_same_name_get_the_same_number(scene: Any, inputs: Inputs) -> None:
    fixed, moving = mrml.image_from_node(inputs.fixed), mrml.image_from_node(inputs.moving)
    one = segmentation(scene, fixed, "One", "Liver", "Spleen", "Only here")
    two = segmentation(scene, moving, "Two", "Spleen", "Not there", "Liver")
    pair = but(inputs, fixed_labels=one, moving_labels=two).pair()
    assert pair.fixed_labels is not None and pair.moving_labels is not None
    assert pair.label_names == {1: "Liver", 2: "Spleen"}
    assert sorted(np.unique(pair.fixed_labels.array)) == [0, 1, 2]
    assert pair.fixed_labels.array[2, 4, 4] == 1 and pair.fixed_labels.array[8, 4, 4] == 0
    assert pair.moving_labels.array[2, 4, 4] == 2 and pair.moving_labels.array[8, 4, 4] == 1


def test_a_label_map_volume_can_be_compared_with_a_segmentation(scene: Any, inputs: Inputs) -> None:
    array = np.zeros(SHAPE, np.int16)
    array[5:8, 5:8, 5:8] = 7
    labels = Image(array, mrml.image_from_node(inputs.moving).affine, "map", Kind.LABEL)
    volume = mrml.volume_from_image(scene, labels, [label(7, "Liver")])
    node = segmentation(scene, mrml.image_from_node(inputs.fixed), "One", "Liver")
    pair = but(inputs, fixed_labels=node, moving_labels=volume).pair()
    assert pair.label_names == {1: "Liver"}
    assert pair.moving_labels is not None and pair.moving_labels.array.sum() == 27


def test_landmarks_come_in_world_coordinates_and_in_their_order(scene: Any, inputs: Inputs) -> None:
    nodes = [scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode") for _ in range(2)]
    for node in nodes:
        mrml.points_to_markups(node, POINTS)
    nodes[1].SetAndObserveTransformNodeID(add_transform(scene, rotation(90)).GetID())
    pair = but(inputs, fixed_points=nodes[0], moving_points=nodes[1]).pair()
    assert np.allclose(pair.fixed_points, POINTS)
    assert np.allclose(pair.moving_points, POINTS @ rotation(90)[:3, :3].T)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (lambda i, s: {"moving": i.fixed}, "is the fixed and the moving volume"),
        (lambda i, s: {"fixed_points": s.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")}, "landmarks for one volume"),
        (
            lambda i, s: {"moving_labels": s.AddNewNodeByClass("vtkMRMLSegmentationNode")},
            "segmentations to compare for one volume",
        ),
        (lambda i, s: {"fixed_mask": (s.AddNewNodeByClass("vtkMRMLSegmentationNode", "M"), "gone")}, "is not in M"),
    ],
    ids=["twice", "landmarks", "structures", "mask"],
)
def test_what_cannot_be_registered_is_said_before_the_run(
    scene: Any, inputs: Inputs, changes: Any, sentence: str
) -> None:
    inputs.check()
    with pytest.raises(UsageError, match=sentence):
        but(inputs, **changes(inputs, scene)).check()


def test_an_initial_transform_that_counts_already_is_refused(scene: Any, inputs: Inputs) -> None:
    lower, upper = add_transform(scene, rotation(5), "lower"), add_transform(scene, rotation(5), "upper")
    lower.SetAndObserveTransformNodeID(upper.GetID())
    inputs.moving.SetAndObserveTransformNodeID(lower.GetID())
    for node in (lower, upper):
        with pytest.raises(UsageError, match=f"stands under {node.GetName()} already"):
            but(inputs, initial=node).check()


def test_structures_without_a_common_name_are_refused(scene: Any, inputs: Inputs) -> None:
    image = mrml.image_from_node(inputs.fixed)
    one, two = segmentation(scene, image, "One", "Liver"), segmentation(scene, image, "Two", "Spleen")
    with pytest.raises(UsageError, match="no structure of the same name"):
        but(inputs, fixed_labels=one, moving_labels=two).pair()


def test_a_volume_under_a_warp_is_refused_with_what_to_do(scene: Any, inputs: Inputs) -> None:
    inputs.moving.SetAndObserveTransformNodeID(add_warp(scene, "bend").GetID())
    with pytest.raises(GeometryError, match=r"bend.*Harden"):
        inputs.pair()


def both(node: Any) -> Outputs:
    return Outputs(volume=Target(True, node), jacobian=Target(True, node))


@pytest.mark.parametrize(
    ("make", "deformable", "sentence"),
    [
        (lambda i, s: Outputs(Target(False), volume=Target(False)), True, "No output is chosen"),
        (lambda i, s: Outputs(volume=Target(True, i.moving)), True, "Moving is an input and would be replaced"),
        (lambda i, s: Outputs(Target(True, add_transform(s, np.eye(4), "T"))), True, "T cannot hold a warp"),
        (lambda i, s: both(s.AddNewNodeByClass("vtkMRMLScalarVolumeNode")), True, "Two outputs go into the same node"),
    ],
    ids=["nothing", "input", "linear node", "same node"],
)
def test_outputs_that_cannot_be_are_refused(
    scene: Any, inputs: Inputs, make: Any, deformable: bool, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        make(inputs, scene).check(inputs, deformable)


def test_a_transform_under_which_an_input_stands_is_not_replaced(scene: Any, inputs: Inputs) -> None:
    above = add_transform(scene, rotation(5), "above")
    inputs.moving.SetAndObserveTransformNodeID(above.GetID())
    with pytest.raises(UsageError, match="stands under above, which would change"):
        Outputs(Target(True, above)).check(inputs, deformable=False)


def test_the_user_is_asked_about_nodes_that_hold_something(scene: Any, inputs: Inputs) -> None:
    empty, full = add_transform(scene, np.eye(4), "empty"), add_transform(scene, rotation(5), "full")
    warped = add_warp(scene, "warped")
    hollow = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    assert Outputs(Target(True, empty), volume=Target(True, hollow)).lost() == []
    assert Outputs(Target(True, full), Target(True, warped)).lost() == ["full", "warped"]
    assert Outputs(Target(False, full)).lost() == []


def test_masks_of_scripts(scene: Any, inputs: Inputs) -> None:
    image = mrml.image_from_node(inputs.fixed)
    one, two = segmentation(scene, image, "One", "A"), segmentation(scene, image, "Two", "A", "B")
    assert as_mask(None) is None
    assert as_mask(one) == (one, "A")
    assert as_mask((two, "B")) == (two, "B")
    with pytest.raises(UsageError, match="Two has 2 segments"):
        as_mask(two)
    with pytest.raises(UsageError, match="A mask is"):
        as_mask("mask.nii.gz")
