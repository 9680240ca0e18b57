"""The Segment Editor effect AI assist, over real MRML and the editor's own logic; the answers are made up."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MRML.assist import Answerer, box
from Panel.assist_steps import Bench, ball, open_bench


def test_the_effect_is_registered_when_slicer_has_started(desk: Any, models: Path, worker: Any) -> None:
    import slicer

    factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
    factory.effects.clear()
    desk.load("MedAI")
    for slot in slicer.app._slots["startupCompleted()"][-2:]:
        slot()
    (effect,) = factory.effects
    assert (effect.name, effect.title) == ("AI assist", "AI assist")
    assert not effect.self().icon().isNull()
    assert "undo" in effect.self().helpText()
    assert effect.clone().self() is not effect.self()


def test_without_a_segment_editor_nothing_is_registered(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedAISlicer.assist.register import register_effect

    monkeypatch.setitem(sys.modules, "qSlicerSegmentationsEditorEffectsPythonQt", None)
    assert not register_effect()


def test_a_click_is_answered_and_written_with_one_undo_state(bench: Bench, answerers: Any) -> None:
    assert bench.click((5, 6, 7)) == [True, True]
    bench.answer(answerers, notes=("The object touches the border.",))
    assert np.array_equal(bench.mask(), ball(5, 6, 7))
    assert [prompt.kind for prompt in bench.prompts()] == ["point"]
    assert bench.line.startswith("Liver: Learn from my strokes, 0.1 s on cpu. Volume +0.22 ml.")
    assert "The object touches the border." in bench.line
    bench.editor.undo()
    assert not bench.mask().any()
    assert bench.prompts() == []
    assert not bench.editor.logic.CanUndo()
    bench.editor.redo()
    assert np.array_equal(bench.mask(), ball(5, 6, 7))
    assert len(bench.prompts()) == 1


def test_the_mouse_never_waits_for_the_answer(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    assert Answerer.made == []
    assert bench.ui.cancelButton.visible is not None
    bench.asked(answerers)
    assert bench.controller.busy
    bench.controller.cancel()


def test_a_prompt_during_an_answer_supersedes_it_and_both_are_asked_for(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    first = bench.asked(answerers).jobs[-1]
    bench.click((5, 6, 11))
    assert first.done
    bench.answer(answerers, 2)
    assert len(answerers().questions[-1][0]) == 2
    assert np.array_equal(bench.mask(), ball(5, 6, 7) | ball(5, 6, 11))
    assert len(bench.prompts()) == 2
    assert len(Answerer.made) == 1


def test_a_prompt_for_another_segment_waits_for_the_answer(bench: Bench, answerers: Any) -> None:
    bench.segmentation.GetSegmentation().AddEmptySegment("spleen", "Spleen")
    bench.click((5, 6, 7))
    first = bench.asked(answerers).jobs[-1]
    bench.ui.nextButton.click()
    bench.click((5, 10, 12))
    bench.click((5, 11, 12))
    assert not first.done
    answerers().finish()
    bench.asked(answerers, 2).finish()
    bench.until_idle()
    assert np.array_equal(bench.mask("Liver"), ball(5, 6, 7))
    assert np.array_equal(bench.mask("Spleen"), ball(5, 10, 12) | ball(5, 11, 12))
    assert [len(bench.prompts("Liver")), len(bench.prompts("Spleen"))] == [1, 2]


def test_what_was_drawn_for_other_segments_is_told_and_they_are_never_touched(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.answer(answerers)
    bench.ui.nextButton.click()
    name = bench.segmentation.GetSegmentation().GetNthSegment(1).GetName()
    bench.click((5, 6, 9))
    bench.answer(answerers, 2)
    prompts, label, _ = answerers().questions[-1]
    assert [prompt.label == label for prompt in prompts] == [False, True]
    assert np.array_equal(bench.mask(), ball(5, 6, 7))
    assert np.array_equal(bench.mask(name), ball(5, 6, 9) & ~ball(5, 6, 7))
    assert "9 voxels belong to other segments and were left to them" in bench.line
    bench.editor.undo()
    bench.ui.overwriteCheckBox.click()
    bench.click((5, 6, 9))
    bench.answer(answerers, 3)
    assert np.array_equal(bench.mask(name), ball(5, 6, 9))
    assert np.array_equal(bench.mask(), ball(5, 6, 7) & ~ball(5, 6, 9))


def test_the_editable_intensity_range_is_obeyed_and_told(bench: Bench, answerers: Any) -> None:
    node = bench.editor.mrmlSegmentEditorNode()
    node.SetSourceVolumeIntensityMask(True)
    node.SetSourceVolumeIntensityMaskRange(70.0, 80.0)
    bench.click((5, 6, 7))
    bench.answer(answerers)
    assert bench.mask().sum() == 18
    assert "masking settings kept 9 voxels" in bench.line


def test_next_segment_goes_through_the_list_and_adds_one_at_its_end(bench: Bench, answerers: Any) -> None:
    content = bench.segmentation.GetSegmentation()
    spleen = content.AddEmptySegment("spleen", "Spleen")
    bench.ui.nextButton.click()
    assert bench.editor.currentSegmentID() == spleen
    bench.ui.nextButton.click()
    assert content.GetNumberOfSegments() == 3
    assert bench.editor.currentSegmentID() == content.GetNthSegmentID(2)


def test_an_empty_segmentation_gets_a_segment_with_the_first_prompt(bench: Bench, answerers: Any) -> None:
    bench.segmentation.GetSegmentation().RemoveAllSegments()
    bench.editor.mrmlSegmentEditorNode().SetSelectedSegmentID("")
    bench.click((5, 6, 7))
    bench.answer(answerers)
    name = bench.segmentation.GetSegmentation().GetNthSegment(0).GetName()
    assert np.array_equal(bench.mask(name), ball(5, 6, 7))


def test_prompts_are_cleared_as_one_step_and_the_voxels_stay(bench: Bench, answerers: Any) -> None:
    bench.ui.clearButton.click()
    assert bench.line == "The segment has no prompts."
    bench.click((5, 6, 7))
    bench.answer(answerers)
    bench.ui.clearButton.click()
    assert bench.prompts() == []
    assert bench.mask().any()
    bench.editor.undo()
    assert len(bench.prompts()) == 1


def test_a_boundary_is_refined_as_one_step(bench: Bench, answerers: Any) -> None:
    from MedAILib.interactive.request import Reply

    bench.ui.refineButton.click()
    assert bench.line == "There is nothing to refine. Choose a segment that is not empty."
    bench.click((5, 6, 7))
    bench.answer(answerers)
    bench.ui.refineButton.click()
    where = box((4, 7), (5, 8), (6, 11))
    reply = Reply(where, np.ones((3, 3, 5), bool), ("Volume 0.2 to 0.4 ml.",), "online", 0.3, "cpu")
    bench.answer(answerers, 2, reply=reply)
    assert answerers().widths == [2.0]
    assert bench.mask().sum() == 45
    assert bench.line.startswith("Liver: boundary refined, 0.3 s on cpu. Volume +0.14 ml.")
    assert len(bench.prompts()) == 1
    bench.editor.undo()
    assert bench.mask().sum() == 27


def test_a_preview_is_shown_and_written_only_when_accepted(bench: Bench, answerers: Any) -> None:
    scene = bench.desk.scene.scene
    bench.ui.previewCheckBox.click()
    bench.click((5, 6, 7))
    bench.answer(answerers)
    assert not bench.mask().any()
    preview = scene.GetFirstNodeByName("AI assist preview")
    assert preview.GetHideFromEditors() and not preview.GetSaveWithScene()
    assert not bench.ui.acceptButton.qt_object.isHidden()
    bench.click((5, 6, 11))
    bench.answer(answerers, 2)
    bench.ui.acceptButton.click()
    assert np.array_equal(bench.mask(), ball(5, 6, 7) | ball(5, 6, 11))
    assert scene.GetFirstNodeByName("AI assist preview") is None
    bench.editor.undo()
    assert bench.prompts() == []
    bench.click((5, 6, 7))
    bench.answer(answerers, 3)
    assert bench.key("BackSpace")
    assert not bench.mask().any()
    assert bench.line == "The answer was discarded; the segment is as it was."
    assert scene.GetFirstNodeByName("AI assist preview") is None


def test_engine_and_device_are_passed_on(bench: Bench, answerers: Any) -> None:
    for combo, name in ((bench.ui.engineComboBox, "network"), (bench.ui.deviceComboBox, "cpu")):
        combo.qt_object.setCurrentIndex(combo.findData(name))
        combo.qt_object.activated.emit(combo.findData(name))
    bench.ui.modelPathLineEdit.setCurrentPath("own/network")
    bench.click((5, 6, 7))
    engine = bench.asked(answerers).engine
    assert (engine.name, engine.device, engine.model) == ("network", "cpu", "own/network")
    bench.controller.cancel()


def test_two_editors_have_choices_and_answers_of_their_own(bench: Bench, answerers: Any) -> None:
    from Harness.segment_editor import qMRMLSegmentEditorWidget

    other = qMRMLSegmentEditorWidget()
    other.setMRMLSegmentEditorNode(bench.desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    bench.key("s")
    assert other.effectByName("AI assist").parameter("Tool") == "point"
    assert other.effectByName("AI assist").self().desk is not bench.effect.desk
    other.effectByName("AI assist").self().cleanup()


@pytest.mark.slow
def test_a_ball_is_found_by_strokes_through_a_real_worker(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    import slicer

    from MedAILib.worker import shared_worker
    from MedAISlicer.assist import desk as desk_module
    from tiny_model import ball as phantom
    from tiny_model import truth

    monkeypatch.setattr(desk_module, "ensure", lambda: None)
    bench = open_bench(desk, np.eye(4))
    array, affine = phantom()
    slicer.util.updateVolumeFromArray(bench.volume, array)
    bench.volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    bench.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(bench.volume)
    k, _j, i = (round(float(number)) for number in np.argwhere(truth(array) > 0).mean(0))
    across = np.flatnonzero(truth(array)[k, :, i])
    bench.view.node.JumpSliceByCentering(*bench.ras((k, 1, i)))
    bench.key("s")
    bench.effect.desk._chosen.set("Device", "cpu")
    for voxels, held in (([(k, across[1], i), (k, across[-2], i)], {}), ([(k, 1, 1), (k, 1, 6)], {"control": True})):
        bench.draw(voxels, **held)
        assert desk.wait(lambda: not bench.controller.busy, 120.0)
        assert not bench.controller.status.failed, bench.line
        if os.name == "posix":
            os.kill(shared_worker("cpu").pid or 0, signal.SIGKILL)  # the next prompt is answered all the same
    expected = truth(array) > 0
    assert 2 * np.count_nonzero(bench.mask() & expected) / (bench.mask().sum() + expected.sum()) > 0.7
    bench.effect.cleanup()
