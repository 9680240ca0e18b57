"""The MedAI Super Resolution panel: its own widget code on the fake desktop, real MRML, and a worker on strings."""

from __future__ import annotations

import numpy as np
import pytest

from Panel.registration_steps import nodes_of
from Panel.steps import begin, busy, press, reason, until_idle
from Panel.superres_steps import Database, add_frames, add_thick, choose, finish
from superres_answers import HALF_WIDTH, SHAPE


@pytest.fixture
def superres(desk, worker):
    """The open panel."""
    return desk.load("MedAISuperRes")


@pytest.fixture
def volume(desk, superres):
    """A volume with thick slices, chosen."""
    node = add_thick(desk)
    superres.ui.inputSelector.setCurrentNode(node)
    return node


def volumes(desk) -> list[str]:
    return [node.GetName() for node in nodes_of(desk, "vtkMRMLScalarVolumeNode")]


def test_the_panel_loads_without_a_complaint_and_says_what_is_missing(desk, superres):
    assert desk.messages == []
    assert reason(superres).startswith("Choose the input volume")
    assert not superres.ui.finishButton.visible


def test_what_is_looked_at_is_chosen_on_entering(desk, worker):
    node = add_thick(desk)
    assert desk.load("MedAISuperRes").ui.inputSelector.currentNode() is node


def test_a_volume_without_an_image_is_refused(desk, superres):
    hollow = desk.scene.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow")
    superres.ui.inputSelector.setCurrentNode(hollow)
    assert "Hollow holds no image" in reason(superres)


def test_a_volume_that_leaves_nothing_to_gain_is_refused_until_its_thickness_is_given(superres, add_volume):
    import slicer

    node = add_volume("Fine", np.arange(6 * 20 * 18, dtype=np.int16).reshape(SHAPE))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.eye(4)))
    superres.ui.inputSelector.setCurrentNode(node)
    assert "Fine is nearly isotropic already" in reason(superres)
    choose(superres.ui.thicknessComboBox, "Given")
    superres.ui.thicknessSpinBox.setValue(4.0)
    assert reason(superres) == ""


def test_an_unknown_thickness_is_called_so(superres, volume):
    text = superres.ui.foundLabel.text
    assert "Slices every 4 mm (from the grid), pixels 1 x 1 mm." in text
    assert "Slice thickness: unknown; it will be estimated from the image." in text


def test_the_thickness_of_the_dicom_database_is_shown_and_sent(desk, superres, worker, volume, monkeypatch):
    import slicer

    database = Database(thickness="5.0", between="2.5", modality="MR")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    superres.ui.inputSelector.setCurrentNode(None)
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    superres.ui.inputSelector.setCurrentNode(volume)
    text = superres.ui.foundLabel.text
    assert "Slice thickness: 5 mm (from DICOM), overlapping by 1 mm." in text
    assert "DICOM says that the slices are 2.5 mm apart; the grid counts." in text
    begin(desk, superres, worker)
    (scan,) = worker.messages[0][1]["scans"]
    assert (scan["thickness"], scan["between"], scan["modality"]) == (5.0, 2.5, "MR")


def test_a_thickness_that_the_user_gives_counts(desk, superres, worker, volume):
    choose(superres.ui.thicknessComboBox, "Given here")
    superres.ui.thicknessSpinBox.setValue(3.0)
    assert "Slice thickness: 3 mm (as given), with gaps of 1 mm." in superres.ui.foundLabel.text
    begin(desk, superres, worker)
    assert worker.messages[0][1]["thickness"] == 3.0


def test_apply_sends_the_volume_and_what_was_chosen(desk, superres, worker, volume):
    ui = superres.ui
    choose(ui.spacingComboBox, "Isotropic:")
    ui.spacingSpinBox.setValue(0.8)
    choose(ui.methodComboBox, "Learned from the scan")
    choose(ui.qualityComboBox, "As long as")
    ui.budgetSlider.setValue(90)
    choose(ui.profileComboBox, "Box")
    ui.uncertaintyCheckBox.click()
    ui.residualCheckBox.click()
    ui.warmCheckBox.click()
    begin(desk, superres, worker)
    task, parameters, arrays = worker.messages[0]
    assert task == "superres"
    assert (parameters["method"], parameters["budget"], parameters["profile"]) == ("sr4zct", 90.0, "box")
    assert (parameters["spacing"], parameters["isotropic"], parameters["warm"]) == (0.8, True, False)
    assert list(parameters["outputs"]) == ["uncertainty", "residual"]
    assert parameters["scans"][0]["name"] == "Head"
    assert arrays["scan-0"].shape == SHAPE


def test_the_result_is_a_volume_that_is_marked_as_computed_and_shown(desk, superres, worker, volume):
    superres.ui.uncertaintyCheckBox.click()
    begin(desk, superres, worker)
    finish(worker)
    until_idle(desk, superres)
    assert desk.messages == []
    computed, uncertainty = nodes_of(desk, "vtkMRMLScalarVolumeNode")[1:3]
    assert (computed.GetName(), uncertainty.GetName()) == ("Head super-resolution", "Head uncertainty")
    assert computed.GetImageData().GetDimensions()[2] == 4 * SHAPE[0]
    assert "not for primary diagnosis" in computed.GetAttribute("MedAI.Computed")
    assert "not for primary diagnosis" in computed.GetDescription()
    table = superres.ui.figuresTable.mrmlTableNode()
    assert table is superres.ui.resultSelector.currentNode()
    assert not superres.ui.resultsCollapsibleButton.collapsed
    assert superres.ui.statusLabel.text == "Done in 46 s on cpu."


def test_the_result_says_what_it_is_and_how_far_it_can_be_trusted(desk, superres, worker, volume):
    begin(desk, superres, worker)
    finish(worker, warnings=(("thickness", "The thickness does not fit the image."),))
    until_idle(desk, superres)
    text = superres.ui.summaryLabel.text
    assert "Head: Learned from the scan itself. Computed image, not for primary diagnosis." in text
    assert "1 x 1 x 4 mm to 1 x 1 x 1 mm." in text
    assert "Agreement with the measured slices: 66.1 dB (cubic interpolation: 38.2 dB)." in text
    assert "Uncertainty (half width of the 90 % interval): 10 in the mean, below 25 in 95 % of it." in text
    assert "Held-out slices: better than deconvolution." in text
    assert "Warning: The thickness does not fit the image." in text


def test_apply_turns_into_cancel_and_progress_is_shown(desk, superres, worker, volume):
    begin(desk, superres, worker)
    worker.step("Learning from the scan", 0.4, 20.0)
    assert desk.wait(lambda: superres.ui.progressBar.value == 40)
    assert superres.ui.statusLabel.text == "Learning from the scan, about 20 s left"
    assert not superres.ui.inputsCollapsibleButton.enabled
    count = desk.scene.scene.GetNumberOfNodes()
    assert superres.ui.applyButton.text == "Cancel"
    press(superres.ui.applyButton)
    until_idle(desk, superres)
    assert superres.ui.statusLabel.text == "Cancelled; the scene is as it was."
    assert desk.scene.scene.GetNumberOfNodes() == count
    assert not superres.ui.finishButton.visible


def test_finish_now_keeps_the_result_so_far(desk, superres, worker, volume):
    begin(desk, superres, worker)
    worker.step("Learning from the scan", 0.4, 20.0)
    assert desk.wait(lambda: superres.ui.finishButton.enabled)
    press(superres.ui.finishButton)
    assert worker.concluded == [worker.jobs[0]]
    assert superres.ui.statusLabel.text == "Finishing with what there is"
    assert not superres.ui.finishButton.enabled
    finish(worker, concluded=True)
    until_idle(desk, superres)
    assert "Head super-resolution" in volumes(desk)
    assert superres.ui.statusLabel.text == "Finished early, after 46 s on cpu."
    assert "Ended early" in superres.ui.summaryLabel.text


def test_finishing_can_still_be_cancelled(desk, superres, worker, volume):
    begin(desk, superres, worker)
    worker.step("Learning from the scan", 0.4, 20.0)
    assert desk.wait(lambda: superres.ui.finishButton.enabled)
    press(superres.ui.finishButton)
    press(superres.ui.applyButton)
    until_idle(desk, superres)
    assert superres.ui.statusLabel.text.startswith("Cancelled")
    assert volumes(desk) == ["Head"]


def test_an_error_of_the_worker_is_shown_in_its_own_words(desk, superres, worker, volume):
    begin(desk, superres, worker)
    worker.fail("geometry", "Head is nearly isotropic already. Choose another volume.")
    until_idle(desk, superres)
    assert desk.messages == [("error", "Head is nearly isotropic already. Choose another volume.")]
    assert reason(superres) == ""


def test_a_node_of_the_run_that_is_deleted_ends_it(desk, superres, worker, volume):
    begin(desk, superres, worker)
    desk.scene.scene.RemoveNode(volume)
    until_idle(desk, superres)
    assert "Head was deleted." in superres.ui.statusLabel.text


def test_a_closed_scene_ends_the_run(desk, superres, worker, volume):
    begin(desk, superres, worker)
    desk.scene.scene.Clear(False)
    until_idle(desk, superres)
    assert "The scene was closed." in superres.ui.statusLabel.text


@pytest.mark.parametrize("agreed", [True, False])
def test_the_user_is_asked_before_something_of_his_is_replaced(desk, superres, worker, volume, agreed):
    mine = add_thick(desk, "Mine")
    superres.ui.outputVolumeSelector.setCurrentNode(mine)
    desk.confirm = agreed
    press(superres.ui.applyButton)
    assert desk.messages == [("question", "The result will replace what is in Mine.")]
    assert busy(superres) is agreed
    if agreed:
        assert desk.wait(lambda: worker.jobs)
        finish(worker)
        until_idle(desk, superres)
        assert mine.GetImageData().GetDimensions()[2] == 4 * SHAPE[0]
        press(superres.ui.undoButton)
        assert mine.GetImageData().GetDimensions()[2] == SHAPE[0]


def test_undo_takes_the_run_back(desk, superres, worker, volume):
    count = desk.scene.scene.GetNumberOfNodes()
    begin(desk, superres, worker)
    finish(worker)
    until_idle(desk, superres)
    press(superres.ui.undoButton)
    assert desk.scene.scene.GetNumberOfNodes() == count
    assert superres.ui.statusLabel.text == "The run was taken back."
    assert superres.ui.summaryLabel.text == "No result yet."


def test_the_method_is_explained_with_its_expected_time(superres, volume):
    ui = superres.ui
    assert ui.methodLabel.text.startswith("Learned from the scan itself.")
    assert "Expected time: about 54 s." in ui.methodLabel.text
    choose(ui.qualityComboBox, "Instant")
    assert ui.methodLabel.text.startswith("Deconvolution")
    assert "Expected time: a few seconds." in ui.methodLabel.text
    choose(ui.qualityComboBox, "As long as")
    ui.budgetSlider.setValue(300)
    assert "Expected time: about 5 min." in ui.methodLabel.text
    choose(ui.methodComboBox, "HiFi")
    assert "Generative: it makes up detail that may not be this patient's." in ui.methodLabel.text


@pytest.mark.parametrize(("title", "name"), [("unORANIC", "unoranic"), ("DLEST", "dlest")])
def test_a_method_that_restores_slices_takes_any_volume_and_keeps_its_grid(
    desk, superres, worker, add_volume, title, name
):
    import slicer

    ui = superres.ui
    node = add_volume("Fine", np.arange(6 * 20 * 18, dtype=np.int16).reshape(SHAPE))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.eye(4)))
    ui.inputSelector.setCurrentNode(node)
    assert "Fine is nearly isotropic already" in reason(superres)
    choose(ui.methodComboBox, title)
    assert reason(superres) == ""
    assert "Generative: it makes up detail that may not be this patient's." in ui.methodLabel.text
    assert "Expected time: a few seconds." in ui.methodLabel.text
    assert not ui.qualityComboBox.enabled and not ui.spacingComboBox.enabled
    ui.residualCheckBox.click()
    assert "keeps their grid. Leave out a residual map" in reason(superres)
    ui.residualCheckBox.click()
    begin(desk, superres, worker)
    assert worker.messages[0][1]["method"] == name
    finish(worker, method=name, generative=True)
    until_idle(desk, superres)
    assert f"Fine {name}" in volumes(desk)


def test_the_expected_time_is_that_of_the_last_run_on_this_computer(desk, superres, worker, volume):
    choose(superres.ui.methodComboBox, "Deconvolution")
    begin(desk, superres, worker)
    finish(worker, method="tikhonov", learned=False, budget=0.0, timings={"Sharpening": 17.0})
    until_idle(desk, superres)
    assert "Expected time: about 17 s." in superres.ui.methodLabel.text


@pytest.mark.parametrize(("method", "torch"), [("Deconvolution", False), ("Learned from the scan", True)])
def test_torch_is_asked_for_only_by_what_learns(desk, superres, worker, volume, monkeypatch, method, torch):
    from MedAISlicer import requirements

    asked = []
    monkeypatch.setattr(requirements, "ensure", lambda torch: asked.append(torch))
    choose(superres.ui.methodComboBox, method)
    begin(desk, superres, worker)
    assert asked == [torch]


def test_only_what_counts_can_be_changed(superres, volume):
    ui = superres.ui
    assert not ui.spacingSpinBox.enabled and not ui.thicknessSpinBox.enabled and not ui.budgetSlider.enabled
    assert not ui.alignCheckBox.enabled and not ui.outputResidualSelector.enabled
    choose(ui.methodComboBox, "Cubic")
    assert not ui.qualityComboBox.enabled
    choose(ui.methodComboBox, "Learned from the scan")
    assert ui.qualityComboBox.enabled
    ui.volumeCheckBox.click()
    assert reason(superres) == "No output is chosen. Choose at least one of them."


def test_a_method_that_needs_another_scan_says_so(desk, superres, volume):
    choose(superres.ui.methodComboBox, "Joint reconstruction")
    assert "needs at least one further stack" in reason(superres)
    superres.ui.stackSelector.setCurrentNode(add_thick(desk, "Coronal"))
    assert reason(superres) == ""
    superres.ui.contrastSelector.setCurrentNode(add_thick(desk, "T1"))
    assert reason(superres) == "Choose either a second contrast or further stacks, not both."


def test_uncertainty_is_not_promised_by_what_cannot_tell_it(superres, volume):
    superres.ui.uncertaintyCheckBox.click()
    choose(superres.ui.methodComboBox, "Cubic")
    assert "cannot tell how uncertain it is" in reason(superres)


def test_further_stacks_go_to_the_worker(desk, superres, worker, volume):
    superres.ui.stackSelector.setCurrentNode(add_thick(desk, "Coronal"))
    superres.ui.thirdStackSelector.setCurrentNode(add_thick(desk, "Sagittal"))
    superres.ui.alignCheckBox.click()
    begin(desk, superres, worker)
    _task, parameters, arrays = worker.messages[0]
    assert [scan["name"] for scan in parameters["scans"]] == ["Head", "Coronal", "Sagittal"]
    assert (parameters["role"], parameters["align"]) == ("stack", True)
    assert set(arrays) == {"scan-0", "scan-1", "scan-2"}


@pytest.mark.parametrize("agreed", [True, False])
def test_volumes_that_do_not_lie_on_each_other_can_be_registered(desk, superres, worker, volume, agreed):
    superres.ui.contrastSelector.setCurrentNode(add_thick(desk, "T1"))
    desk.confirm = agreed
    begin(desk, superres, worker)
    assert worker.messages[0][1]["role"] == "contrast"
    finish(worker, warnings=(("not-registered", "T1 and Head do not lie on each other."),))
    assert desk.wait(lambda: desk.messages)
    assert desk.messages[0][1].startswith("T1 and Head do not lie on each other.")
    if agreed:
        assert desk.wait(lambda: len(worker.jobs) == 2)
        assert worker.messages[1][1]["align"] is True
        assert volumes(desk) == ["Head", "T1"]
        finish(worker)
    until_idle(desk, superres)
    assert len(desk.messages) == 1
    assert volumes(desk)[2].startswith("Head super-resolution")


def test_every_frame_of_a_sequence_is_computed(desk, superres, worker):
    superres.ui.inputSelector.setCurrentNode(add_frames(desk))
    assert "Expected time for each of 3 frames: about 54 s." in superres.ui.methodLabel.text
    press(superres.ui.applyButton)
    for number in (1, 2, 3):
        assert desk.wait(lambda number=number: len(worker.jobs) == number)
        if number == 2:
            worker.fail("content", "Heart, frame 2 is constant.")
        else:
            finish(worker)
    until_idle(desk, superres)
    assert "Done: 2 frames" in superres.ui.statusLabel.text
    assert "Warning: Heart, frame 2 is constant." in superres.ui.statusLabel.text
    assert "2 of 3 frames computed." in superres.ui.summaryLabel.text
    names = {node.GetName() for node in nodes_of(desk, "vtkMRMLSequenceNode")}
    assert names == {"Heart", "Heart super-resolution"}


def test_finish_now_keeps_the_frames_so_far(desk, superres, worker):
    superres.ui.inputSelector.setCurrentNode(add_frames(desk))
    begin(desk, superres, worker)
    finish(worker)
    assert desk.wait(lambda: len(worker.jobs) == 2 and superres.ui.finishButton.enabled)
    press(superres.ui.finishButton)
    finish(worker, concluded=True)
    until_idle(desk, superres)
    assert len(worker.jobs) == 2
    assert "2 of 3 frames computed." in superres.ui.summaryLabel.text


def test_a_volume_that_is_moved_during_the_run_takes_its_result_along(desk, superres, worker, volume):
    import slicer

    from MedAISlicer import mrml

    begin(desk, superres, worker)
    above = desk.scene.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 3] = 20.0
    above.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(above.GetID())
    finish(worker)
    until_idle(desk, superres)
    computed = nodes_of(desk, "vtkMRMLScalarVolumeNode")[1]
    assert computed.GetParentTransformNode() is above
    assert np.allclose(mrml.local_affine(computed)[:2, 3], 0)


def test_the_choices_are_saved_with_the_scene(desk, superres, volume, tmp_path):
    ui = superres.ui
    choose(ui.methodComboBox, "Deconvolution")
    choose(ui.spacingComboBox, "Across")
    ui.spacingSpinBox.setValue(1.25)
    ui.residualCheckBox.click()
    desk.scene.save(tmp_path / "scene.mrb")
    desk.scene.load(tmp_path / "scene.mrb")
    assert ui.methodComboBox.currentData == "tikhonov"
    assert ui.spacingSpinBox.value == pytest.approx(1.25)
    assert ui.residualCheckBox.checked
    assert ui.inputSelector.currentNode().GetName() == "Head"


def test_a_saved_result_is_shown_again(desk, superres, worker, volume, tmp_path):
    superres.ui.uncertaintyCheckBox.click()
    begin(desk, superres, worker)
    finish(worker)
    until_idle(desk, superres)
    text = superres.ui.summaryLabel.text
    desk.scene.save(tmp_path / "scene.mrb")
    desk.scene.load(tmp_path / "scene.mrb")
    assert superres.ui.summaryLabel.text == text
    assert superres.ui.uncertaintyButton.enabled
    assert not superres.ui.undoButton.enabled


def test_leaving_the_module_does_not_stop_the_run(desk, superres, worker, volume):
    begin(desk, superres, worker)
    desk.leave(superres)
    finish(worker)
    until_idle(desk, superres)
    desk.enter(superres)
    assert superres.ui.figuresTable.mrmlTableNode() is not None


def test_reloading_the_module_loads_all_of_its_parts_again(desk, superres, worker, volume):
    import sys

    begin(desk, superres, worker)
    old = sys.modules["MedAISlicer.superres.run"]
    superres.onReload()
    again = desk.widgets["MedAISuperRes"]
    press(again.ui.applyButton)
    assert sys.modules["MedAISlicer.superres.run"] is not old
    assert worker.jobs[0].done
    assert desk.messages == []


def test_the_made_up_uncertainty_arrives(desk, superres, worker, volume):
    import slicer

    superres.ui.uncertaintyCheckBox.click()
    begin(desk, superres, worker)
    finish(worker)
    until_idle(desk, superres)
    (node,) = [one for one in nodes_of(desk, "vtkMRMLScalarVolumeNode") if one.GetName() == "Head uncertainty"]
    assert np.allclose(slicer.util.arrayFromVolume(node), HALF_WIDTH)
