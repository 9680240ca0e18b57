"""The MedAI panel and the scene: nodes that go away, results that stay safe, sequences, undo."""

from __future__ import annotations

import numpy as np
import pytest

from Panel.steps import begin, blob, names, play, press, reason, segmentations, until_idle


def test_closing_the_scene_cancels_the_run_and_writes_nothing(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    desk.scene.scene.Clear(False)
    until_idle(desk, panel)
    assert segmentations(desk) == []
    assert "The scene was closed." in panel.ui.statusLabel.text
    assert reason(panel) == "Choose an input volume, or press Load sample."


def test_closing_the_scene_forgets_the_result(desk, panel, worker, add_volume):
    from MedAISlicer import undo

    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    worker.finish()
    until_idle(desk, panel)
    desk.scene.scene.Clear(False)
    assert panel.ui.resultTable.mrmlTableNode() is None
    assert panel.ui.summaryLabel.text == "No result yet."
    assert undo._histories == {}


@pytest.mark.parametrize("which", ["input", "output"])
def test_deleting_a_node_that_the_run_needs_cancels_it_with_a_reason(desk, panel, worker, add_volume, which):
    scene = desk.scene.scene
    volume = add_volume("Head")
    output = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    panel.ui.inputSelector.setCurrentNode(volume)
    panel.ui.outputSelector.setCurrentNode(output)
    begin(desk, panel, worker)
    scene.RemoveNode(volume if which == "input" else output)
    until_idle(desk, panel)
    assert f"{'Head' if which == 'input' else 'Mine'} was deleted." in panel.ui.statusLabel.text
    assert [names(node) for node in segmentations(desk)] == ([[]] if which == "input" else [])


def test_deleting_another_node_does_not_disturb_the_run(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    other = add_volume("Other")
    begin(desk, panel, worker)
    desk.scene.scene.RemoveNode(other)
    worker.finish()
    until_idle(desk, panel)
    assert len(segmentations(desk)) == 1


def test_what_the_user_draws_during_the_run_is_kept(desk, panel, worker, add_volume):
    import slicer

    volume = add_volume()
    output = desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    panel.ui.inputSelector.setCurrentNode(volume)
    panel.ui.outputSelector.setCurrentNode(output)
    begin(desk, panel, worker)
    output.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    drawn = np.zeros((6, 7, 8), np.uint8)
    drawn[2, 2, 2] = 1
    output.GetSegmentation().AddEmptySegment("drawn", "Ball")
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, output, "drawn", volume)
    worker.finish()
    until_idle(desk, panel)
    assert names(output) == ["Ball", "Ball (2)", "Core"]
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(output, "drawn", volume), drawn)


def test_a_second_run_renews_the_result_instead_of_doubling_it(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    for _ in range(2):
        begin(desk, panel, worker)
        worker.finish()
        until_idle(desk, panel)
    (node,) = segmentations(desk)
    assert names(node) == ["Ball", "Core"]


def test_another_input_gets_a_segmentation_of_its_own(desk, panel, worker, add_volume):
    for name in ("First", "Second"):
        panel.ui.inputSelector.setCurrentNode(add_volume(name))
        begin(desk, panel, worker)
        worker.finish()
        until_idle(desk, panel)
    assert len(segmentations(desk)) == 2


def test_another_input_stays_chosen_and_lets_go_of_the_output_that_the_panel_chose(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume("First"))
    begin(desk, panel, worker)
    worker.finish()
    until_idle(desk, panel)
    assert panel.ui.outputSelector.currentNode() is segmentations(desk)[0]
    second = add_volume("Second")
    panel.ui.inputSelector.setCurrentNode(second)
    assert panel.ui.inputSelector.currentNode() is panel._parameterNode.inputVolume is second
    assert panel.ui.outputSelector.currentNode() is None


def test_another_input_leaves_the_output_that_the_user_chose(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume("First"))
    begin(desk, panel, worker)
    worker.finish()
    until_idle(desk, panel)
    (node,) = segmentations(desk)
    panel.ui.outputSelector.setCurrentNode(None)
    panel.ui.outputSelector.setCurrentNode(node)
    panel.ui.inputSelector.setCurrentNode(add_volume("Second"))
    assert panel.ui.outputSelector.currentNode() is node


@pytest.mark.parametrize("users", [True, False], ids=["by the user", "by the panel"])
def test_a_scene_that_is_read_while_the_panel_is_open_keeps_its_choices(
    desk, panel, worker, add_volume, tmp_path, users
):
    for name in ("First", "Second"):
        panel.ui.inputSelector.setCurrentNode(add_volume(name))
        begin(desk, panel, worker)
        worker.finish()
        until_idle(desk, panel)
    if users:
        panel.ui.outputSelector.setCurrentNode(segmentations(desk)[0])
    desk.scene.save(tmp_path / "scene.mrb")
    desk.scene.load(tmp_path / "scene.mrb")
    assert panel._parameterNode.inputVolume.GetName() == "Second"
    chosen = "First segmentation" if users else "Second segmentation"
    assert panel._parameterNode.outputSegmentation.GetName() == chosen
    assert panel.ui.outputSelector.currentNode().GetName() == chosen


def test_the_run_goes_on_while_another_module_is_open(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    desk.leave(panel)
    worker.finish()
    until_idle(desk, panel)
    desk.enter(panel)
    assert len(segmentations(desk)) == 1
    assert reason(panel) == ""


def test_a_sequence_runs_over_all_its_frames_and_gives_a_sequence(desk, panel, worker, add_sequence):
    import slicer

    panel.ui.inputSelector.setCurrentNode(add_sequence())
    play(desk, panel, worker, blob(1), blob(2), blob(3))
    assert [message[1]["name"] for message in worker.messages] == [f"Perfusion, frame {n}" for n in (1, 2, 3)]
    (node,) = segmentations(desk)
    browser = desk.scene.scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    for frame in (0, 1, 2):
        browser.SetSelectedItemNumber(frame)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(
            node, "Ball", browser.GetProxyNode(browser.GetMasterSequenceNode())
        )
        assert np.flatnonzero(array.any(axis=(1, 2))).tolist() == [frame + 1]
    assert "3 frames" in panel.ui.statusLabel.text
    table = panel.ui.resultTable.mrmlTableNode()
    assert table.GetTable().GetColumnName(0) == "Frame"
    assert table.GetNumberOfRows() == 3


def test_a_bad_frame_is_left_out_and_named(desk, panel, worker, add_sequence):
    panel.ui.inputSelector.setCurrentNode(add_sequence())
    play(desk, panel, worker, blob(1), "Perfusion, frame 2 is constant.", blob(3))
    assert "Warning: Perfusion, frame 2 is constant." in panel.ui.statusLabel.text
    assert len(segmentations(desk)) == 1


def test_a_sequence_cancelled_in_its_second_frame_leaves_nothing(desk, panel, worker, add_sequence):
    panel.ui.inputSelector.setCurrentNode(add_sequence())
    before = desk.scene.scene.GetNumberOfNodes()
    press(panel.ui.applyButton)
    assert desk.wait(lambda: len(worker.jobs) == 1)
    worker.finish(blob(1))
    assert desk.wait(lambda: len(worker.jobs) == 2)
    assert desk.wait(lambda: "Frame 2 of 3" in panel.ui.statusLabel.text)
    press(panel.ui.applyButton)
    until_idle(desk, panel)
    assert desk.scene.scene.GetNumberOfNodes() == before


def test_a_sequence_into_an_existing_segmentation_is_refused_before_the_run(desk, panel, add_sequence):
    panel.ui.inputSelector.setCurrentNode(add_sequence())
    panel.ui.outputSelector.setCurrentNode(desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine"))
    assert "Choose New segmentation" in reason(panel)


def test_a_sequence_of_other_things_is_refused(desk, panel):
    panel.ui.inputSelector.setCurrentNode(desk.scene.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Empty"))
    assert "Empty holds no volumes" in reason(panel)


def test_undo_takes_the_last_result_back_in_one_step(desk, panel, worker, add_volume):
    output = desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    panel.ui.inputSelector.setCurrentNode(add_volume())
    panel.ui.outputSelector.setCurrentNode(output)
    assert not panel.ui.undoButton.enabled
    begin(desk, panel, worker)
    worker.finish()
    until_idle(desk, panel)
    assert names(output) == ["Ball", "Core"]
    panel.ui.outputSelector.setCurrentNode(None)
    assert not panel.ui.undoButton.enabled
    panel.ui.outputSelector.setCurrentNode(output)
    press(panel.ui.undoButton)
    assert names(output) == []
    assert panel.ui.summaryLabel.text == "The last result was taken back."
    assert panel.ui.resultTable.mrmlTableNode() is None
    assert desk.scene.scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    assert not panel.ui.undoButton.enabled


def test_undo_of_a_second_result_shows_the_first_one_again(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    for labels in (None, blob(2)):
        begin(desk, panel, worker)
        worker.finish(labels)
        until_idle(desk, panel)
    assert panel.ui.resultTable.mrmlTableNode().GetNumberOfRows() == 1
    press(panel.ui.undoButton)
    (node,) = segmentations(desk)
    assert names(node) == ["Ball", "Core"]
    assert panel.ui.resultTable.mrmlTableNode().GetNumberOfRows() == 2
    assert panel.ui.summaryLabel.text.startswith("The last result was taken back.\nModel tiny 1.0")


def test_choosing_an_earlier_segmentation_shows_its_result_again(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    worker.finish()
    until_idle(desk, panel)
    (node,) = segmentations(desk)
    text = panel.ui.summaryLabel.text
    panel.ui.outputSelector.setCurrentNode(desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other"))
    assert panel.ui.summaryLabel.text == "No result yet."
    panel.ui.outputSelector.setCurrentNode(node)
    assert panel.ui.summaryLabel.text == text
    assert panel.ui.resultTable.mrmlTableNode().GetNumberOfRows() == 2
