"""Training from Slicer's console on segmentation nodes; the worker does as it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import MedAILib
from MedAILib.errors import UsageError
from MedAILib.training.cases.checks import check_cases
from MedAILib.worker.events import Finished
from MedAISlicer import mrml
from MRML.test_train_cases import HIPPOCAMPUS, SHAPE, add_case


class Trainer:
    """Takes the place of :class:`MedAILib.worker.client.Worker`; the training is done when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.models, self.asked = folder, []

    def __call__(self, device: str) -> Trainer:
        return self

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *reason: object) -> None: ...

    def submit(self, task: str, parameters: dict[str, Any], arrays: dict[str, Any]) -> Trainer:
        self.asked.append((task, parameters))
        return self

    def wait(self, tell: Any) -> Finished:
        from tiny_model import card_fields

        name = self.asked[-1][1]["name"]
        (self.models / name).mkdir(parents=True, exist_ok=True)
        (self.models / name / "model.json").write_text(json.dumps(card_fields(name=name)))
        return Finished({"model": name})


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    monkeypatch.setenv("MEDAI_MODELS", str(tmp_path / "models"))
    fresh = Trainer(tmp_path / "models")
    monkeypatch.setattr("MedAILib.training.cases.remote.Worker", fresh)
    return fresh


def test_segmentations_are_written_and_trained_on(scene: Any, trainer: Trainer, tmp_path: Path) -> None:
    nodes = [add_case(scene, np.eye(4), name) for name in ("a", "b")]
    card = MedAILib.train(nodes, "My brain", minutes=2, network="vnet", progress=False)
    assert card.name == "my-brain"
    ((task, asked),) = trainer.asked
    assert task == "train"
    assert (asked["recipe"], asked["seconds"], asked["resume"], asked["install"]) == ("vnet", 120.0, False, True)
    assert asked["output"] == str(tmp_path / "training" / "my-brain")
    found = check_cases(asked["data"])
    assert [one.name for one in found.facts] == ["a", "b"]
    assert [label.name for label in found.table] == ["Left hippocampus", "Thalamus"]


def test_overlapping_segments_are_told_in_the_log(scene: Any, trainer: Trainer, caplog: Any) -> None:
    nodes = [add_case(scene, np.eye(4), name) for name in ("a", "b")]
    over = np.zeros(SHAPE, np.uint8)
    over[1, 2:5, 3:5] = HIPPOCAMPUS.value
    ((_, segment),) = mrml.segments_from_labels(over, np.eye(4), [HIPPOCAMPUS])
    segment.SetName("Thalamus")
    nodes[0].GetSegmentation().AddSegment(segment)
    MedAILib.train(nodes, "My brain", progress=False)
    assert "a segments: segments overlap in 6 voxels" in caplog.text
    assert "b segments" not in caplog.text


def test_a_paused_training_goes_on_with_the_cases_that_it_had(scene: Any, trainer: Trainer) -> None:
    nodes = [add_case(scene, np.eye(4), name) for name in ("a", "b")]
    MedAILib.train(nodes, "My brain", minutes=2, progress=False)
    folder = Path(trainer.asked[0][1]["output"])
    (folder / "run.json").write_text(json.dumps(trainer.asked[0][1]))
    (folder / "checkpoint.safetensors").write_bytes(b"weights")
    scene.RemoveNode(scene.GetFirstNodeByName("b"))
    MedAILib.train(nodes[:1], "My brain", minutes=5, progress=False)
    asked = trainer.asked[1][1]
    assert (asked["resume"], asked["seconds"], asked["data"]) == (True, 300.0, trainer.asked[0][1]["data"])
    assert len(check_cases(asked["data"]).facts) == 2


def test_what_is_no_case_is_named_and_nothing_is_trained(scene: Any, trainer: Trainer) -> None:
    lost = add_case(scene, np.eye(4), "lost")
    scene.RemoveNode(scene.GetFirstNodeByName("lost"))
    with pytest.raises(UsageError, match="lost segments has no source volume"):
        MedAILib.train([lost], "My brain", progress=False)
    with pytest.raises(UsageError, match="segmentation nodes"):
        MedAILib.train([scene.GetFirstNodeByName("lost segments"), 3], "My brain", progress=False)
    assert trainer.asked == []
