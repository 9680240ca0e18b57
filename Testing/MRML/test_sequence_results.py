"""Results of all frames of a sequence, played together with the volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.image import Image, Kind
from MedAILib.labels import Code, Label
from MedAILib.summary import Segmentation, Summary
from MedAISlicer import fingerprint, mrml, sequence_results
from MRML.nodes import add_transform, place, rotation
from MRML.scene import Application

SHAPE = (5, 6, 7)
THALAMUS = Label(3, "Thalamus", (0.0, 0.5, 0.1), Code("SCT", "42695009", "Thalamus"))
COUNT = 3


def affine(frame: int) -> np.ndarray:
    return place((1, 1, 1 + frame), 10 * frame)


def array(frame: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:4, frame : frame + 3] = 3
    return labels


def answer(frame: int) -> Segmentation:
    summary = Summary("heart", "tiny", "1.0", "ab", {}, "cpu", "float32", (THALAMUS,), (), {}, (), {})
    return Segmentation(Image(array(frame), affine(frame), "heart", Kind.LABEL), summary)


@pytest.fixture
def sequence(scene: Any) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "heart")
    for frame in range(COUNT):
        volume = mrml.volume_from_image(scene, Image(np.zeros(SHAPE, np.int16), affine(frame), "heart"))
        node.SetDataNodeAtValue(volume, str(frame))
        scene.RemoveNode(volume)
    return node


def show(application: Application, frame: int) -> None:
    browser = application.scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetSelectedItemNumber(frame)
    application.logics["Sequences"].UpdateProxyNodesFromSequences(browser)


def shown(node: Any, frame: int, world: np.ndarray) -> np.ndarray:
    like = Image(np.zeros(SHAPE, np.uint8), world @ affine(frame))
    return mrml.labels_from_segmentation(node, like)[0].array > 0


def test_each_frame_shows_its_own_segments_in_place(application: Application, sequence: Any) -> None:
    node = sequence_results.write_sequence(sequence, [answer(frame) for frame in range(COUNT)])
    for frame in (2, 0, 1):
        show(application, frame)
        assert np.array_equal(shown(node, frame, np.eye(4)), array(frame) > 0)


def test_segments_stand_under_the_transform_of_the_volumes(application: Application, sequence: Any) -> None:
    browser = application.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    application.logics["Sequences"].UpdateProxyNodesFromSequences(browser)
    transform = add_transform(application.scene, rotation(25))
    browser.GetProxyNode(sequence).SetAndObserveTransformNodeID(transform.GetID())
    node = sequence_results.write_sequence(sequence, [answer(frame) for frame in range(COUNT)])
    assert node.GetParentTransformNode() is transform
    for frame in (1, 2):
        show(application, frame)
        assert np.array_equal(shown(node, frame, rotation(25)), array(frame) > 0)


def test_a_frame_without_result_is_empty(application: Application, sequence: Any) -> None:
    node = sequence_results.write_sequence(sequence, [answer(0), None, answer(2)])
    show(application, 1)
    assert not node.GetSegmentation().GetNumberOfSegments()
    show(application, 2)
    assert np.array_equal(shown(node, 2, np.eye(4)), array(2) > 0)


def test_a_failure_leaves_the_scene_as_it_was(scene: Any, sequence: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError("no memory left")

    monkeypatch.setattr(fingerprint, "write", fail)
    nodes = scene.GetNumberOfNodes()
    with pytest.raises(MemoryError):
        sequence_results.write_sequence(sequence, [answer(frame) for frame in range(COUNT)])
    assert scene.GetNumberOfNodes() == nodes
