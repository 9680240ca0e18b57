"""The registration panel with a real worker process and the real engine: from the button to the nodes no fakes."""

from __future__ import annotations

import numpy as np
import pytest

from MedAILib.image import Image
from MedAILib.transforms import Transform, warp_image
from Panel.registration_steps import choose, nodes_of, rows

SHAPE = (32, 36, 40)


def head(center: tuple[float, float, float]) -> Image:
    """Nested ellipsoids, off the middle of each other so that only one pose fits, around a world point."""
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -57.0, -51.0, -45.0
    k, j, i = np.indices(SHAPE, dtype=float)
    x, y, z = (np.stack([i, j, k], -1) @ affine[:3, :3].T + affine[:3, 3] - center).transpose(3, 0, 1, 2)
    array = np.zeros(SHAPE)
    for gray, middle, radii in (
        (400.0, (0, 0, 0), (34, 42, 30)),
        (300.0, (-8, 12, 4), (16, 14, 12)),
        (-250.0, (12, -10, -6), (9, 16, 10)),
        (200.0, (4, 20, -10), (7, 6, 9)),
    ):
        parts = ((x - middle[0]) / radii[0], (y - middle[1]) / radii[1], (z - middle[2]) / radii[2])
        distance = np.sqrt(sum(part**2 for part in parts))
        array += gray / (1.0 + np.exp(12.0 * (distance - 1.0)))
    noise = np.random.default_rng(4).normal(0, 4, SHAPE)
    return Image((array + noise).astype(np.float32), affine, "head")


def moved(image: Image) -> tuple[Image, np.ndarray]:
    """The image turned and shifted, and the matrix from its old to its new world points."""
    angle = np.radians(8)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = 9.0, -6.0, 5.0
    return warp_image(image, image, Transform.from_matrix(np.linalg.inv(matrix))), matrix


@pytest.fixture
def volumes(desk):
    """A fixed volume, the same one moved, and what took it there."""
    pytest.importorskip("torch", reason="torch is not installed")
    import slicer

    from MedAISlicer import mrml

    fixed = head((0, 0, 0))
    moving, matrix = moved(fixed)
    nodes = []
    for name, image in (("Fixed", fixed), ("Moving", moving)):
        node = mrml.volume_from_image(slicer.mrmlScene, image)
        node.SetName(name)
        nodes.append(node)
    return nodes[0], nodes[1], matrix


@pytest.mark.slow
def test_apply_brings_a_moved_volume_back_cancel_stops_and_nothing_blocks(desk, volumes):
    fixed, moving, matrix = volumes
    panel = desk.load("MedAIRegistration")
    choose(panel, fixed, moving)
    panel.ui.deviceComboBox.setCurrentIndex(panel.ui.deviceComboBox.findData("cpu"))
    panel.ui.presetComboBox.setCurrentIndex(1)
    panel.ui.jacobianCheckBox.click()
    panel.ui.inverseCheckBox.click()

    panel.ui.applyButton.click()
    assert desk.wait(lambda: panel.ui.statusLabel.text != "")
    panel.ui.applyButton.click()
    assert desk.wait(lambda: not panel._controller.busy, 300)
    assert panel.ui.statusLabel.text.startswith("Cancelled")

    panel.ui.applyButton.click()
    assert desk.wait(lambda: not panel._controller.busy, 300)
    assert desk.messages == []
    figures = rows(panel.ui.qualityTable.mrmlTableNode())
    before, after = figures["Local correlation"]
    assert after > before
    assert figures["Folds"][1] == 0.0
    (transform, inverse) = nodes_of(desk, "vtkMRMLGridTransformNode")
    inside = np.array([[0.0, 0, 0], [15, 10, -5], [-10, -15, 8]])
    expected = inside @ matrix[:3, :3].T + matrix[:3, 3]
    found = [transform.GetTransformFromParent().TransformPoint(point) for point in inside]
    assert np.linalg.norm(found - expected, axis=1).max() < 2.0
    back = [inverse.GetTransformFromParent().TransformPoint(point) for point in found]
    assert np.linalg.norm(back - inside, axis=1).max() < 0.5
    assert "Contrast: same." in panel.ui.summaryLabel.text


@pytest.mark.slow
def test_the_console_registers_nodes_rigidly(desk, volumes):
    import MedAILib

    fixed, moving, matrix = volumes
    done = MedAILib.register(fixed, moving, kind="rigid", device="cpu", inverse=True, progress=False)
    found = np.array([done.transform.GetTransformFromParent().TransformPoint(0, 0, 0)])
    assert np.linalg.norm(found - matrix[:3, 3]) < 1.0
    assert done.volume.GetName() == "Moving registered"
    assert done.inverse.GetClassName() == "vtkMRMLLinearTransformNode"
    assert done.jacobian is None
    (summary,) = done.summaries
    assert summary.kind == "rigid"
    assert summary.similarity.after > summary.similarity.before
