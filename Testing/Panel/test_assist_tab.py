"""The tab Correct of the MedAI panel: a Segment Editor of its own, which goes on from an automatic result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from Panel.assist_steps import Bench
from Panel.steps import begin, names, press, segmentations, until_idle

AUTO, CORRECT = range(2)


@pytest.fixture
def editors() -> Any:
    """The Segment Editors that were opened since."""
    from Harness.segment_editor import qMRMLSegmentEditorWidget

    qMRMLSegmentEditorWidget.opened.clear()
    yield qMRMLSegmentEditorWidget.opened
    qMRMLSegmentEditorWidget.opened.clear()


@pytest.fixture
def segmented(desk: Any, panel: Any, worker: Any, add_volume: Any, editors: Any, answerers: Any) -> Any:
    """The panel with the automatic result of a volume: a ball with a core."""
    from Harness.views import LayoutManager, SliceView

    panel.ui.inputSelector.setCurrentNode(add_volume("Head"))
    begin(desk, panel, worker)
    worker.finish()
    until_idle(desk, panel)
    desk.views = LayoutManager([SliceView("Axial", (4.0, 4.5, 6.0))])
    return panel


def bench_of(desk: Any, panel: Any, editors: Any) -> Bench:
    return Bench(desk, editors[0], panel.ui.inputSelector.currentNode(), segmentations(desk)[0])


def test_the_panel_makes_no_editor_before_the_tab_is_seen(panel: Any, editors: Any) -> None:
    assert panel.ui.tabWidget.currentIndex == AUTO
    assert editors == []
    assert panel.editor is None
    panel.ui.tabWidget.setCurrentIndex(CORRECT)
    panel.ui.tabWidget.setCurrentIndex(AUTO)
    panel.ui.tabWidget.setCurrentIndex(CORRECT)
    assert len(editors) == 1
    assert editors[0].shortcuts


def test_the_tab_has_the_effect_although_slicer_has_not_started_up_yet(panel: Any, editors: Any) -> None:
    import slicer

    slicer.qSlicerSegmentEditorEffectFactory.instance().effects.clear()
    panel.ui.tabWidget.setCurrentIndex(CORRECT)
    assert editors[0].effectByName("AI assist") is not None


def test_without_a_result_there_is_nothing_to_correct(panel: Any, editors: Any) -> None:
    assert not panel.ui.correctButton.enabled


def test_a_result_is_corrected_with_one_press_and_a_click(
    desk: Any, segmented: Any, editors: Any, answerers: Any
) -> None:
    press(segmented.ui.correctButton)
    assert segmented.ui.tabWidget.currentIndex == CORRECT
    (editor,) = editors
    (node,) = segmentations(desk)
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode().GetName() == "Head"
    assert node.GetSegmentation().GetSegment(editor.currentSegmentID()).GetName() == "Ball"
    assert editor.activeEffect().name == "AI assist"
    bench = bench_of(desk, segmented, editors)
    before, core = bench.mask("Ball"), bench.mask("Core")
    bench.click((3, 5, 6), control=True)
    _, _, current = bench.asked(answerers).questions[-1]
    assert np.array_equal(current, before)
    answerers().finish()
    bench.until_idle()
    changed = before & ~bench.mask("Ball")
    assert changed.sum() == 1
    assert changed[3, 5, 6]
    assert np.array_equal(bench.mask("Core"), core)
    editor.undo()
    assert np.array_equal(bench.mask("Ball"), before)
    assert desk.messages == []


def test_what_was_corrected_is_never_overwritten_by_a_new_run(
    desk: Any, segmented: Any, worker: Any, editors: Any, answerers: Any
) -> None:
    press(segmented.ui.correctButton)
    bench = bench_of(desk, segmented, editors)
    bench.click((3, 5, 6), control=True)
    bench.answer(answerers)
    corrected = bench.mask("Ball")
    segmented.ui.tabWidget.setCurrentIndex(AUTO)
    begin(desk, segmented, worker)
    worker.finish()
    until_idle(desk, segmented)
    assert sorted(names(bench.segmentation)) == ["Ball", "Ball (2)", "Core"]
    assert np.array_equal(bench.mask("Ball"), corrected)
    assert len(bench.prompts("Ball")) == 1


def test_a_new_run_is_an_undo_step_of_the_tab_too(desk: Any, segmented: Any, worker: Any, editors: Any) -> None:
    import slicer

    press(segmented.ui.correctButton)
    slicer.modules.MedAIWidget = segmented
    editors[0].logic.ClearUndoState()
    segmented.ui.tabWidget.setCurrentIndex(AUTO)
    begin(desk, segmented, worker)
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[1:3, 1:3, 1:3] = 10
    worker.finish(labels)
    until_idle(desk, segmented)
    assert editors[0].logic.CanUndo()
    editors[0].undo()
    assert names(segmentations(desk)[0]) == ["Ball", "Core"]


def test_a_mask_of_ones_own_is_corrected_without_a_model(
    desk: Any, panel: Any, add_volume: Any, editors: Any, answerers: Any
) -> None:
    volume = add_volume("Head")
    own = desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    panel.ui.inputSelector.setCurrentNode(volume)
    panel.ui.outputSelector.setCurrentNode(own)
    panel.ui.tabWidget.setCurrentIndex(CORRECT)
    assert editors[0].segmentationNode() is own
    assert editors[0].sourceVolumeNode() is volume


def test_leaving_the_tab_or_the_module_ends_the_effect_and_its_keys(desk: Any, segmented: Any, editors: Any) -> None:
    press(segmented.ui.correctButton)
    (editor,) = editors
    assert editor.shortcuts and editor.observing
    desk.leave(segmented)
    assert (editor.activeEffect(), editor.shortcuts, editor.observing) == (None, False, False)
    desk.enter(segmented)
    assert editor.shortcuts
    segmented.ui.tabWidget.setCurrentIndex(AUTO)
    assert not editor.shortcuts


def test_a_closed_scene_leaves_a_tab_that_works(
    desk: Any, segmented: Any, add_volume: Any, editors: Any, answerers: Any
) -> None:
    press(segmented.ui.correctButton)
    bench = bench_of(desk, segmented, editors)
    bench.click((3, 5, 6))
    bench.asked(answerers)
    desk.scene.scene.Clear(False)
    assert not bench.controller.busy
    assert editors[0].segmentationNode() is None
    volume = add_volume("Next")
    own = desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    segmented.ui.inputSelector.setCurrentNode(volume)
    segmented.ui.outputSelector.setCurrentNode(own)
    press(segmented.ui.correctButton)
    assert editors[0].segmentationNode() is own
    assert editors[0].activeEffect().name == "AI assist"
    assert desk.messages == []


def test_the_choices_and_the_prompts_come_back_with_the_scene(
    desk: Any, segmented: Any, editors: Any, answerers: Any, tmp_path: Any
) -> None:
    press(segmented.ui.correctButton)
    bench = bench_of(desk, segmented, editors)
    bench.click((3, 5, 6))
    bench.answer(answerers)
    bench.key("l")
    desk.scene.save(tmp_path / "scene.mrb")
    desk.scene.load(tmp_path / "scene.mrb")
    (node,) = segmentations(desk)
    again = Bench(desk, editors[0], desk.scene.scene.GetFirstNodeByName("Head"), node)
    assert len(again.prompts("Ball")) == 1
    press(segmented.ui.correctButton)
    assert again.ui.lassoButton.checked
    again.key("p")
    again.click((2, 5, 6))
    assert len(again.asked(answerers, 2).questions[-1][0]) == 2
    again.controller.cancel()
