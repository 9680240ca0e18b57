"""What a user does with the MedAI panel, and what there is to see."""

from __future__ import annotations

import numpy as np


def reason(panel) -> str:
    """What the disabled Apply button says; empty while it can be pressed."""
    return "" if panel.ui.applyButton.enabled else panel.ui.applyButton.toolTip


def press(button) -> None:
    assert button.enabled
    button.click()


def begin(desk, panel, worker) -> None:
    """Press Apply and wait until the worker has the job."""
    jobs = len(worker.jobs)
    press(panel.ui.applyButton)
    assert desk.wait(lambda: len(worker.jobs) > jobs or not busy(panel))


def busy(panel) -> bool:
    return panel._controller.busy


def until_idle(desk, panel) -> None:
    assert desk.wait(lambda: not busy(panel))


def segmentations(desk) -> list:
    scene = desk.scene.scene
    return [
        scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))
    ]


def names(node) -> list[str]:
    content = node.GetSegmentation()
    return [content.GetNthSegment(n).GetName() for n in range(content.GetNumberOfSegments())]


def play(desk, panel, worker, *frames) -> None:
    """Run through the frames of a sequence; a text in place of a label map is the frame's error."""
    press(panel.ui.applyButton)
    for number, labels in enumerate(frames, 1):
        assert desk.wait(lambda number=number: len(worker.jobs) == number)
        if isinstance(labels, str):
            worker.fail("content", labels)
        else:
            worker.finish(labels)
    until_idle(desk, panel)


def blob(k: int) -> np.ndarray:
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[k, 1:3, 1:3] = 10
    return labels
