"""``MedAILib.superresolve`` with nodes, with a worker that answers at once."""

from __future__ import annotations

from typing import Any

import pytest

import MedAILib
from MedAILib.errors import ContentError, UsageError
from MedAILib.superres.request import answer, read_message
from MedAILib.worker.events import Finished
from MedAISlicer import mrml
from MRML.worker import Worker, shared_worker
from superres_answers import SHAPE, result, thick


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return shared_worker(monkeypatch, lambda _number, *message: Finished(*answer(result(*read_message(*message)))))


def add(scene: Any, name: str = "Head") -> Any:
    node = mrml.volume_from_image(scene, thick())
    node.SetName(name)
    return node


def test_a_node_becomes_a_node(scene: Any, worker: Worker) -> None:
    done = MedAILib.superresolve(add(scene), method="tikhonov", thickness=5.0, progress=False)
    assert done.volume.GetName() == "Head super-resolution"
    assert done.volume.GetImageData().GetDimensions()[2] > 3 * SHAPE[0]
    assert (done.uncertainty, done.residual, done.cubic) == (None, None, None)
    assert done.summaries[0].thickness == 5.0
    (task, parameters, _arrays) = worker.messages[0]
    assert (task, parameters["method"], parameters["thickness"]) == ("superres", "tikhonov", 5.0)


def test_nodes_that_are_given_receive_the_results(scene: Any, worker: Worker) -> None:
    mine = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    done = MedAILib.superresolve(add(scene), output=mine, uncertainty=True, residual=True, progress=False)
    assert done.volume is mine and mine.GetImageData() is not None
    assert list(worker.messages[0][1]["outputs"]) == ["uncertainty", "residual"]
    assert done.uncertainty.GetName() == "Head uncertainty"
    assert done.residual.GetImageData().GetDimensions()[2] == SHAPE[0]


def test_further_volumes_and_a_grid_can_be_given(scene: Any, worker: Worker) -> None:
    stacks = [add(scene, "Coronal"), add(scene, "Sagittal")]
    MedAILib.superresolve(add(scene), second=stacks, like=stacks[0], role="stack", progress=False)
    _task, parameters, _arrays = worker.messages[0]
    assert [scan["name"] for scan in parameters["scans"]] == ["Head", "Coronal", "Sagittal"]
    assert parameters["like"]["shape"] == list(SHAPE)
    assert parameters["role"] == "stack"
    MedAILib.superresolve(add(scene), second=stacks[0], progress=False)
    assert len(worker.messages[1][1]["scans"]) == 2


def test_what_makes_no_sense_is_refused_before_the_worker_hears_of_it(scene: Any, worker: Worker) -> None:
    with pytest.raises(UsageError, match="Nodes go with nodes only"):
        MedAILib.superresolve(add(scene), second="t1.nii.gz")
    with pytest.raises(UsageError, match=r"a node, True or False, not 'fine\.nii\.gz'"):
        MedAILib.superresolve(add(scene), output="fine.nii.gz")
    with pytest.raises(UsageError, match="argument that it does not know"):
        MedAILib.superresolve(add(scene), sharper=True)
    with pytest.raises(UsageError, match="No output is chosen"):
        MedAILib.superresolve(add(scene), output=False)
    with pytest.raises(UsageError, match="needs at least one further stack"):
        MedAILib.superresolve(add(scene), method="orthogonal", progress=False)
    assert worker.messages == []


def test_every_frame_is_computed_and_a_bad_one_left_out(
    scene: Any, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Heart")
    for frame in range(3):
        sequence.SetDataNodeAtValue(add(scene, "frame"), str(frame))
    worker.bad = {2}
    done = MedAILib.superresolve(sequence)
    assert len(done.summaries) == 2
    assert "Frame 2 of 3: Warning: This frame is constant." in capsys.readouterr().err
    worker.bad = {4, 5, 6}
    with pytest.raises(ContentError, match="constant"):
        MedAILib.superresolve(sequence, progress=False)
