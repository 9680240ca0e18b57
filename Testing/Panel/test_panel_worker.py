"""The panel with a real worker process and a real, tiny network: from the button to the segments nothing is fake."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def real_models(tmp_path, monkeypatch):
    """The user's model folder with a network that finds a ball and its core."""
    pytest.importorskip("torch", reason="torch is not installed")
    from tiny_model import write_model

    write_model(tmp_path / "models" / "tiny")
    monkeypatch.setenv("MEDAI_MODELS", str(tmp_path / "models"))


@pytest.mark.slow
def test_apply_finds_the_ball_cancel_stops_and_nothing_blocks(desk, real_models):
    import slicer

    from tiny_model import ball, truth

    array, affine = ball()
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Balls")
    slicer.util.updateVolumeFromArray(volume, array)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    panel = desk.load("MedAI")
    panel.ui.modelComboBox.setCurrentIndex(panel.ui.modelComboBox.findData("tiny"))
    panel.ui.deviceComboBox.setCurrentIndex(panel.ui.deviceComboBox.findData("cpu"))

    panel.ui.applyButton.click()
    assert desk.wait(lambda: panel.ui.statusLabel.text != "")
    panel.ui.applyButton.click()
    assert desk.wait(lambda: not panel._controller.busy, 300)
    assert panel.ui.statusLabel.text.startswith("Cancelled")

    panel.ui.applyButton.click()
    assert desk.wait(lambda: not panel._controller.busy, 300)
    assert desk.messages == []
    node = panel.ui.outputSelector.currentNode()
    expected = truth(array)
    for name, value in (("Ball", 10), ("Core", 20)):
        segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0
        dice = 2 * np.count_nonzero(found & (expected == value)) / (found.sum() + (expected == value).sum())
        assert dice > 0.7
    assert "Model tiny 1.0" in panel.ui.summaryLabel.text
