"""Registering every frame of a sequence to one volume: sequences of results that play with the moving one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAISlicer import mrml
from MedAISlicer import scene_undo as undo
from MedAISlicer.registration import quality, results
from MedAISlicer.registration.inputs import Inputs
from MedAISlicer.registration.outputs import Outputs
from MedAISlicer.sequence_results import new_browser, show_item
from MedAISlicer.sequences import browser_of
from MedAISlicer.targets import Target
from MRML.nodes import add_transform, place, rotation
from registration_samples import ball, center_of, middle_of, result, shift, warp

GRID = place((1.0, 1.0, 1.2), 12)
MIDDLE = np.array(middle_of(GRID))
COUNT = 3
ALL = Outputs(Target(True), Target(True), Target(True), Target(True))


def moved(frame: int) -> np.ndarray:
    return np.array([1.0, 0.5, -1.0]) * frame


@pytest.fixture
def inputs(scene: Any) -> Inputs:
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
    for frame in range(COUNT):
        x, y, z = MIDDLE + moved(frame)
        volume = mrml.volume_from_image(scene, ball(GRID, (x, y, z)))
        sequence.SetDataNodeAtValue(volume, str(frame))
        scene.RemoveNode(volume)
    fixed = mrml.volume_from_image(scene, ball(GRID, tuple(MIDDLE)))
    fixed.SetName("Fixed")
    return Inputs(fixed, sequence)


def answers(inputs: Inputs, skip: int | None = None) -> list[Any]:
    return [
        None
        if frame == skip
        else result(
            shift(*moved(frame)),
            mrml.image_from_node(inputs.fixed),
            mrml.image_from_node(inputs.moving, frame),
            ("warped", "jacobian"),
        )
        for frame in range(COUNT)
    ]


def test_the_results_play_with_the_moving_sequence(inputs: Inputs) -> None:
    done = results.write(inputs, ALL, answers(inputs))
    browser = browser_of(inputs.moving)
    assert done.of_sequence
    for frame in (2, 0, 1):
        show_item(browser, frame)
        registered = mrml.image_from_node(done.volume)
        assert np.allclose(center_of(registered), MIDDLE, atol=0.15)
        assert np.allclose(mrml.matrix_from_transform(done.transform)[:3, 3], -moved(frame))
        assert np.allclose(mrml.matrix_from_transform(done.inverse)[:3, 3], moved(frame))
        assert np.allclose(mrml.image_from_node(done.jacobian).array, 1.0, atol=1e-3)


def test_the_table_has_the_figures_of_each_frame(inputs: Inputs) -> None:
    done = results.write(inputs, ALL, answers(inputs, skip=1))
    table = done.table.GetTable()
    frames = {table.GetValueByName(n, "Frame").ToInt() for n in range(table.GetNumberOfRows())}
    assert frames == {1, 3}
    assert [told is None for told in quality.summaries_of(done.table)] == [False, True, False]


def test_a_frame_without_result_is_empty(inputs: Inputs) -> None:
    done = results.write(inputs, ALL, answers(inputs, skip=1))
    browser = browser_of(inputs.moving)
    show_item(browser, 1)
    assert done.volume.GetImageData() is None
    show_item(browser, 2)
    assert np.allclose(center_of(mrml.image_from_node(done.volume)), MIDDLE, atol=0.15)


def test_volumes_stand_under_the_transform_of_the_fixed_one(scene: Any, inputs: Inputs) -> None:
    above = add_transform(scene, rotation(25))
    inputs.fixed.SetAndObserveTransformNodeID(above.GetID())
    fixed = mrml.image_from_node(inputs.fixed)
    gaps = [MIDDLE + moved(frame) - center_of(fixed) for frame in range(COUNT)]
    told = [
        result(shift(*gap), fixed, mrml.image_from_node(inputs.moving, frame), ("warped", "jacobian"))
        for frame, gap in enumerate(gaps)
    ]
    done = results.write(inputs, ALL, told)
    assert done.volume.GetParentTransformNode() is above
    for frame in range(COUNT):
        show_item(browser_of(inputs.moving), frame)
        registered = mrml.image_from_node(done.volume)
        assert np.allclose(registered.affine, fixed.affine)
        assert np.allclose(center_of(registered), center_of(fixed), atol=0.2)


def test_one_warp_makes_all_frames_grids(inputs: Inputs) -> None:
    told = answers(inputs)
    fixed, moving = mrml.image_from_node(inputs.fixed), mrml.image_from_node(inputs.moving, 1)
    told[1] = result(warp(GRID), fixed, moving, ("warped", "jacobian"))
    done = results.write(inputs, ALL, told)
    for frame in range(COUNT):
        show_item(browser_of(inputs.moving), frame)
        assert done.transform.GetClassName() == "vtkMRMLGridTransformNode"
        expected = told[frame].transform.points(MIDDLE[None])[0]
        assert np.allclose(done.transform.GetTransformFromParent().TransformPoint(MIDDLE), expected, atol=1e-2)


def test_undo_takes_the_sequences_away(scene: Any, inputs: Inputs) -> None:
    nodes = scene.GetNumberOfNodes()
    done = results.write(inputs, ALL, answers(inputs))
    assert undo.undo(done.table)
    assert scene.GetNumberOfNodes() == nodes
    assert browser_of(inputs.moving) is None


def test_undo_leaves_the_browser_that_was_there(scene: Any, inputs: Inputs) -> None:
    browser = new_browser(inputs.moving)
    show_item(browser, 1)
    nodes = scene.GetNumberOfNodes()
    done = results.write(inputs, ALL, answers(inputs))
    assert browser_of(inputs.moving) is browser
    assert browser.GetNumberOfSynchronizedSequenceNodes(True) == 5
    assert undo.undo(done.table)
    show_item(browser, 1)
    assert scene.GetNumberOfNodes() == nodes
    assert browser.GetNumberOfSynchronizedSequenceNodes(True) == 1


def test_a_sequence_goes_into_new_sequences_only(scene: Any, inputs: Inputs) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    with pytest.raises(UsageError, match="results of a sequence are new sequences"):
        Outputs(volume=Target(True, node)).check(inputs, deformable=True)


def test_the_initial_transform_may_not_be_the_one_that_shows_the_sequence(scene: Any, inputs: Inputs) -> None:
    results.write(inputs, ALL, answers(inputs))
    above = add_transform(scene, rotation(25), "above")
    browser_of(inputs.moving).GetProxyNode(inputs.moving).SetAndObserveTransformNodeID(above.GetID())
    with pytest.raises(UsageError, match="stands under above already"):
        Inputs(inputs.fixed, inputs.moving, above).check()
