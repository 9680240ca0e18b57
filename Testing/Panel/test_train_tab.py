"""The tab Train of the MedAI panel: from cases to a model, with a worker that does as it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Panel.steps import press
from Panel.train_steps import (
    TrainWorker,
    begin,
    charts,
    checked,
    curves,
    look,
    losses,
    open_tab,
    train,
    until_idle,
)


def test_the_tab_makes_nothing_before_it_is_seen(panel: Any, trainer: TrainWorker) -> None:
    assert not hasattr(panel._train, "ui")
    assert trainer.devices == []


def test_long_titles_do_not_widen_slicers_panel(panel: Any, trainer: TrainWorker) -> None:
    train = open_tab(panel)
    for box in (panel.ui.modelComboBox, train.networkComboBox, train.startComboBox):
        box.addItem("A model of whatever there is in images of any kind " * 4, "long")
        assert box.qt_object.minimumSizeHint().width() < 250


def test_without_cases_there_is_a_reason_and_no_training(panel: Any, trainer: TrainWorker, tmp_path: Path) -> None:
    widgets = open_tab(panel)
    assert "folder" in widgets.applyButton.toolTip
    assert not widgets.applyButton.enabled
    assert not widgets.checkButton.enabled
    widgets.dataFolderPathEdit.setCurrentPath(str(tmp_path / "nowhere"))
    assert "nowhere" in widgets.applyButton.toolTip
    widgets.dataFolderPathEdit.setCurrentPath(str(tmp_path))
    assert widgets.applyButton.enabled
    assert widgets.applyButton.text == "Train"


def test_a_name_that_a_model_has_is_not_taken_again(ui: Any) -> None:
    ui.nameLineEdit.text = "Tiny"
    assert "a model named tiny already" in ui.applyButton.toolTip
    assert not ui.applyButton.enabled
    ui.nameLineEdit.text = "***"
    assert "letters" in ui.applyButton.toolTip
    ui.nameLineEdit.text = "Größe 2"
    assert ui.applyButton.enabled


def test_check_tells_what_is_in_the_cases_and_what_is_wrong(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, data: Path
) -> None:
    press(ui.checkButton)
    begin(desk, panel, trainer, "check_cases")
    assert trainer.asked["data"] == str(data)
    trainer.report(
        ("a", "a: the label map is empty.", False), ("b.nii", "b.nii has no label map of the same name.", True)
    )
    until_idle(desk, panel)
    text = ui.reportLabel.text
    assert "3 cases can be used." in text
    assert "Ball: in 3 cases, median 1.25 ml." in text
    assert "Error: b.nii has no label map of the same name." in text
    assert "Warning: a: the label map is empty." in text
    assert "stands in the way" not in text
    assert desk.messages == []


def test_check_tells_how_the_network_would_be_trained(desk: Any, panel: Any, ui: Any, trainer: TrainWorker) -> None:
    ui.networkComboBox.setCurrentIndex(ui.networkComboBox.findData("vnet"))
    ui.patchSpinBox.setValue(64.0)
    press(ui.checkButton)
    begin(desk, panel, trainer, "check_cases")
    assert trainer.asked["network"] == "vnet"
    assert trainer.asked["plan"] == {"patch": [64, 64, 64]}
    plan = {"spacing": [5.0, 0.75, 0.8], "patch": [16, 64, 48], "training": 3, "validation": 1}
    trainer.answer({"cases": 4, "classes": [], "problems": [], **plan})
    until_idle(desk, panel)
    assert (
        "voxels of 0.8 x 0.75 x 5 mm, patches of 48 x 64 x 16; 3 cases to train on, 1 to check" in ui.reportLabel.text
    )


def test_a_training_does_not_begin_with_cases_that_have_errors(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker
) -> None:
    press(ui.applyButton)
    begin(desk, panel, trainer, "check_cases")
    assert ui.applyButton.text == "Cancel"
    trainer.report(("b.nii", "b.nii has no label map of the same name.", True))
    until_idle(desk, panel)
    assert [task for task, _, _ in trainer.messages] == ["check_cases"]
    assert "Error: b.nii" in ui.reportLabel.text
    assert ui.applyButton.text == "Train"


def test_what_was_chosen_is_what_the_worker_is_asked_for(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, data: Path, models: Path
) -> None:
    ui.nameLineEdit.text = "My liver"
    ui.budgetSpinBox.setValue(30.0)
    ui.spacingSpinBox.setValue(1.5)
    ui.patchSpinBox.setValue(64.0)
    ui.seedSpinBox.setValue(7.0)
    ui.networkComboBox.setCurrentIndex(ui.networkComboBox.findData("vnet"))
    ui.deviceComboBox.setCurrentIndex(ui.deviceComboBox.findData("cpu"))
    folder = train(desk, panel, trainer)
    assert folder == models.parent / "training" / "my-liver"
    assert trainer.devices == ["cpu"]
    wanted = {
        "recipe": "vnet",
        "data": str(data),
        "output": str(folder),
        "name": "my-liver",
        "title": "My liver",
        "seconds": 1800.0,
        "start": None,
        "plan": {"spacing": [1.5, 1.5, 1.5], "patch": [64, 64, 64]},
        "seed": 7,
        "resume": False,
        "install": True,
    }
    assert {name: trainer.asked[name] for name in wanted} == wanted


def test_a_model_to_start_from_brings_its_network_along(desk: Any, panel: Any, ui: Any, trainer: TrainWorker) -> None:
    ui.networkComboBox.setCurrentIndex(ui.networkComboBox.findData("vnet"))
    ui.startComboBox.setCurrentIndex(ui.startComboBox.findData("tiny"))
    assert "esidual" in ui.networkComboBox.currentText
    train(desk, panel, trainer)
    assert trainer.asked["start"] == "tiny"
    assert trainer.asked["recipe"] == "residual-unet"
    assert trainer.asked["plan"] == {}


def test_curves_and_figures_follow_the_log(desk: Any, panel: Any, ui: Any, trainer: TrainWorker) -> None:
    train(desk, panel, trainer)
    trainer.step("Training", 0.25, 90.0)
    assert desk.wait(lambda: "Training, about 2 min left" in ui.statusLabel.text)
    assert ui.progressBar.value == 25
    assert ui.curvesCollapsibleButton.collapsed
    trainer.write(*losses(1.2, 0.9), checked(20, Ball=0.5, Core=0.3))
    look(desk, panel)
    assert not ui.curvesCollapsibleButton.collapsed
    assert curves(panel)["Loss"] == ((10 / 60, 1.2), (20 / 60, 0.9))
    assert curves(panel)["Dice"] == ((20 / 60, 0.4),)
    assert curves(panel)["Core"] == ((20 / 60, 0.3),)
    trainer.write(*losses(0.7, first=30), checked(30, Ball=0.8, Core=0.6))
    look(desk, panel)
    assert curves(panel)["Loss"][-1] == (0.5, 0.7)
    assert curves(panel)["Ball"] == ((20 / 60, 0.5), (0.5, 0.8))
    assert ui.figuresLabel.text == "Loss 0.7. Validation cases: Dice 0.700 (Ball 0.800, Core 0.600)."


def test_the_picture_of_a_validation_case_is_shown_and_renewed(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker
) -> None:
    from skimage.io import imsave

    folder = train(desk, panel, trainer)
    look(desk, panel)
    assert not ui.previewLabel.visible
    assert not ui.previewCaptionLabel.visible
    imsave(folder / "preview.png", np.zeros((40, 120, 3), np.uint8), check_contrast=False)
    look(desk, panel)
    assert ui.previewLabel.qt_object.pixmap().width() == 120
    assert "the truth" in ui.previewCaptionLabel.text
    assert not ui.previewCaptionLabel.qt_object.isHidden()
    imsave(folder / "preview.png", np.zeros((400, 4000, 3), np.uint8), check_contrast=False)
    look(desk, panel)
    assert ui.previewLabel.qt_object.pixmap().width() == 300


def test_a_finished_model_is_listed_and_chosen_in_the_tab_auto(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, models: Path
) -> None:
    import json

    from tiny_model import card_fields

    ui.nameLineEdit.text = "Balls"
    train(desk, panel, trainer)
    (models / "balls").mkdir()
    (models / "balls" / "model.json").write_text(json.dumps(card_fields(name="balls", title="Balls")))
    trainer.write(finished="balls")
    trainer.answer({"model": "balls", "steps": 300, "seconds": 61.0, "dice": {"Ball": 0.9}, "concluded": False})
    until_idle(desk, panel)
    assert panel.ui.modelComboBox.currentData == "balls"
    assert "the model balls was trained for 61 s (300 steps)" in ui.statusLabel.text
    assert "Dice 0.900" in ui.statusLabel.text
    assert ui.nameLineEdit.text == "Balls 2"
    assert ui.applyButton.enabled
    assert ui.startComboBox.findData("balls") > 0
    assert desk.status == ["MedAI: the training Balls has ended."]
    assert trainer.closed == 1
    assert desk.messages == []


@pytest.mark.parametrize(("seconds", "text"), [(89.0, "89 s"), (5000.0, "83 min"), (9000.0, "2.5 h"), (4e5, "111 h")])
def test_the_remaining_time_is_told_in_a_unit_that_suits_it(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, seconds: float, text: str
) -> None:
    train(desk, panel, trainer)
    trainer.step("Training", 0.1, seconds)
    assert desk.wait(lambda: f"about {text} left" in ui.statusLabel.text)


def test_finish_now_keeps_what_there_is(desk: Any, panel: Any, ui: Any, trainer: TrainWorker) -> None:
    assert not ui.stopButton.enabled
    train(desk, panel, trainer)
    trainer.step("Training", 0.5)
    assert desk.wait(lambda: ui.stopButton.enabled)
    press(ui.stopButton)
    assert trainer.concluded == [trainer.jobs[-1]]
    assert "Finishing" in ui.statusLabel.text
    assert not ui.stopButton.enabled


def test_pause_saves_the_state_and_resume_goes_on(desk: Any, panel: Any, ui: Any, trainer: TrainWorker) -> None:
    folder = train(desk, panel, trainer)
    trainer.write(*losses(1.0))
    assert ui.applyButton.text == "Pause"
    press(ui.applyButton)
    until_idle(desk, panel)
    assert "Paused." in ui.statusLabel.text
    assert trainer.closed == 1
    assert ui.applyButton.text == "Resume"
    press(ui.applyButton)
    begin(desk, panel, trainer, "train")
    assert (trainer.asked["output"], trainer.asked["resume"]) == (str(folder), True)
    trainer.write(*losses(1.0, 0.8))
    look(desk, panel)
    assert [loss for _, loss in curves(panel)["Loss"]] == [1.0, 1.0, 0.8]
    assert len(charts(desk)) == 1
    assert desk.messages == []


def test_another_name_begins_another_training(desk: Any, panel: Any, ui: Any, trainer: TrainWorker) -> None:
    train(desk, panel, trainer)
    press(ui.applyButton)
    until_idle(desk, panel)
    ui.nameLineEdit.text = "Second"
    assert ui.applyButton.text == "Train"
    ui.nameLineEdit.text = "My model"
    assert ui.applyButton.text == "Resume"


def test_a_folder_that_may_not_be_looked_into_is_no_error_while_somebody_types(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        ui.dataFolderPathEdit.setCurrentPath("/locked/cases")
    assert "There is no folder /locked/cases" in ui.applyButton.toolTip
    ui.dataFolderPathEdit.setCurrentPath("~nobody-of-this-name/cases")
    assert "There is no folder ~nobody-of-this-name/cases" in ui.applyButton.toolTip


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("memory", "There is not enough memory for the training."),
        ("unwritable", "checkpoint.safetensors: the disk or the quota is full."),
        ("worker", "The worker process ended unexpectedly during 'train' (signal 9)."),
    ],
)
def test_a_failed_training_says_why_in_a_sentence_and_can_go_on(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, code: str, message: str
) -> None:
    train(desk, panel, trainer)
    trainer.fail(code, message, "Traceback: not for users")
    until_idle(desk, panel)
    assert desk.messages == [("error", message)]
    assert ui.statusLabel.text.startswith(message)
    assert "Traceback" not in ui.statusLabel.text
    assert "Resume goes on" in ui.statusLabel.text
    assert ui.applyButton.text == "Resume"


def test_too_few_steps_give_no_model_and_are_not_lost(desk: Any, panel: Any, ui: Any, trainer: TrainWorker) -> None:
    train(desk, panel, trainer)
    trainer.answer({"model": "", "steps": 12, "seconds": 3.0, "dice": {}, "concluded": True})
    until_idle(desk, panel)
    assert "Only 12 steps were done" in ui.statusLabel.text
    ui.budgetSpinBox.setValue(20.0)
    press(ui.applyButton)
    begin(desk, panel, trainer, "train")
    assert (trainer.asked["seconds"], trainer.asked["resume"]) == (1200.0, True)
    assert panel.ui.modelComboBox.currentData == "tiny"
