"""What is drawn in the views of Slicer becomes the prompt that the user meant, and is shown where it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MRML.assist import SHAPE, box
from MRML.nodes import place, rotation
from Panel.assist_steps import Bench, ball, open_bench


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
    bench.ui.marksCheckBox.click()
    assert lines(bench, coronal).GetNumberOfLines() == 0
    bench.ui.marksCheckBox.click()
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


def test_a_hidden_segment_is_not_drawn_on_before_the_user_agreed(bench: Bench, answerers: Any) -> None:
    effect = bench.editor.effectByName("AI assist")
    effect._confirmation = effect.ConfirmedWithDialog
    assert bench.click((5, 6, 7)) == [True, False]
    assert not bench.controller.busy


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


def test_a_pixel_means_the_place_that_slicers_own_effects_take_it_for(desk: Any) -> None:
    import slicer

    from Harness.views import SliceView
    from MedAISlicer.assist.views import Frame

    view = SliceView("Coronal", (12.0, -7.5, 30.0))
    matrix = rotation(25)
    for row in range(3):
        for column in range(3):
            view.node.GetSliceToRAS().SetElement(row, column, matrix[row, column])
    view.node.UpdateMatrices()
    frame = Frame(view.node)
    for pixel in ((0, 0), (37, 151)):
        expected = [0.0, 0.0, 0.0]
        slicer.vtkSlicerSegmentEditorLogic.XyToRas(pixel, expected, view.node)
        np.testing.assert_allclose(frame.ras(*pixel), expected, atol=1e-9)
        np.testing.assert_allclose(frame.pixels(frame.ras(*pixel)[np.newaxis])[0], pixel, atol=1e-9)
    np.testing.assert_allclose(frame.plane.normal, matrix[:3, 2], atol=1e-9)


def test_a_click_marks_the_voxel_that_slicers_own_effects_would_take(desk: Any, answerers: Any) -> None:
    """On an oblique volume under a transform, by the function that Slicer's own Islands and Level tracing use."""
    import slicer

    from MedAILib.interactive.prompts import marked
    from MedAISlicer import mrml

    matrix = rotation(20, (0.2, 0.1, 1.0))
    matrix[:3, 3] = 30.0, -12.0, 5.0
    bench = open_bench(desk, place((1.1, 1.4, 2.5), 15), matrix)
    image = mrml.layer_from_array(np.zeros(SHAPE, np.uint8), mrml.local_affine(bench.volume))
    parent = bench.volume.GetParentTransformNode()
    for number, pixel in enumerate(((96, 103), (101, 98), (104, 106)), 1):
        native = [0, 0, 0]
        slicer.vtkSlicerSegmentEditorLogic.XyToIjk(pixel, native, bench.view.node, image, parent)
        i, j, k = native
        bench.event("LeftButtonPress", pixel)
        bench.event("LeftButtonRelease", pixel)
        prompts, _, _ = bench.asked(answerers, number).questions[-1]
        assert marked(prompts[-1], SHAPE, answerers().image.affine).tolist() == [[k, j, i]]
    bench.effect.cleanup()
