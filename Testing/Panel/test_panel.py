"""The MedAI panel: the module's own widget code on the fake desktop, with real MRML and a worker on strings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from Panel.steps import begin, busy, names, press, reason, segmentations, until_idle

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_panel_loads_without_a_complaint(desk, panel):
    assert desk.messages == []


def test_an_open_panel_has_not_loaded_torch(desk):
    code = (
        "import sys, tempfile; from pathlib import Path; from Harness import desktop; here = desktop();"
        "here.new_scene(Path(tempfile.mkdtemp())); panel = here.load('MedAI');"
        "assert panel.ui.applyButton; print('torch' in sys.modules)"
    )
    paths = os.pathsep.join(str(REPOSITORY / folder) for folder in ("MedAI", "Testing"))
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "False"


def test_an_empty_scene_disables_apply_and_says_why(panel):
    assert reason(panel) == "Choose an input volume, or press Load sample."


def test_a_volume_that_is_there_already_is_chosen(desk, models, worker, add_volume):
    volume = add_volume("Head")
    panel = desk.load("MedAI")
    assert panel.ui.inputSelector.currentNode() is volume
    panel.ui.modelComboBox.setCurrentIndex(panel.ui.modelComboBox.findData("tiny"))
    assert reason(panel) == ""


def test_a_label_map_is_not_chosen_and_the_volume_in_the_slice_views_comes_first(desk, models, worker, add_volume):
    scene = desk.scene.scene
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    first, shown = add_volume("First"), add_volume("Shown")
    labels.SetAndObserveImageData(first.GetImageData())
    panel = desk.load("MedAI")
    assert panel.ui.inputSelector.currentNode() is first
    panel.ui.inputSelector.setCurrentNode(None)
    for background in (labels, shown):
        view = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        view.SetBackgroundVolumeID(background.GetID())
    desk.leave(panel)
    desk.enter(panel)
    assert panel.ui.inputSelector.currentNode() is shown


def test_a_volume_without_an_image_disables_apply_and_says_why(desk, panel):
    node = desk.scene.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow")
    panel.ui.inputSelector.setCurrentNode(node)
    assert "Hollow holds no image" in reason(panel)


def test_the_chosen_model_is_described(panel):
    assert "2 structures, MR, ball." in panel.ui.modelSummaryLabel.text
    assert "Dice 0.97 on the balls" in panel.ui.modelSummaryLabel.text
    assert "research only" in panel.ui.modelSummaryLabel.text
    assert "Only for tests." in panel.ui.modelCardText.plainText


def test_a_change_of_another_choice_leaves_the_model_card_where_the_user_scrolled_it(panel):
    from PySide6.QtGui import QTextCursor

    card = panel.ui.modelCardText.qt_object
    card.moveCursor(QTextCursor.MoveOperation.End)
    place = card.textCursor().position()
    panel.ui.modeComboBox.currentIndex = 2
    assert card.textCursor().position() == place > 0
    panel._parameterNode.model = "liver-ct"
    assert "not on this computer" in panel.ui.modelCardText.plainText


def test_a_model_that_is_not_here_disables_apply_and_says_why(panel, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    panel._parameterNode.model = "liver-ct"
    assert "liver-ct is not on this computer" in reason(panel)
    assert panel.ui.modelComboBox.currentData == "liver-ct"


def test_a_damaged_model_folder_is_explained_in_the_card(desk, models, worker):
    (models / "broken").mkdir()
    (models / "broken" / "model.json").write_text("{", encoding="utf-8")
    panel = desk.load("MedAI")
    panel.ui.modelComboBox.setCurrentIndex(panel.ui.modelComboBox.findData("tiny"))
    assert "broken" in panel.ui.modelCardText.plainText


def test_apply_sends_the_volume_and_writes_named_segments_and_a_table(desk, panel, worker, add_volume):
    volume = add_volume("Head")
    panel.ui.inputSelector.setCurrentNode(volume)
    begin(desk, panel, worker)
    task, parameters, arrays = worker.messages[0]
    assert task == "segment"
    assert parameters["name"] == "Head"
    np.testing.assert_allclose(parameters["affine"], np.diag([1.0, 1.5, 2.0, 1.0]))
    assert arrays["image"].shape == (6, 7, 8)
    worker.finish()
    until_idle(desk, panel)
    (node,) = segmentations(desk)
    assert names(node) == ["Ball", "Core"]
    assert panel._parameterNode.outputSegmentation is node
    table = panel.ui.resultTable.mrmlTableNode()
    assert table is not None
    assert table.GetNumberOfRows() == 2
    assert desk.messages == []


def test_the_result_says_which_model_how_sure_and_what_it_was_tested_on(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    worker.finish(warnings=(("volume", "The brain is smaller than any that the model has seen."),))
    until_idle(desk, panel)
    text = panel.ui.summaryLabel.text
    assert "Warning: The brain is smaller than any that the model has seen." in text
    assert "Model tiny 1.0, for research only." in text
    assert "lowest 71 % in Core" in text
    assert "Dice 0.97 on the balls" in text
    assert not panel.ui.resultsCollapsibleButton.collapsed
    assert "2 structures in 2 s on cpu" in panel.ui.statusLabel.text


def test_the_result_names_the_model_that_found_the_places_as_well(desk, panel, worker, add_volume):
    volume = add_volume()
    panel.ui.inputSelector.setCurrentNode(volume)
    begin(desk, panel, worker)
    worker.finish(finder="brain-mr 0.1.0 (SHA-256 de37608e2f14)")
    until_idle(desk, panel)
    assert "Model tiny 1.0, for research only.\nPlaces found by brain-mr 0.1.0" in panel.ui.summaryLabel.text
    (node,) = segmentations(desk)
    assert node.GetAttribute("MedAI.Finder") == "brain-mr 0.1.0 (SHA-256 de37608e2f14)"


def test_progress_shows_stage_percentage_and_remaining_time(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    worker.step("Finding structures", 0.42, 75.2)
    assert desk.wait(lambda: panel.ui.progressBar.value == 42)
    assert panel.ui.statusLabel.text == "Finding structures, about 75 s left"
    assert panel.ui.applyButton.text == "Cancel"
    assert not panel.ui.inputsCollapsibleButton.enabled


def test_cancel_leaves_the_scene_as_it_was(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    worker.step("Finding structures", 0.5, 1.0)
    desk.wait(lambda: panel.ui.progressBar.value == 50)
    press(panel.ui.applyButton)
    until_idle(desk, panel)
    assert segmentations(desk) == []
    assert panel.ui.statusLabel.text.startswith("Cancelled")
    assert (panel.ui.applyButton.text, reason(panel)) == ("Apply", "")
    assert panel.ui.inputsCollapsibleButton.enabled
    assert desk.messages == []


def test_a_worker_that_is_slow_to_stop_keeps_the_button_waiting(desk, panel, worker, add_volume):
    worker.slow_to_stop = True
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    press(panel.ui.applyButton)
    assert reason(panel) == "Cancelling"
    worker.finish()
    until_idle(desk, panel)
    assert segmentations(desk) == []


def test_a_crash_of_the_worker_is_one_sentence_and_apply_works_again(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    worker.fail("worker", "The worker process ended unexpectedly; it starts anew with the next run.", "Killed")
    until_idle(desk, panel)
    assert desk.messages[0][0] == "error"
    assert desk.messages[0][1] == "The worker process ended unexpectedly; it starts anew with the next run."
    assert panel.ui.statusLabel.text == "The worker process ended unexpectedly; it starts anew with the next run."
    begin(desk, panel, worker)
    worker.finish()
    until_idle(desk, panel)
    assert len(segmentations(desk)) == 1


def test_a_bad_input_is_one_sentence(desk, panel, worker, add_volume):
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    worker.fail("content", "T1 is constant: every voxel is 7. Choose an image with content.")
    until_idle(desk, panel)
    assert desk.messages == [("error", "T1 is constant: every voxel is 7. Choose an image with content.")]
    assert segmentations(desk) == []


def refused(desk, panel, worker, volume) -> None:
    """Apply on a volume that the pipeline takes for another modality."""
    panel.ui.inputSelector.setCurrentNode(volume)
    begin(desk, panel, worker)
    worker.fail("modality", "T1: the model is for MR. If you are sure, use --force in the shell.")
    assert desk.wait(lambda: bool(desk.messages))


def test_a_volume_of_another_modality_is_segmented_after_the_user_agreed(desk, panel, worker, add_volume):
    refused(desk, panel, worker, add_volume())
    ((kind, text),) = desk.messages
    assert kind == "question"
    assert text.startswith("T1 does not look like MR, which the model")
    assert text.endswith("Segment it anyway?")
    assert desk.wait(lambda: len(worker.jobs) == 2)
    assert [parameters["force"] for _, parameters, _ in worker.messages] == [False, True]
    worker.finish()
    until_idle(desk, panel)
    assert len(segmentations(desk)) == 1
    assert len(desk.messages) == 1


def test_a_volume_of_another_modality_is_left_alone_when_the_user_declines(desk, panel, worker, add_volume):
    desk.confirm = False
    refused(desk, panel, worker, add_volume())
    assert not busy(panel)
    assert len(worker.jobs) == 1
    assert panel.ui.statusLabel.text.startswith("Cancelled")
    assert (panel.ui.applyButton.text, reason(panel)) == ("Apply", "")
    assert segmentations(desk) == []


def test_the_question_names_the_modality_that_dicom_tells(desk, panel, worker, add_volume):
    import slicer

    volume = add_volume()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(volume), "DICOM.Modality", "CT")
    refused(desk, panel, worker, volume)
    assert "T1 is CT, but the model" in desk.messages[0][1]


def test_choices_are_kept_in_the_scene(desk, panel, worker, add_volume):
    volume = add_volume()
    panel.ui.inputSelector.setCurrentNode(volume)
    panel.ui.modeComboBox.currentIndex = 2
    panel.ui.deviceComboBox.setCurrentIndex(panel.ui.deviceComboBox.findData("cpu"))
    desk.unload(panel)
    again = desk.load("MedAI")
    assert again.ui.inputSelector.currentNode() is volume
    assert again.ui.modeComboBox.currentIndex == 2
    assert again.ui.deviceComboBox.currentData == "cpu"
    assert again.ui.modelComboBox.currentData == "tiny"
    begin(desk, again, worker)
    assert worker.messages[0][1]["mode"] == "fast"
    assert worker.devices[-1] == "cpu"


def test_devices_are_asked_for_only_when_the_advanced_section_is_opened(desk, panel, worker):
    from MedAILib.worker.events import Finished

    assert worker.jobs == []
    panel.ui.advancedCollapsibleButton.collapsed = False
    panel.ui.advancedCollapsibleButton.collapsed = True
    panel.ui.advancedCollapsibleButton.collapsed = False
    assert [message[0] for message in worker.messages] == ["devices"]
    found = [{"name": "cuda:0", "title": "Big GPU", "free_bytes": 1}, {"name": "cpu", "title": "CPU", "free_bytes": 1}]
    worker.jobs[0].push(Finished({"devices": found}, {}))
    assert desk.wait(lambda: panel.ui.deviceComboBox.count == 3)
    assert panel.ui.deviceComboBox.currentData == "auto"
    assert panel.ui.deviceComboBox.itemText(1) == "Big GPU (cuda:0)"


def test_load_sample_chooses_the_sample(desk, panel, add_volume, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(downloadSamples=lambda name: [add_volume(name)]))
    press(panel.ui.sampleButton)
    assert panel.ui.inputSelector.currentNode().GetName() == "MRHead"


def test_the_sample_is_listed_in_the_sample_data_module_once_slicer_has_started(desk, panel, monkeypatch):
    from types import SimpleNamespace

    import slicer

    listed = []
    logic = SimpleNamespace(registerCustomSampleDataSource=lambda **source: listed.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=logic))
    slicer.app._slots["startupCompleted()"][-1]()
    assert [source["sampleName"] for source in listed] == ["MRHead"]
    assert Path(listed[0]["thumbnailFileName"]).is_file()
    assert listed[0]["uris"].endswith(listed[0]["checksums"].removeprefix("SHA256:"))


@pytest.mark.parametrize("loaded", [None, [], [None]], ids=["no module", "not downloaded", "damaged"])
def test_a_sample_that_cannot_be_loaded_is_explained(desk, panel, monkeypatch, loaded):
    from types import SimpleNamespace

    module = None if loaded is None else SimpleNamespace(downloadSamples=lambda name: loaded)
    monkeypatch.setitem(sys.modules, "SampleData", module)
    press(panel.ui.sampleButton)
    assert "MRHead could not be loaded" in desk.messages[0][1]


def test_packages_that_the_user_declines_end_in_a_sentence_and_no_run(desk, panel, worker, add_volume, monkeypatch):
    import slicer.packaging

    def declined(*_, **__):
        raise RuntimeError("User declined package installation")

    monkeypatch.setattr(slicer.packaging, "pip_ensure", declined)
    panel.ui.inputSelector.setCurrentNode(add_volume())
    press(panel.ui.applyButton)
    assert "needs Python packages that were not installed" in desk.messages[0][1]
    assert not busy(panel)
    assert worker.jobs == []


def test_reload_takes_all_parts_anew_and_stops_the_run(desk, panel, worker, add_volume, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("MedAILib", "MedAISlicer")]:
        # Put back afterwards: the other tests go on with the first copy of every class.
        monkeypatch.setitem(sys.modules, name, sys.modules[name])
    panel.ui.inputSelector.setCurrentNode(add_volume())
    begin(desk, panel, worker)
    old = sys.modules["MedAISlicer.run"]
    panel.onReload()
    again = desk.widgets["MedAI"]
    assert again is not panel
    assert sys.modules["MedAISlicer.run"] is not old
    assert worker.jobs[0].done
    assert again.ui.inputSelector.currentNode().GetName() == "T1"
    assert desk.messages == []


@pytest.mark.parametrize("name", ["MedAI", "MedAIRegistration", "MedAISuperRes"])
def test_every_module_introduces_itself(desk, models, worker, name):
    described = desk.load(name).description
    assert described.title
    assert described.categories
    assert described.contributors
    assert "href=" in described.helpText
    assert described.acknowledgementText
