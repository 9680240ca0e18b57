"""The section Tubes of the tab Correct, with the real tasks on a small broken tube."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Panel.steps import names, press, segmentations

CORRECT = 1


@pytest.fixture
def broken(desk: Any, panel: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The open tab with the tube's segment chosen."""
    import MedAILib.worker.client
    from Harness.segment_editor import qMRMLSegmentEditorWidget
    from Harness.views import LayoutManager, SliceView
    from MRML.tubes import Here, add_tube

    monkeypatch.setattr(MedAILib.worker.client, "shared_worker", Here())
    desk.views = LayoutManager([SliceView("Axial")])
    volume, node = add_tube(desk.scene.scene)
    qMRMLSegmentEditorWidget.opened.clear()
    panel.ui.inputSelector.setCurrentNode(volume)
    panel.ui.outputSelector.setCurrentNode(node)
    panel.ui.tabWidget.setCurrentIndex(CORRECT)
    panel.editor.setCurrentSegmentID("duct")
    yield panel
    qMRMLSegmentEditorWidget.opened.clear()


def done(desk: Any, panel: Any) -> None:
    assert desk.wait(lambda: not panel._correct.tubes.busy)


def voxels(node: Any, segment_id: str, volume: Any) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0


def test_without_a_segment_the_buttons_say_why(panel: Any) -> None:
    panel.ui.tabWidget.setCurrentIndex(CORRECT)
    assert not panel.ui.bridgeButton.enabled
    assert "Choose a segment" in panel.ui.bridgeButton.toolTip


def test_gaps_are_bridged_in_one_undo_step(desk: Any, broken: Any) -> None:
    volume = broken.editor.sourceVolumeNode()
    (node,) = segmentations(desk)
    before = voxels(node, "duct", volume)
    press(broken.ui.bridgeButton)
    done(desk, broken)
    assert desk.messages == []
    after = voxels(node, "duct", volume)
    assert after[16:22].any((1, 2)).all()
    assert (after & before).sum() == before.sum()
    assert "2 parts joined to one tube" in broken.ui.tubesStatusLabel.text
    broken.editor.undo()
    assert np.array_equal(voxels(node, "duct", volume), before)


def test_a_straightened_volume_is_shown_and_what_is_drawn_on_it_comes_back(desk: Any, broken: Any) -> None:
    volume = broken.editor.sourceVolumeNode()
    assert not broken.ui.restoreButton.enabled
    assert "straightened volume" in broken.ui.restoreButton.toolTip
    press(broken.ui.straightenButton)
    done(desk, broken)
    assert desk.messages == []
    first, second = segmentations(desk)
    straight = broken.editor.sourceVolumeNode()
    assert straight.GetName() == "CT along Duct"
    assert desk.shown == [{"background": straight, "fit": True}]
    assert broken.editor.segmentationNode() is second
    assert names(second) == ["Duct"]
    broken.editor.setCurrentSegmentID(second.GetSegmentation().GetNthSegmentID(0))
    press(broken.ui.restoreButton)
    done(desk, broken)
    assert desk.messages == []
    assert names(first) == ["Duct", "Duct (2)"]
    came = voxels(first, first.GetSegmentation().GetNthSegmentID(1), volume)
    old = voxels(first, "duct", volume)
    assert 2 * (came & old).sum() / (came.sum() + old.sum()) > 0.8
    assert broken.editor.sourceVolumeNode() is volume


def test_the_way_back_is_kept_with_the_scene(desk: Any, broken: Any, tmp_path: Path) -> None:
    press(broken.ui.straightenButton)
    done(desk, broken)
    desk.scene.save(tmp_path / "scene.mrb")
    desk.scene.load(tmp_path / "scene.mrb")
    scene = desk.scene.scene
    straight, drawn = (scene.GetFirstNodeByName(f"CT along Duct{end}") for end in ("", " segmentation"))
    broken.editor.setSegmentationNode(drawn)
    broken.editor.setSourceVolumeNode(straight)
    broken.editor.setCurrentSegmentID(drawn.GetSegmentation().GetNthSegmentID(0))
    press(broken.ui.restoreButton)
    done(desk, broken)
    assert desk.messages == []
    assert names(scene.GetFirstNodeByName("Vessels")) == ["Duct", "Duct (2)"]
    assert broken.editor.sourceVolumeNode() is scene.GetFirstNodeByName("CT")


def test_a_way_back_needs_the_volume_that_was_straightened(desk: Any, broken: Any) -> None:
    volume = broken.editor.sourceVolumeNode()
    press(broken.ui.straightenButton)
    done(desk, broken)
    desk.scene.scene.RemoveNode(volume)
    broken._correct.tubes.update()
    second = broken.editor.segmentationNode()
    broken.editor.setCurrentSegmentID(second.GetSegmentation().GetNthSegmentID(0))
    assert not broken.ui.restoreButton.enabled
    assert "no longer in the scene" in broken.ui.restoreButton.toolTip


def test_the_button_that_was_pressed_cancels(desk: Any, broken: Any, worker: Any, monkeypatch: Any) -> None:
    import MedAILib.worker.client

    monkeypatch.setattr(MedAILib.worker.client, "shared_worker", worker)
    ui = broken.ui
    press(ui.straightenButton)
    assert (ui.straightenButton.text, ui.bridgeButton.text) == ("Cancel", "Bridge gaps")
    assert ui.straightenButton.enabled
    assert not ui.bridgeButton.enabled
    assert desk.wait(lambda: bool(worker.jobs))
    press(ui.straightenButton)
    assert not ui.straightenButton.enabled
    done(desk, broken)
    assert (ui.straightenButton.text, ui.straightenButton.enabled) == ("Straighten", True)
    assert "cancel" in ui.tubesStatusLabel.text.lower()
    assert len(segmentations(desk)) == 1
    assert desk.messages == []


def test_an_empty_segment_is_told_in_a_sentence(desk: Any, broken: Any) -> None:
    node = broken.editor.segmentationNode()
    node.GetSegmentation().AddEmptySegment("empty", "Empty")
    broken.editor.setCurrentSegmentID("empty")
    press(broken.ui.bridgeButton)
    done(desk, broken)
    ((kind, text),) = desk.messages
    assert kind == "error"
    assert "empty" in text
    assert broken.ui.tubesStatusLabel.text == text


def test_another_segmentation_in_the_editor_meanwhile_leaves_the_segment_as_it_is(desk: Any, broken: Any) -> None:
    volume = broken.editor.sourceVolumeNode()
    (node,) = segmentations(desk)
    before = voxels(node, "duct", volume)
    press(broken.ui.bridgeButton)
    broken.editor.setSegmentationNode(desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other"))
    done(desk, broken)
    ((_kind, text),) = desk.messages
    assert text == "The Segment Editor shows something else now. Duct was left as it is; try again."
    assert np.array_equal(voxels(node, "duct", volume), before)


def test_a_segment_that_was_changed_meanwhile_is_left_as_it_is(
    desk: Any, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = broken.editor.segmentationNode()
    press(broken.ui.bridgeButton)
    run = broken._correct.tubes._run
    submit = run.submit

    def then_change(index: int) -> Any:
        job = submit(index)
        node.GetSegmentation().GetSegment("duct").GetRepresentation("Binary labelmap").Modified()
        return job

    monkeypatch.setattr(run, "submit", then_change)
    done(desk, broken)
    ((_kind, text),) = desk.messages
    assert text == "Duct was changed meanwhile. It was left as it is; try again."
