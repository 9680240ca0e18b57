"""The tab Train with a real worker and a real network: from segmentations of the scene to one made by the model."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

from Panel.steps import press
from Panel.train_steps import busy, choose_source, curves, open_tab

SHAPE = (24, 24, 24)


def add_ball(desk: Any, number: int) -> Any:
    """A bright ball in noise and its segmentation; the segmentation."""
    import slicer

    from MedAILib.image import Image
    from MedAISlicer import mrml

    random = np.random.default_rng(number)
    center = random.uniform(9, 15, 3)
    distance = np.linalg.norm(np.indices(SHAPE) - center[:, None, None, None], axis=0)
    inside = distance < 6.0
    array = (200.0 * inside + random.normal(100.0, 20.0, SHAPE)).astype(np.int16)
    volume = mrml.volume_from_image(desk.scene.scene, Image(array, np.diag([1.5, 1.5, 1.5, 1.0]), f"case {number}"))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"balls {number}")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = slicer.vtkSegment()
    segment.SetName("Ball")
    segment.AddRepresentation(
        "Binary labelmap", mrml.layer_from_array(inside.astype(np.uint8), mrml.local_affine(volume))
    )
    node.GetSegmentation().AddSegment(segment)
    return node


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills the worker by a signal")
def test_a_model_is_trained_on_the_scene_paused_killed_resumed_and_used(desk, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="torch is not installed")
    import slicer

    monkeypatch.setenv("MEDAI_MODELS", str(tmp_path / "models"))
    nodes = [add_ball(desk, number) for number in range(4)]
    panel = desk.load("MedAI")
    ui = open_tab(panel)
    choose_source(ui, 1)
    ui.nameLineEdit.text = "Balls"
    ui.networkComboBox.setCurrentIndex(ui.networkComboBox.findData("residual-unet"))
    ui.deviceComboBox.setCurrentIndex(ui.deviceComboBox.findData("cpu"))
    press(ui.applyButton)
    assert desk.wait(lambda: "Loss" in curves(panel), 120), ui.statusLabel.text
    assert "4 cases can be used." in ui.reportLabel.text
    press(ui.applyButton)
    assert desk.wait(lambda: not busy(panel), 60)
    assert "Paused" in ui.statusLabel.text
    press(ui.applyButton)
    assert desk.wait(lambda: "Dice" in curves(panel) and enough(panel), 240), ui.statusLabel.text
    assert ui.previewLabel.visible or (tmp_path / "training" / "balls" / "preview.png").is_file()

    os.kill(panel._train._worker.pid, signal.SIGKILL)
    assert desk.wait(lambda: not busy(panel), 60)
    ((kind, text),) = desk.messages
    assert kind == "error"
    assert text.startswith("The worker process ended unexpectedly during 'train'")
    assert "Resume goes on" in ui.statusLabel.text
    desk.messages.clear()
    press(ui.applyButton)
    assert desk.wait(lambda: ui.stopButton.enabled and ui.statusLabel.text.startswith("Training"), 120)
    press(ui.stopButton)
    assert desk.wait(lambda: not busy(panel), 120)
    assert desk.messages == []
    assert panel.ui.modelComboBox.currentData == "balls", ui.statusLabel.text

    panel.ui.tabWidget.setCurrentIndex(0)
    volume = slicer.mrmlScene.GetFirstNodeByName("case 0")
    panel.ui.inputSelector.setCurrentNode(volume)
    press(panel.ui.applyButton)
    assert desk.wait(lambda: not panel._controller.busy, 120)
    result = panel.ui.outputSelector.currentNode()
    (segment_id,) = result.GetSegmentation().GetSegmentIDs()
    assert result.GetSegmentation().GetSegment(segment_id).GetName() == "Ball"
    found = slicer.util.arrayFromSegmentBinaryLabelmap(result, segment_id, volume) > 0
    drawn = nodes[0].GetSegmentation().GetNthSegmentID(0)
    truth = slicer.util.arrayFromSegmentBinaryLabelmap(nodes[0], drawn, volume) > 0
    assert 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum()) > 0.8


def enough(panel: Any) -> bool:
    """Whether so many steps were done that a model is made of them."""
    import json

    folder = panel._train._run.folder if panel._train._run is not None else None
    log = folder / "log.jsonl" if folder is not None else None
    lines = log.read_text().splitlines() if log is not None and log.is_file() else []
    return bool(lines) and json.loads(lines[-1])["step"] >= 120
