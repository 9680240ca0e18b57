"""Sequences of volumes as images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAISlicer import mrml, sequences
from MRML.nodes import add_transform, rotation
from MRML.scene import Application

COUNT = 3


@pytest.fixture
def sequence(scene: Any) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "heart")
    for number in range(COUNT):
        volume = mrml.volume_from_image(
            scene, Image(np.full((2, 3, 4), number, np.int16), np.diag([1, 1, 1 + number, 1]))
        )
        node.SetDataNodeAtValue(volume, str(number))
        scene.RemoveNode(volume)
    return node


def add_browser(application: Application, sequence: Any) -> Any:
    browser = application.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    application.logics["Sequences"].UpdateProxyNodesFromSequences(browser)
    return browser


def test_each_frame_is_an_image_with_its_own_voxels_place_and_name(sequence: Any) -> None:
    assert sequences.is_sequence(sequence)
    assert sequences.frame_count(sequence) == COUNT
    for frame in range(COUNT):
        image = mrml.image_from_node(sequence, frame)
        assert np.array_equal(image.array, np.full((2, 3, 4), frame))
        assert image.spacing == (1 + frame, 1, 1)
        assert image.name == f"heart, frame {frame + 1}"


def test_a_volume_counts_as_one_frame(scene: Any) -> None:
    volume = mrml.volume_from_image(scene, Image(np.zeros((2, 3, 4), np.int16), np.eye(4)))
    assert not sequences.is_sequence(volume)
    assert sequences.frame_count(volume) == 1


@pytest.mark.parametrize("frame", [-1, COUNT])
def test_a_frame_that_is_not_there_is_refused_by_name(sequence: Any, frame: int) -> None:
    with pytest.raises(UsageError, match=rf"heart has 3 frames; there is no frame {frame + 1}\."):
        mrml.image_from_node(sequence, frame)


def test_the_transform_of_the_node_that_shows_the_frames_counts(application: Application, sequence: Any) -> None:
    assert sequences.proxy_of(sequence) is None
    browser = add_browser(application, sequence)
    assert sequences.browser_of(sequence) is browser
    proxy = sequences.proxy_of(sequence)
    proxy.SetAndObserveTransformNodeID(add_transform(application.scene, rotation(30)).GetID())
    assert np.allclose(mrml.image_from_node(sequence, 2).affine, rotation(30) @ np.diag([1, 1, 3, 1]))


def test_the_browser_of_another_sequence_is_not_taken(application: Application, sequence: Any) -> None:
    other = application.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "other")
    add_browser(application, sequence)
    assert sequences.browser_of(other) is None
