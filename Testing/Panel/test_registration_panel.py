"""The MedAI Registration panel: its own widget code on the fake desktop, real MRML, and a worker on strings."""

from __future__ import annotations

import numpy as np
import pytest

from Panel.registration_steps import bumpy, choose, finish, nodes_of, rows
from Panel.steps import begin, busy, press, reason, until_idle
from registration_samples import shift, warp


@pytest.fixture
def volumes(registration, add_volume):
    """A fixed and a moving volume, chosen."""
    fixed, moving = add_volume("Fixed", bumpy()), add_volume("Moving", bumpy())
    choose(registration, fixed, moving)
    return fixed, moving


def test_the_panel_loads_without_a_complaint_and_says_what_is_missing(desk, registration, add_volume):
    assert desk.messages == []
    assert reason(registration).startswith("Choose the fixed volume")
    registration.ui.fixedSelector.setCurrentNode(add_volume())
    assert reason(registration).startswith("Choose the moving volume")


def test_one_volume_twice_is_refused(registration, add_volume):
    volume = add_volume("Head")
    choose(registration, volume, volume)
    assert "Head is the fixed and the moving volume" in reason(registration)


def test_a_volume_without_an_image_is_refused(desk, registration, add_volume):
    choose(registration, add_volume(), desk.scene.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow"))
    assert "Hollow holds no image" in reason(registration)


def test_apply_sends_both_volumes_and_what_was_chosen(desk, registration, worker, volumes):
    ui = registration.ui
    ui.kindComboBox.setCurrentIndex(1)
    ui.contrastComboBox.setCurrentIndex(2)
    ui.jacobianCheckBox.click()
    begin(desk, registration, worker)
    task, parameters, arrays = worker.messages[0]
    assert task == "register"
    assert (parameters["kind"], parameters["contrast"], parameters["preset"]) == ("affine", "different", "default")
    assert list(parameters["outputs"]) == ["warped", "jacobian"]
    assert parameters["images"]["moving"]["name"] == "Moving"
    np.testing.assert_allclose(parameters["images"]["fixed"]["affine"], np.diag([1.0, 1.5, 2.0, 1.0]))
    assert arrays["fixed"].shape == arrays["moving"].shape == (6, 7, 8)


def test_the_result_is_a_transform_a_volume_and_a_table_that_is_shown(desk, registration, worker, volumes):
    begin(desk, registration, worker)
    finish(worker, shift(1, 0, 0))
    until_idle(desk, registration)
    assert desk.messages == []
    (transform,) = nodes_of(desk, "vtkMRMLLinearTransformNode")
    assert transform.GetName() == "Moving to Fixed"
    names = [node.GetName() for node in nodes_of(desk, "vtkMRMLScalarVolumeNode")]
    assert names == ["Fixed", "Moving", "Moving registered"]
    table = registration.ui.qualityTable.mrmlTableNode()
    assert table is registration.ui.resultSelector.currentNode()
    assert rows(table)["Dice (mean)"] == (0.5, 0.96)
    assert not registration.ui.resultsCollapsibleButton.collapsed
    assert registration.ui.statusLabel.text == "Done in 3 s on cpu."


def test_the_result_says_how_good_it_is_and_which_contrast_was_decided(desk, registration, worker, volumes):
    begin(desk, registration, worker)
    finish(worker, warp(np.diag([1.0, 1.5, 2.0, 1.0]), 0.5), folds_percent=0.012)
    until_idle(desk, registration)
    text = registration.ui.summaryLabel.text
    assert "Moving to Fixed: deformable, default. For research only." in text
    assert "Contrast: same. The gray values of both volumes rise and fall together." in text
    assert "Similarity (local correlation): 0.410 before, 0.870 after." in text
    assert "Dice of 1 structures: 0.500 before, 0.960 after." in text
    assert "HD95: 8.0 before, 1.2 after mm." in text or "HD95: 8.0 before, 1.3 after mm." in text
    assert "Landmark error: 7.5 before, 0.5 after mm." in text
    assert "Folds: 0.012 %. There and back again misses by 0.01 mm in the mean, 0.09 mm at most." in text


def test_a_result_that_was_worse_than_the_start_is_a_warning(desk, registration, worker, volumes):
    begin(desk, registration, worker)
    finish(worker, warnings=(("kept-start", "The result fits worse than the start, which was kept."),), kept_start=True)
    until_idle(desk, registration)
    assert registration.ui.statusLabel.text.startswith("The start was kept")
    assert "Warning: The result fits worse than the start, which was kept." in registration.ui.summaryLabel.text


def test_volumes_that_are_moved_during_the_run_go_on_belonging_together(desk, registration, worker, volumes):
    import slicer

    from MedAISlicer import mrml

    begin(desk, registration, worker)
    for volume, x in zip(volumes, (20.0, 5.0), strict=True):
        above = desk.scene.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[0, 3] = x
        above.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(above.GetID())
    finish(worker, shift(1, 0, 0))
    until_idle(desk, registration)
    (transform,) = [node for node in nodes_of(desk, "vtkMRMLLinearTransformNode") if node.GetAttribute("MedAI.Time")]
    assert np.allclose(transform.GetTransformFromParent().TransformPoint(20, 0, 0), (6, 0, 0))
    (registered,) = [node for node in nodes_of(desk, "vtkMRMLScalarVolumeNode") if node not in volumes]
    assert np.allclose(mrml.image_from_node(registered).affine, mrml.image_from_node(volumes[0]).affine)


def test_apply_turns_into_cancel_and_progress_is_shown(desk, registration, worker, volumes):
    begin(desk, registration, worker)
    worker.step("Deforming", 0.5, 12.0)
    assert desk.wait(lambda: registration.ui.progressBar.value == 50)
    assert registration.ui.statusLabel.text == "Deforming, about 12 s left"
    assert not registration.ui.inputsCollapsibleButton.enabled
    count = desk.scene.scene.GetNumberOfNodes()
    assert registration.ui.applyButton.text == "Cancel"
    press(registration.ui.applyButton)
    until_idle(desk, registration)
    assert registration.ui.statusLabel.text == "Cancelled; the scene is as it was."
    assert registration.ui.applyButton.text == "Apply"
    assert registration.ui.inputsCollapsibleButton.enabled
    assert desk.scene.scene.GetNumberOfNodes() == count


def test_an_error_of_the_worker_is_shown_in_its_own_words(desk, registration, worker, volumes):
    begin(desk, registration, worker)
    worker.fail("content", "Moving is constant: every voxel is 7. Choose another volume.")
    until_idle(desk, registration)
    assert desk.messages == [("error", "Moving is constant: every voxel is 7. Choose another volume.")]
    assert reason(registration) == ""


def test_a_node_of_the_run_that_is_deleted_ends_it(desk, registration, worker, volumes):
    begin(desk, registration, worker)
    desk.scene.scene.RemoveNode(volumes[1])
    until_idle(desk, registration)
    assert "Moving was deleted." in registration.ui.statusLabel.text


def test_a_closed_scene_ends_the_run(desk, registration, worker, volumes):
    begin(desk, registration, worker)
    desk.scene.scene.Clear(False)
    until_idle(desk, registration)
    assert "The scene was closed." in registration.ui.statusLabel.text


@pytest.mark.parametrize("agreed", [True, False])
def test_the_user_is_asked_before_something_of_his_is_replaced(desk, registration, worker, volumes, add_volume, agreed):
    mine = add_volume("Mine", bumpy())
    before = bumpy()
    registration.ui.outputVolumeSelector.setCurrentNode(mine)
    desk.confirm = agreed
    press(registration.ui.applyButton)
    assert desk.messages == [("question", "The result will replace what is in Mine.")]
    assert busy(registration) is agreed
    if agreed:
        assert desk.wait(lambda: worker.jobs)
        finish(worker, shift(2, 0, 0))
        until_idle(desk, registration)
        import slicer

        assert not np.array_equal(slicer.util.arrayFromVolume(mine), before)
        press(registration.ui.undoButton)
        assert np.array_equal(slicer.util.arrayFromVolume(mine), before)


def test_an_empty_node_is_filled_without_a_question(desk, registration, worker, volumes):
    node = registration.ui.outputTransformSelector.addNode()
    assert node is not None
    begin(desk, registration, worker)
    finish(worker)
    until_idle(desk, registration)
    assert desk.messages == []
    assert not nodes_of(desk, "vtkMRMLLinearTransformNode") or node in nodes_of(desk, "vtkMRMLTransformNode")


def test_two_runs_make_two_results_and_each_can_be_looked_at(desk, registration, worker, volumes):
    for number in (1, 2):
        begin(desk, registration, worker)
        finish(worker, shift(number, 0, 0))
        until_idle(desk, registration)
    first, second = nodes_of(desk, "vtkMRMLTableNode")
    assert registration.ui.resultSelector.currentNode() is second
    registration.ui.resultSelector.setCurrentNode(first)
    assert registration.ui.qualityTable.mrmlTableNode() is first
    assert len(nodes_of(desk, "vtkMRMLLinearTransformNode")) == 2


def test_undo_takes_the_run_back(desk, registration, worker, volumes):
    count = desk.scene.scene.GetNumberOfNodes()
    begin(desk, registration, worker)
    finish(worker)
    until_idle(desk, registration)
    press(registration.ui.undoButton)
    assert desk.scene.scene.GetNumberOfNodes() == count
    assert registration.ui.statusLabel.text == "The run was taken back."
    assert registration.ui.summaryLabel.text == "No result yet."
    assert not registration.ui.undoButton.enabled


def test_tables_that_are_no_results_are_not_offered(desk, registration):
    desk.scene.scene.AddNewNodeByClass("vtkMRMLTableNode", "Something else")
    assert registration.ui.resultSelector.nodeCount() == 0


def test_what_the_choices_leave_open_can_be_chosen(registration, volumes):
    ui = registration.ui
    assert ui.presetComboBox.enabled
    ui.kindComboBox.setCurrentIndex(0)
    assert not ui.presetComboBox.enabled and not ui.refineCheckBox.enabled
    assert not ui.outputInverseSelector.enabled
    ui.inverseCheckBox.click()
    assert ui.outputInverseSelector.enabled
    ui.transformCheckBox.click()
    ui.inverseCheckBox.click()
    ui.volumeCheckBox.click()
    assert reason(registration) == "No output is chosen. Choose at least one of them."


def test_what_moves_along_comes_with_the_result(desk, registration, worker, volumes):
    scene = desk.scene.scene
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Tips")
    points.AddControlPoint(3, 4, 5)
    registration.ui.carriedComboBox.check(points)
    begin(desk, registration, worker)
    finish(worker, shift(1, 0, 0))
    until_idle(desk, registration)
    (copy,) = [node for node in nodes_of(desk, "vtkMRMLMarkupsFiducialNode") if node is not points]
    assert copy.GetName() == "Tips registered"
    assert np.allclose(copy.GetNthControlPointPosition(0), [2, 4, 5])
    assert np.allclose(points.GetNthControlPointPosition(0), [3, 4, 5])


def test_masks_landmarks_and_the_initial_transform_go_to_the_worker(desk, registration, worker, volumes):
    import slicer

    ui, scene = registration.ui, desk.scene.scene
    masks = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Masks")
    masks.CreateDefaultDisplayNodes()
    masks.SetReferenceImageGeometryParameterFromVolumeNode(volumes[0])
    segment = masks.GetSegmentation().AddEmptySegment("inside", "Inside")
    array = np.zeros((6, 7, 8), np.uint8)
    array[2:4] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, masks, segment, volumes[0])
    ui.fixedMaskSelector.setCurrentNode(masks)
    assert "segment to be used as a mask is not in Masks" in reason(registration)
    ui.fixedMaskSelector.setCurrentSegmentID(segment)
    initial = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Start")
    ui.initialSelector.setCurrentNode(initial)
    landmarks = [scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name) for name in ("F", "M")]
    for node in landmarks:
        node.AddControlPoint(1, 2, 3)
    ui.fixedLandmarksSelector.setCurrentNode(landmarks[0])
    assert "landmarks for one volume only" in reason(registration)
    ui.movingLandmarksSelector.setCurrentNode(landmarks[1])
    begin(desk, registration, worker)
    _task, parameters, arrays = worker.messages[0]
    assert np.array_equal(arrays["fixed_mask"] > 0, array > 0)
    assert arrays["moving_points"].tolist() == [[1, 2, 3]]
    assert parameters["initial"] is not None


def test_every_frame_of_a_sequence_is_registered(desk, registration, worker, add_volume, add_sequence):
    choose(registration, add_volume("Fixed", bumpy()), add_sequence("Heart", 3))
    press(registration.ui.applyButton)
    for number in (1, 2, 3):
        assert desk.wait(lambda number=number: len(worker.jobs) == number)
        if number == 2:
            worker.fail("content", "Heart, frame 2 is constant.")
        else:
            finish(worker, shift(number, 0, 0))
    until_idle(desk, registration)
    assert "Done: 2 frames" in registration.ui.statusLabel.text
    assert "Warning: Heart, frame 2 is constant." in registration.ui.statusLabel.text
    assert "2 of 3 frames registered." in registration.ui.summaryLabel.text
    names = {node.GetName() for node in nodes_of(desk, "vtkMRMLSequenceNode")}
    assert names == {"Heart", "Heart to Fixed", "Heart registered"}


def test_leaving_and_entering_again_keeps_what_was_chosen(desk, registration, volumes):
    registration.ui.kindComboBox.setCurrentIndex(0)
    desk.leave(registration)
    desk.enter(registration)
    assert registration.ui.kindComboBox.currentIndex == 0
    assert registration.ui.fixedSelector.currentNode() is volumes[0]
    assert reason(registration) == ""


def test_a_saved_result_is_shown_again(desk, registration, worker, volumes, tmp_path):
    begin(desk, registration, worker)
    finish(worker)
    until_idle(desk, registration)
    text = registration.ui.summaryLabel.text
    desk.scene.save(tmp_path / "scene.mrb")
    desk.scene.load(tmp_path / "scene.mrb")
    assert registration.ui.summaryLabel.text == text
    assert registration.ui.gridButton.enabled
    assert not registration.ui.undoButton.enabled


def test_the_choices_are_saved_with_the_scene(desk, registration, volumes, tmp_path):
    registration.ui.kindComboBox.setCurrentIndex(0)
    registration.ui.inverseCheckBox.click()
    desk.scene.save(tmp_path / "scene.mrb")
    desk.scene.load(tmp_path / "scene.mrb")
    assert registration.ui.kindComboBox.currentIndex == 0
    assert registration.ui.inverseCheckBox.checked
    assert registration.ui.movingSelector.currentNode().GetName() == "Moving"


def test_a_run_goes_on_while_another_module_is_open(desk, registration, worker, volumes):
    begin(desk, registration, worker)
    desk.leave(registration)
    finish(worker)
    until_idle(desk, registration)
    desk.enter(registration)
    assert registration.ui.qualityTable.mrmlTableNode() is not None


def test_reloading_the_module_loads_all_of_its_parts_again(desk, registration, worker, volumes):
    import sys

    begin(desk, registration, worker)
    old = sys.modules["MedAISlicer.registration.run"]
    registration.onReload()
    again = desk.widgets["MedAIRegistration"]
    assert again is not registration
    press(again.ui.applyButton)
    assert sys.modules["MedAISlicer.registration.run"] is not old
    assert worker.jobs[0].done
    assert again.ui.fixedSelector.currentNode().GetName() == "Fixed"
    assert desk.messages == []
