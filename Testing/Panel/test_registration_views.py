"""The buttons that compare: each shows its view, pressed again it brings back what was seen before."""

from __future__ import annotations

import pytest

from Panel.registration_steps import bumpy, choose, finish, nodes_of
from Panel.steps import begin, press, until_idle


@pytest.fixture
def view(desk):
    """A slice view that shows nothing yet."""
    return desk.scene.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")


@pytest.fixture
def done(desk, registration, worker, add_volume, view):
    """A panel with a result that has every output."""
    choose(registration, add_volume("Fixed", bumpy()), add_volume("Moving", bumpy()))
    registration.ui.jacobianCheckBox.click()
    begin(desk, registration, worker)
    finish(worker)
    until_idle(desk, registration)
    return registration


def buttons(panel) -> dict:
    names = ("fade", "checkerboard", "flicker", "difference", "grid", "jacobian")
    return {name: getattr(panel.ui, f"{name}Button") for name in names}


def test_without_a_result_no_view_can_be_chosen(registration):
    for button in buttons(registration).values():
        assert not button.enabled
        assert button.toolTip == "There is no result to look at."


def test_a_new_result_is_shown_at_once(done, view):
    assert done.ui.fadeButton.checked
    assert view.GetBackgroundVolumeID() == done.ui.fixedSelector.currentNode().GetID()
    press(done.ui.fadeButton)
    assert view.GetBackgroundVolumeID() is None


def test_a_new_result_is_not_shown_while_another_module_is_open(desk, done, worker, view):
    press(done.ui.fadeButton)
    begin(desk, done, worker)
    desk.leave(done)
    finish(worker)
    until_idle(desk, done)
    assert view.GetBackgroundVolumeID() is None


def test_a_view_is_shown_and_ended_by_its_button(desk, done, view):
    press(done.ui.fadeButton)
    for name, button in buttons(done).items():
        assert button.enabled, name
        press(button)
        assert view.GetBackgroundVolumeID() is not None
        assert [other for other, one in buttons(done).items() if one.checked] == [name]
    press(buttons(done)["jacobian"])
    assert view.GetBackgroundVolumeID() is None
    assert not any(button.checked for button in buttons(done).values())
    assert desk.messages == []


def test_the_slider_fades(done, view):
    press(done.ui.fadeButton)
    assert not done.ui.fadeSlider.enabled
    press(done.ui.fadeButton)
    assert done.ui.fadeSlider.enabled
    assert view.GetForegroundOpacity() == pytest.approx(0.5)
    done.ui.fadeSlider.setValue(80)
    assert view.GetForegroundOpacity() == pytest.approx(0.8)


def test_flicker_shows_both_volumes_in_turn_until_it_is_ended(desk, done, view):
    press(done.ui.flickerButton)
    assert desk.wait(lambda: view.GetForegroundOpacity() == 1.0, 5)
    assert desk.wait(lambda: view.GetForegroundOpacity() == 0.0, 5)
    press(done.ui.flickerButton)
    assert not done._views.flickering


def test_a_deleted_part_of_the_result_disables_its_view(desk, done):
    from MedAISlicer.registration import quality

    table = done.ui.resultSelector.currentNode()
    desk.scene.scene.RemoveNode(quality.referred(table, quality.TRANSFORM))
    assert not done.ui.gridButton.enabled
    assert "no transform" in done.ui.gridButton.toolTip
    assert done.ui.fadeButton.enabled


def test_a_deleted_result_ends_its_view(desk, done, view):
    desk.scene.scene.RemoveNode(done.ui.resultSelector.currentNode())
    assert view.GetBackgroundVolumeID() is None
    assert not done.ui.fadeButton.enabled
    assert done.ui.summaryLabel.text == "No result yet."


def test_a_new_run_ends_the_view(desk, done, worker, view):
    begin(desk, done, worker)
    assert view.GetBackgroundVolumeID() is None
    finish(worker)
    until_idle(desk, done)


def test_nothing_flickers_in_another_module(desk, done):
    press(done.ui.flickerButton)
    desk.leave(done)
    assert not done._views.flickering


def test_undo_takes_the_volumes_along_that_were_made_to_compare(desk, done):
    press(done.ui.checkerboardButton)
    press(done.ui.differenceButton)
    press(done.ui.undoButton)
    names = [node.GetName() for node in nodes_of(desk, "vtkMRMLScalarVolumeNode")]
    assert names == ["Fixed", "Moving"]


def test_closing_the_scene_stops_the_flicker(desk, done):
    press(done.ui.flickerButton)
    desk.scene.scene.Clear(False)
    assert not done._views.flickering
    assert not done.ui.flickerButton.checked
