"""The Segment Editor effect AI assist, over real MRML and the editor's own logic; the answers are made up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedAILib.errors import ContentError, WorkerError
from MRML.assist import SHAPE, Answerer, add_volume, box
from MRML.nodes import add_transform, place, rotation
from Panel.assist_steps import Bench, ball

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def answerers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for the worker; gives the newest one who is asked."""
    from MedAISlicer.assist import assistants, desk

    Answerer.made.clear()
    plain = assistants.Assistants
    monkeypatch.setattr("MedAISlicer.assist.controller.Assistants", lambda: plain(Answerer))
    monkeypatch.setattr(desk, "ensure", lambda: None)
    yield lambda: Answerer.made[-1]
    Answerer.made.clear()


def open_bench(desk: Any, affine: np.ndarray, parent: np.ndarray | None = None) -> Bench:
    """Register the effect and open an editor with it."""
    import slicer

    from Harness.segment_editor import qMRMLSegmentEditorWidget
    from Harness.views import LayoutManager, SliceView
    from MedAISlicer.assist.register import register_effect

    scene = desk.scene.scene
    volume = add_volume(scene, affine)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    segmentation.CreateDefaultDisplayNodes()
    if parent is not None:
        transform = add_transform(scene, parent)
        for node in (volume, segmentation):
            node.SetAndObserveTransformNodeID(transform.GetID())
    segmentation.GetSegmentation().AddEmptySegment("liver", "Liver")
    assert register_effect()
    editor = qMRMLSegmentEditorWidget()
    bench = Bench(desk, editor, volume, segmentation)
    center = bench.ras((5, 7, 8))
    desk.views = LayoutManager([SliceView(name, tuple(center)) for name in ("Axial", "Coronal")])
    node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(node)
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("liver")
    editor.setActiveEffectByName("AI assist")
    return bench


@pytest.fixture
def bench(desk: Any, answerers: Any) -> Any:
    opened = open_bench(desk, np.diag([2.0, 2.0, 2.0, 1.0]))
    yield opened
    opened.editor.setActiveEffectByName("")
    opened.effect.cleanup()


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


def test_control_draws_the_opposite_and_shift_is_left_to_slicer(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.answer(answerers)
    bench.click((5, 6, 7), control=True)
    bench.answer(answerers, 2)
    assert [prompt.positive for prompt in bench.prompts()] == [True, False]
    assert not bench.mask()[5, 6, 7]
    assert bench.click((5, 6, 7), shift=True) == [False, False]
    assert len(bench.prompts()) == 2


def test_keys_choose_tool_sign_and_brush(bench: Bench, answerers: Any) -> None:
    for key, button in (("s", "strokeButton"), ("x", "boxButton"), ("L", "lassoButton"), ("p", "pointButton")):
        assert bench.key(key)
        assert getattr(bench.ui, button).checked
    assert bench.key("n")
    assert bench.ui.outsideButton.checked and not bench.ui.insideButton.checked
    bench.key("n")
    bench.key("s")
    radius = bench.ui.brushSlider.value
    bench.key("plus")
    assert bench.ui.brushSlider.value > radius
    assert bench.event("MouseWheelBackward", shift=True)
    assert not bench.event("MouseWheelBackward")
    assert not bench.key("z") and not bench.key("q") and not bench.key("f")


def test_buttons_and_sliders_choose_the_same(bench: Bench, answerers: Any) -> None:
    bench.ui.strokeButton.click()
    bench.ui.strokeButton.click()
    assert bench.ui.strokeButton.checked and not bench.ui.pointButton.checked
    bench.ui.brushSlider.setValue(3.0)
    bench.ui.outsideButton.click()
    bench.draw([(5, 6, 6), (5, 6, 9)])
    question, _, _ = bench.asked(answerers).questions[-1]
    assert (question[0].kind, question[0].radius, question[0].positive) == ("stroke", 3.0, False)
    bench.controller.cancel()


def test_a_stroke_marks_what_the_mouse_went_over(bench: Bench, answerers: Any) -> None:
    bench.key("s")
    bench.ui.brushSlider.setValue(0.0)
    assert all(bench.draw([(5, 6, 4), (5, 6, 7), (5, 6, 10)]))
    bench.answer(answerers)
    assert bench.mask()[5, 6, 4:11].all()
    assert not bench.mask()[8].any()


def test_a_lasso_marks_what_it_encloses_in_the_slice(bench: Bench, answerers: Any) -> None:
    bench.key("l")
    bench.draw([(5, 3, 4), (5, 3, 10), (5, 9, 10), (5, 9, 4)])
    question, _, _ = bench.asked(answerers).questions[-1]
    from MedAILib.interactive.prompts import marked

    voxels = marked(question[0], SHAPE, answerers().image.affine)
    assert set(voxels[:, 0]) == {5}
    assert {(6, 7), (4, 5)} <= {tuple(voxel[1:]) for voxel in voxels}
    bench.controller.cancel()


def test_a_box_is_as_deep_as_its_sides_are_long_unless_the_user_says_how_deep(bench: Bench, answerers: Any) -> None:
    from MedAILib.interactive.prompts import box_of

    bench.key("x")
    bench.draw([(5, 4, 5), (5, 8, 9)])
    (prompt,), _, _ = bench.asked(answerers).questions[-1]
    assert box_of(prompt, SHAPE, answerers().image.affine) == box((3, 8), (4, 9), (5, 10))
    bench.controller.cancel()
    bench.ui.depthSlider.setValue(2.0)
    bench.draw([(5, 4, 5), (5, 8, 9)])
    (prompt,), _, _ = bench.asked(answerers, 2).questions[-1]
    k, _, _ = box_of(prompt, SHAPE, answerers().image.affine)
    assert k.stop - k.start <= 3
    bench.controller.cancel()


@pytest.mark.parametrize("tool", ["x", "l"])
def test_a_box_or_lasso_without_extent_asks_nothing(bench: Bench, answerers: Any, tool: str) -> None:
    bench.key(tool)
    bench.click((5, 6, 7))
    assert not bench.controller.busy


@pytest.mark.parametrize("view", ["Axial", "Coronal"])
def test_on_an_oblique_volume_under_a_transform_the_click_lands_where_it_was(
    desk: Any, answerers: Any, view: str
) -> None:
    matrix = rotation(20, (0.2, 0.1, 1.0))
    matrix[:3, 3] = 30.0, -12.0, 5.0
    bench = open_bench(desk, place((1.1, 1.4, 2.5), 15), matrix)
    node = desk.views.sliceWidget(view)
    at = bench.ras((5, 7, 8))
    pixel = node.pixel(at)
    bench.event("LeftButtonPress", pixel, node)
    bench.event("LeftButtonRelease", pixel, node)
    bench.answer(answerers)
    assert np.array_equal(bench.mask(), ball(5, 7, 8))
    bench.effect.cleanup()


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


def test_cancel_leaves_the_segment_as_it_was(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers)
    bench.ui.cancelButton.click()
    assert answerers().jobs[-1].done
    assert not bench.controller.busy
    assert (bench.mask().any(), bench.prompts()) == (False, [])
    assert bench.line == "Cancelled; the segment is as it was."


def test_a_prompt_outside_of_the_volume_is_one_sentence(bench: Bench, answerers: Any) -> None:
    bench.event("LeftButtonPress", (1, 1))
    bench.event("LeftButtonRelease", (1, 1))
    assert bench.line == "That is outside of scan. Draw on the volume that is segmented."
    assert not bench.controller.busy


def test_a_refusal_of_the_worker_is_one_sentence_and_the_prompt_is_forgotten(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers).fail(ContentError("scan is constant: every voxel is 7.\nTraceback"))
    bench.until_idle()
    assert bench.line == "scan is constant: every voxel is 7."
    bench.click((5, 6, 11))
    bench.answer(answerers, 2)
    assert len(answerers().questions[-1][0]) == 1


def test_a_killed_worker_is_told_everything_again(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers).fail(WorkerError("The worker process ended unexpectedly."))
    bench.answer(answerers, 2)
    assert np.array_equal(bench.mask(), ball(5, 6, 7))
    assert "started anew" in bench.line
    bench.click((5, 6, 11))
    bench.asked(answerers, 3).fail(WorkerError("The worker process ended unexpectedly."))
    bench.asked(answerers, 4).fail(WorkerError("The worker process ended unexpectedly."))
    bench.until_idle()
    assert bench.line == "The worker process ended unexpectedly."
    assert np.array_equal(bench.mask(), ball(5, 6, 7))


def test_packages_that_the_user_declines_are_one_sentence(
    bench: Bench, answerers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedAISlicer.requirements import RequirementsError

    def declined() -> None:
        raise RequirementsError("MedAI needs Python packages that were not installed (declined).")

    monkeypatch.setattr(bench.controller, "_prepare", declined)
    bench.click((5, 6, 7))
    bench.until_idle()
    assert "needs Python packages" in bench.line
    assert Answerer.made == []


@pytest.mark.parametrize("deleted", ["scan", "organs"])
def test_a_node_deleted_during_an_answer_is_one_sentence(bench: Bench, answerers: Any, deleted: str) -> None:
    scene = bench.desk.scene.scene
    bench.click((5, 6, 7))
    bench.asked(answerers)
    scene.RemoveNode(scene.GetFirstNodeByName(deleted))
    bench.until_idle()
    assert "dropped" in bench.line
    assert bench.desk.messages == []


def test_a_segment_deleted_during_an_answer_is_one_sentence(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers)
    bench.segmentation.GetSegmentation().RemoveSegment("liver")
    bench.until_idle()
    assert bench.line == "The segment was deleted. The last prompt was dropped."


def test_a_volume_changed_during_an_answer_is_asked_about_anew(bench: Bench, answerers: Any) -> None:
    import slicer

    bench.click((5, 6, 7))
    first = bench.asked(answerers)
    slicer.util.updateVolumeFromArray(bench.volume, np.ones(SHAPE, np.int16))
    first.finish()
    bench.answer(answerers, 2)
    assert answerers() is not first
    assert (answerers().image.array == 1).all()
    assert np.array_equal(bench.mask(), ball(5, 6, 7))
    assert "scan was changed meanwhile" in bench.line


def test_a_segment_painted_during_an_answer_keeps_the_paint(bench: Bench, answerers: Any) -> None:
    from MedAISlicer import mrml

    bench.click((5, 6, 7))
    first = bench.asked(answerers)
    logic = bench.editor.logic
    patch = mrml.layer_from_array(np.ones((1, 1, 1), np.uint8), mrml.local_affine(bench.volume), (9, 9, 9))
    logic.ModifySegmentByLabelmap(bench.segmentation, "liver", patch, logic.ModificationModeAdd, True, True)
    first.finish()
    bench.answer(answerers, 2)
    assert bench.mask()[9, 9, 9]
    assert bench.mask().sum() == 28
    assert "Liver was changed meanwhile" in bench.line


def test_leaving_the_effect_drops_the_answer_and_the_marks(bench: Bench, answerers: Any) -> None:
    bench.click((5, 6, 7))
    bench.asked(answerers)
    assert bench.view.renderer.GetViewProps().GetNumberOfItems() == 1
    bench.editor.setActiveEffectByName("")
    assert not bench.controller.busy
    assert answerers().jobs[-1].done
    assert bench.view.renderer.GetViewProps().GetNumberOfItems() == 0
    assert bench.line == "The last prompt was not answered, because the effect was left."
    bench.editor.setActiveEffectByName("AI assist")


def test_another_volume_drops_the_answer(bench: Bench, answerers: Any) -> None:
    other = add_volume(bench.desk.scene.scene, np.eye(4), "other")
    bench.click((5, 6, 7))
    bench.asked(answerers)
    bench.editor.setSourceVolumeNode(other)
    assert not bench.controller.busy
    assert "was chosen; the last prompt was dropped" in bench.line


def lines(bench: Bench, view: Any = None) -> Any:
    return bench.effect.desk._marks.of(view or bench.view).lines.data


def test_the_prompts_are_shown_in_the_slices_that_they_lie_in(bench: Bench, answerers: Any) -> None:
    bench.click((5, 7, 8))
    bench.answer(answerers)
    assert lines(bench).GetNumberOfLines() == 2
    coronal = bench.desk.views.sliceWidget("Coronal")
    assert lines(bench, coronal).GetNumberOfLines() == 2
    bench.view.node.JumpSliceByCentering(*bench.ras((9, 7, 8)))
    bench.effect.processViewNodeEvents(bench.view.node, 0, bench.view)
    assert lines(bench).GetNumberOfLines() == 0
    assert lines(bench, coronal).GetNumberOfLines() == 2
    bench.editor.undo()
    assert lines(bench, coronal).GetNumberOfLines() == 0


def test_a_brush_and_what_is_being_drawn_are_shown(bench: Bench, answerers: Any) -> None:
    bench.key("s")
    at = bench.view.pixel(bench.ras((5, 7, 8)))
    assert not bench.event("MouseMove", at)
    assert lines(bench).GetNumberOfLines() == 1
    bench.event("LeftButtonPress", at)
    bench.event("MouseMove", (at[0] + 20, at[1]))
    assert lines(bench).GetNumberOfLines() == 2
    bench.event("LeftButtonRelease", (at[0] + 20, at[1]))
    bench.controller.cancel()
    bench.event("Leave", at)
    assert lines(bench).GetNumberOfLines() == 0


def test_marks_move_along_with_the_volume(desk: Any, answerers: Any) -> None:
    bench = open_bench(desk, np.diag([2.0, 2.0, 2.0, 1.0]), np.eye(4))
    bench.click((5, 7, 8))
    bench.answer(answerers)
    before = lines(bench).GetPoint(0)
    from slicer.util import vtkMatrixFromArray

    shift = np.eye(4)
    shift[0, 3] = 10.0
    bench.volume.GetParentTransformNode().SetMatrixTransformToParent(vtkMatrixFromArray(shift))
    after = lines(bench).GetPoint(0)
    assert abs(after[0] - before[0]) == pytest.approx(20.0)
    bench.effect.cleanup()


def test_engine_and_device_are_passed_on(bench: Bench, answerers: Any) -> None:
    for combo, name in ((bench.ui.engineComboBox, "network"), (bench.ui.deviceComboBox, "cpu")):
        combo.qt_object.setCurrentIndex(combo.findData(name))
        combo.qt_object.activated.emit(combo.findData(name))
    bench.click((5, 6, 7))
    engine = bench.asked(answerers).engine
    assert (engine.name, engine.device) == ("network", "cpu")
    bench.controller.cancel()


def test_a_hidden_segment_is_not_drawn_on_before_the_user_agreed(bench: Bench, answerers: Any) -> None:
    effect = bench.editor.effectByName("AI assist")
    effect._confirmation = effect.ConfirmedWithDialog
    assert bench.click((5, 6, 7)) == [True, False]
    assert not bench.controller.busy


def test_two_editors_have_choices_and_answers_of_their_own(bench: Bench, answerers: Any) -> None:
    from Harness.segment_editor import qMRMLSegmentEditorWidget

    other = qMRMLSegmentEditorWidget()
    other.setMRMLSegmentEditorNode(bench.desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    bench.key("s")
    assert other.effectByName("AI assist").parameter("Tool") == "point"
    assert other.effectByName("AI assist").self().desk is not bench.effect.desk
    other.effectByName("AI assist").self().cleanup()


def test_a_point_in_a_3d_view_lies_on_the_surface_that_was_clicked(bench: Bench, answerers: Any) -> None:
    import vtk

    from Harness.views import SIZE, SpaceView

    view = SpaceView()
    cube = vtk.vtkCubeSource()
    cube.SetCenter(*bench.ras((5, 6, 7)))
    cube.SetXLength(4.0)
    cube.SetYLength(4.0)
    cube.SetZLength(4.0)
    mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
    mapper.SetInputConnection(cube.GetOutputPort())
    actor.SetMapper(mapper)
    view.renderer.AddActor(actor)
    camera = view.renderer.GetActiveCamera()
    camera.SetFocalPoint(*bench.ras((5, 6, 7)))
    camera.SetPosition(*(bench.ras((5, 6, 7)) + np.array([0.0, 100.0, 0.0])))
    camera.SetViewUp(0.0, 0.0, 1.0)
    view.renderer.ResetCameraClippingRange()
    middle = (SIZE // 2, SIZE // 2)
    bench.event("LeftButtonPress", middle, view)
    bench.event("LeftButtonRelease", (SIZE // 2 + 30, SIZE // 2), view)
    assert not bench.controller.busy
    bench.event("LeftButtonPress", middle, view)
    assert not bench.event("LeftButtonRelease", middle, view)
    (prompt,), _, _ = bench.asked(answerers).questions[-1]
    np.testing.assert_allclose(prompt.points[0], bench.ras((5, 6, 7)) + np.array([0.0, 1.0, 0.0]), atol=0.2)
    bench.controller.cancel()


@pytest.mark.slow
def test_a_ball_is_found_by_three_strokes_through_a_real_worker(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    import slicer

    from MedAISlicer.assist import desk as desk_module
    from tiny_model import ball as phantom
    from tiny_model import truth

    monkeypatch.setattr(desk_module, "ensure", lambda: None)
    bench = open_bench(desk, np.eye(4))
    array, affine = phantom()
    slicer.util.updateVolumeFromArray(bench.volume, array)
    bench.volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    bench.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(bench.volume)
    inside = np.argwhere(truth(array) > 0)
    k, j, i = (round(float(number)) for number in inside.mean(0))
    bench.view.node.JumpSliceByCentering(*bench.ras((k, j, i)))
    bench.key("s")
    bench.effect.desk._chosen.set("Device", "cpu")
    for voxels, held in (([(k, j - 3, i), (k, j + 3, i)], {}), ([(k, 1, 1), (k, 1, 6)], {"control": True})):
        bench.draw(voxels, **held)
        assert desk.wait(lambda: not bench.controller.busy, 120.0)
        assert not bench.controller.status.failed, bench.line
    expected = truth(array) > 0
    assert 2 * np.count_nonzero(bench.mask() & expected) / (bench.mask().sum() + expected.sum()) > 0.7
    bench.effect.cleanup()
