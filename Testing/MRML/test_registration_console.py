"""``MedAILib.register`` with nodes, with a worker that answers at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import MedAILib
from MedAILib.errors import ContentError, UsageError
from MedAILib.registration.request import answer, read_message
from MedAILib.worker.events import Finished
from MedAISlicer import console, mrml
from MRML.nodes import add_transform, rotation
from MRML.worker import Worker, shared_worker
from registration_samples import ball, middle_of, result, shift

AFFINE = np.diag([1.0, 1.0, 1.2, 1.0])


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Finds a shift of 1 mm per job so far."""

    def found(number: int, parameters: Any, arrays: Any) -> Finished:
        pair, request = read_message(parameters, arrays)
        done = result(shift(number, 0, 0), pair.fixed, pair.moving, request.outputs, kind=request.kind)
        return Finished(*answer(done))

    return shared_worker(monkeypatch, found)


@pytest.fixture
def volumes(scene: Any) -> tuple[Any, Any]:
    nodes = []
    for name in ("Fixed", "Moving"):
        node = mrml.volume_from_image(scene, ball(AFFINE, middle_of(AFFINE)))
        node.SetName(name)
        nodes.append(node)
    return nodes[0], nodes[1]


def test_nodes_become_nodes(worker: Worker, volumes: tuple[Any, Any]) -> None:
    done = MedAILib.register(*volumes, kind="affine", contrast="same", progress=False)
    assert np.allclose(mrml.matrix_from_transform(done.transform)[:3, 3], [-1, 0, 0])
    assert done.volume.GetName() == "Moving registered"
    assert (done.inverse, done.jacobian, done.carried) == (None, None, [])
    assert done.table.GetTable().GetNumberOfRows() > 5
    assert done.summaries[0].kind == "affine"
    (_task, parameters, _arrays) = worker.messages[0]
    assert parameters["contrast"] == "same"


def test_nodes_that_are_given_receive_the_results(scene: Any, worker: Worker, volumes: tuple[Any, Any]) -> None:
    mine = add_transform(scene, rotation(5), "mine")
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
    done = MedAILib.register(*volumes, output=volume, transform=mine, jacobian=True, kind="rigid", progress=False)
    assert (done.transform, done.volume) == (mine, volume)
    assert volume.GetImageData() is not None
    assert done.jacobian.GetName() == "Moving to Fixed Jacobian"


def test_what_is_not_wanted_is_not_made(worker: Worker, volumes: tuple[Any, Any]) -> None:
    done = MedAILib.register(*volumes, output=False, progress=False)
    assert done.volume is None and done.transform is not None
    with pytest.raises(UsageError, match="No output is chosen"):
        MedAILib.register(*volumes, output=False, transform=False, progress=False)


def test_what_belongs_to_the_moving_volume_is_carried(scene: Any, worker: Worker, volumes: tuple[Any, Any]) -> None:
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Tips")
    mrml.points_to_markups(points, np.array([[3.0, 4, 5]]))
    done = console.register(*volumes, carry=[points], progress=False)
    assert np.allclose(mrml.points_from_markups(done.carried[0]), [[2, 4, 5]])


def test_files_and_nodes_are_not_mixed(worker: Worker, volumes: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match="Nodes can only be registered with nodes"):
        MedAILib.register(volumes[0], "moving.nii.gz")
    with pytest.raises(UsageError, match=r"a node, True or False, not 'warped\.nii\.gz'"):
        MedAILib.register(*volumes, output="warped.nii.gz")
    assert worker.messages == []


def test_every_frame_of_a_sequence_is_registered_and_a_bad_one_left_out(
    scene: Any, worker: Worker, volumes: tuple[Any, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
    for frame in range(3):
        sequence.SetDataNodeAtValue(volumes[1], str(frame))
    worker.bad = {2}
    done = MedAILib.register(volumes[0], sequence, kind="rigid")
    assert len(done.summaries) == 2
    assert "Frame 2 of 3: Warning: This frame is constant." in capsys.readouterr().err
    worker.bad = {4, 5, 6}
    with pytest.raises(ContentError, match="constant"):
        MedAILib.register(volumes[0], sequence, kind="rigid", progress=False)
