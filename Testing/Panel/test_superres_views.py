"""The buttons that compare: each shows its view of a computed volume, beside the cubic interpolation or the input."""

from __future__ import annotations

import pytest

from Panel.registration_steps import nodes_of
from Panel.steps import begin, press, until_idle
from Panel.superres_steps import add_frames, add_thick, choose, finish


@pytest.fixture
def view(desk):
    """A slice view that shows nothing yet."""
    return desk.scene.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")


@pytest.fixture
def done(desk, worker, view):
    """A panel with a result that has the maps."""
    superres = desk.load("MedAISuperRes")
    superres.ui.inputSelector.setCurrentNode(add_thick(desk))
    superres.ui.uncertaintyCheckBox.click()
    superres.ui.residualCheckBox.click()
    begin(desk, superres, worker)
    finish(worker)
    until_idle(desk, superres)
    return superres


def buttons(panel) -> dict:
    names = ("fade", "checkerboard", "flicker", "difference", "uncertainty", "residual")
    return {name: getattr(panel.ui, f"{name}Button") for name in names}


def name_of(node_id: str) -> str:
    import slicer

    return slicer.mrmlScene.GetNodeByID(node_id).GetName()


def test_without_a_result_no_view_can_be_chosen(desk, worker):
    for button in buttons(desk.load("MedAISuperRes")).values():
        assert not button.enabled
        assert button.toolTip == "There is no result to look at."


def test_a_new_result_is_faded_with_the_cubic_interpolation(done, view):
    assert done.ui.fadeButton.checked
    assert name_of(view.GetBackgroundVolumeID()) == "Head figures cubic"
    assert name_of(view.GetForegroundVolumeID()) == "Head super-resolution"
    assert done.ui.fadeOtherLabel.text == "Cubic"
    press(done.ui.fadeButton)
    assert view.GetBackgroundVolumeID() is None


def test_it_can_be_compared_with_the_input_instead(done, view):
    choose(done.ui.baselineComboBox, "Input")
    assert not done.ui.fadeButton.checked
    assert done.ui.fadeOtherLabel.text == "Input"
    press(done.ui.fadeButton)
    assert name_of(view.GetBackgroundVolumeID()) == "Head"


def test_a_view_is_shown_and_ended_by_its_button(desk, done, view):
    press(done.ui.fadeButton)
    for name, button in buttons(done).items():
        assert button.enabled, name
        press(button)
        assert view.GetBackgroundVolumeID() is not None
        assert [other for other, one in buttons(done).items() if one.checked] == [name]
    press(done.ui.residualButton)
    assert view.GetBackgroundVolumeID() is None
    assert desk.messages == []


def test_the_maps_lie_over_what_they_are_about(done, view):
    press(done.ui.uncertaintyButton)
    assert name_of(view.GetBackgroundVolumeID()) == "Head super-resolution"
    assert name_of(view.GetForegroundVolumeID()) == "Head uncertainty"
    press(done.ui.residualButton)
    assert name_of(view.GetBackgroundVolumeID()) == "Head"
    assert name_of(view.GetForegroundVolumeID()) == "Head residual"


def test_flicker_goes_on_until_it_is_ended_or_the_module_left(desk, done, view):
    press(done.ui.flickerButton)
    assert desk.wait(lambda: view.GetForegroundOpacity() == 1.0, 5)
    assert desk.wait(lambda: view.GetForegroundOpacity() == 0.0, 5)
    desk.leave(done)
    assert not done._views.flickering


def test_the_slider_fades(done, view):
    done.ui.fadeSlider.setValue(80)
    assert view.GetForegroundOpacity() == pytest.approx(0.8)


def test_a_deleted_map_disables_its_view(desk, done):
    (node,) = [one for one in nodes_of(desk, "vtkMRMLScalarVolumeNode") if one.GetName() == "Head residual"]
    desk.scene.scene.RemoveNode(node)
    assert not done.ui.residualButton.enabled
    assert "Choose it as an output" in done.ui.residualButton.toolTip
    assert done.ui.uncertaintyButton.enabled


def test_undo_takes_the_volumes_along_that_were_made_to_compare(desk, done):
    press(done.ui.checkerboardButton)
    press(done.ui.differenceButton)
    press(done.ui.undoButton)
    assert [node.GetName() for node in nodes_of(desk, "vtkMRMLScalarVolumeNode")] == ["Head"]


def test_frames_are_compared_with_the_cubic_volume_only_if_it_is_an_output(desk, worker, view):
    superres = desk.load("MedAISuperRes")
    superres.ui.inputSelector.setCurrentNode(add_frames(desk, frames=1))
    begin(desk, superres, worker)
    finish(worker)
    until_idle(desk, superres)
    assert not superres.ui.fadeButton.enabled
    assert "Choose the cubic volume as an output" in superres.ui.fadeButton.toolTip
    choose(superres.ui.baselineComboBox, "Input")
    press(superres.ui.fadeButton)
    assert name_of(view.GetBackgroundVolumeID()) == "Heart"
    superres.ui.cubicCheckBox.click()
    choose(superres.ui.baselineComboBox, "Cubic")
    begin(desk, superres, worker)
    finish(worker)
    until_idle(desk, superres)
    assert name_of(view.GetBackgroundVolumeID()) == "Heart cubic"
