"""Making every frame of a sequence finer: sequences of results that play with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAILib.superres.request import SuperresRequest
from MedAISlicer import mrml, scene_undo
from MedAISlicer.sequence_results import new_browser, show_item
from MedAISlicer.sequences import browser_of
from MedAISlicer.superres import results
from MedAISlicer.superres.inputs import Inputs
from MedAISlicer.superres.outputs import Outputs
from MedAISlicer.targets import MADE, Target
from MRML.nodes import add_transform, place, rotation
from superres_answers import SHAPE, result, thick

GRID = place((1.0, 1.0, 4.0), 12)
COUNT = 3
ALL = Outputs(MADE, MADE, MADE, MADE)


@pytest.fixture
def inputs(scene: Any) -> Inputs:
    """Frame n has n added to each voxel."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
    for frame in range(COUNT):
        image = thick(GRID)
        volume = mrml.volume_from_image(scene, image.with_array((image.array + frame).astype(np.int16)))
        sequence.SetDataNodeAtValue(volume, str(frame))
        scene.RemoveNode(volume)
    return Inputs(sequence)


def answers(inputs: Inputs, skip: int | None = None) -> list[Any]:
    request = SuperresRequest(outputs=ALL.names)
    return [None if frame == skip else result(inputs.scans(frame), request) for frame in range(COUNT)]


def least(node: Any) -> int:
    return int(mrml.image_from_node(node).array.min())


def test_the_results_play_with_the_input(inputs: Inputs) -> None:
    done = results.write(inputs, ALL, answers(inputs))
    assert done.of_sequence
    for frame in (2, 0, 1):
        show_item(browser_of(inputs.volume), frame)
        assert least(done.volume) == frame
        assert mrml.image_from_node(done.volume).shape == (4 * SHAPE[0], *SHAPE[1:])
        assert mrml.image_from_node(done.residual).shape == SHAPE
        assert least(done.cubic) == frame - 3
        assert "not for primary diagnosis" in done.volume.GetAttribute("MedAI.Computed")


def test_a_frame_without_result_is_empty(inputs: Inputs) -> None:
    done = results.write(inputs, ALL, answers(inputs, skip=1))
    show_item(browser_of(inputs.volume), 1)
    assert done.volume.GetImageData() is None
    show_item(browser_of(inputs.volume), 2)
    assert least(done.volume) == 2
    assert [told is None for told in results.summaries_of(done.table)] == [False, True, False]


def test_results_stand_under_the_transform_of_what_shows_the_frames(scene: Any, inputs: Inputs) -> None:
    shown = new_browser(inputs.volume).GetProxyNode(inputs.volume)
    above = add_transform(scene, rotation(25))
    shown.SetAndObserveTransformNodeID(above.GetID())
    done = results.write(inputs, ALL, answers(inputs))
    assert done.volume.GetParentTransformNode() is above
    for frame in range(COUNT):
        show_item(browser_of(inputs.volume), frame)
        fine, measured = mrml.image_from_node(done.volume), mrml.image_from_node(inputs.volume, frame)
        assert np.allclose(fine.affine[:3, :2], measured.affine[:3, :2])
        middle = [(n - 1) / 2 for n in (SHAPE[2], SHAPE[1])]
        center = fine.affine @ [*middle, (4 * SHAPE[0] - 1) / 2, 1.0]
        assert np.allclose(center, measured.affine @ [*middle, (SHAPE[0] - 1) / 2, 1.0])


def test_undo_leaves_the_browser_that_was_there(scene: Any, inputs: Inputs) -> None:
    browser = new_browser(inputs.volume)
    show_item(browser, 1)
    nodes = scene.GetNumberOfNodes()
    done = results.write(inputs, ALL, answers(inputs))
    assert browser.GetNumberOfSynchronizedSequenceNodes(True) == 5
    assert browser.GetSelectedItemNumber() == 1
    assert scene_undo.undo(done.table)
    assert scene.GetNumberOfNodes() == nodes
    assert browser.GetNumberOfSynchronizedSequenceNodes(True) == 1


def test_a_sequence_goes_into_new_sequences_only(scene: Any, inputs: Inputs) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    with pytest.raises(UsageError, match="results of a sequence are new sequences"):
        Outputs(Target(True, node)).check(inputs)
