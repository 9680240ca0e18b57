"""The super-resolution panel with a real worker process and the real methods: from the button to the nodes no fakes."""

from __future__ import annotations

import numpy as np
import pytest

from MedAILib.image import Image
from MedAILib.superres.operators import forward, slice_matrix
from MedAILib.superres.stack import Line
from Panel.registration_steps import nodes_of
from Panel.superres_steps import choose

COUNT, STEP = 12, 4.0
"""Slices, and mm between them; they are as thick."""


def fine() -> Image:
    """Bumps of several sizes on a grid of 1 mm, oblique in the world."""
    shape = (round(COUNT * STEP), 40, 44)
    random = np.random.default_rng(5)
    k, j, i = (np.arange(n, dtype=float) for n in shape)
    array = np.zeros(shape)
    for _ in range(60):
        at, width = random.uniform(0.1, 0.9, 3) * shape, random.uniform(1.5, 6.0)
        parts = [np.exp(-0.5 * ((axis - c) / width) ** 2) for axis, c in zip((k, j, i), at, strict=True)]
        array += random.uniform(100, 400) * parts[0][:, None, None] * parts[1][:, None] * parts[2]
    affine = np.eye(4)
    affine[:3, :3] = [[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]]
    affine[:3, 3] = 4, -9, 20
    return Image(array.astype(np.float32), affine, "fine")


@pytest.fixture
def volumes(desk):
    """The truth, and the node with its thick slices."""
    import slicer

    from MedAISlicer import mrml

    truth = fine()
    line = Line(0.5 * (1.0 - STEP), 1.0, truth.shape[0])
    slices = forward(slice_matrix(COUNT, STEP, line, STEP, "gaussian"), truth.array)
    affine = truth.affine.copy()
    affine[:3, 3] = (truth.affine @ [0, 0, 0.5 * (STEP - 1.0), 1])[:3]
    affine[:3, 2] *= STEP
    node = mrml.volume_from_image(slicer.mrmlScene, Image(np.rint(slices).astype(np.int16), affine, "Thick"))
    return truth, node


def decibels(truth: np.ndarray, found: np.ndarray) -> float:
    error = np.mean((truth - found) ** 2)
    return float(10 * np.log10(np.ptp(truth) ** 2 / error))


@pytest.mark.slow
def test_an_instant_result_lies_on_the_truth_and_beats_the_cubic_interpolation(desk, volumes):
    from MedAISlicer import figures, mrml
    from MedAISlicer.superres import results

    truth, node = volumes
    panel = desk.load("MedAISuperRes")
    panel.ui.inputSelector.setCurrentNode(node)
    choose(panel.ui.methodComboBox, "Deconvolution")
    choose(panel.ui.thicknessComboBox, "Given")
    panel.ui.thicknessSpinBox.setValue(STEP)
    panel.ui.residualCheckBox.click()
    panel.ui.cubicCheckBox.click()
    panel.ui.applyButton.click()
    assert desk.wait(lambda: not panel._controller.busy, 300)
    assert desk.messages == []
    table = panel.ui.resultSelector.currentNode()
    found, cubic = (mrml.image_from_node(figures.referred(table, role)) for role in (results.VOLUME, results.CUBIC))
    assert found.shape == truth.shape
    assert np.allclose(found.affine, truth.affine, atol=0.02)
    assert found.array.dtype == np.int16
    assert decibels(truth.array, found.array) > decibels(truth.array, cubic.array)
    assert "as given" in panel.ui.summaryLabel.text


@pytest.mark.slow
def test_what_was_learned_by_now_can_be_kept(desk, volumes):
    pytest.importorskip("torch", reason="torch is not installed")
    from MedAISlicer import mrml
    from MedAISlicer.superres import results

    _truth, node = volumes
    panel = desk.load("MedAISuperRes")
    panel.ui.inputSelector.setCurrentNode(node)
    choose(panel.ui.methodComboBox, "Learned from the scan")
    choose(panel.ui.qualityComboBox, "As long as")
    panel.ui.budgetSlider.setValue(600)
    panel.ui.deviceComboBox.setCurrentIndex(panel.ui.deviceComboBox.findData("cpu"))
    panel.ui.applyButton.click()
    assert desk.wait(lambda: panel.ui.statusLabel.text.startswith("Learning") or not panel._controller.busy, 300)
    panel.ui.finishButton.click()
    assert desk.wait(lambda: not panel._controller.busy, 300)
    assert desk.messages == []
    (told,) = results.summaries_of(panel.ui.resultSelector.currentNode())
    assert told.concluded
    computed = next(one for one in nodes_of(desk, "vtkMRMLScalarVolumeNode") if one.GetAttribute("MedAI.Computed"))
    assert mrml.image_from_node(computed).shape == fine().shape
