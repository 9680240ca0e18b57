"""The tab Train and the scene: its segmentations as cases, its nodes that go, and trainings that outlive it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from Panel.steps import press
from Panel.train_steps import (
    SCENE,
    TRAIN,
    TrainWorker,
    begin,
    busy,
    charts,
    choose_source,
    curves,
    look,
    losses,
    open_tab,
    train,
    until_idle,
)


def test_a_training_goes_on_when_the_scene_is_closed_and_its_curves_are_drawn_in_the_new_one(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker
) -> None:
    ui.nameLineEdit.text = "Long one"
    train(desk, panel, trainer)
    trainer.write(*losses(1.0))
    look(desk, panel)
    desk.scene.scene.Clear(False)
    assert charts(desk) == []
    assert busy(panel)
    assert ui.applyButton.text == "Pause"
    assert ui.nameLineEdit.text == "Long one"
    trainer.write(*losses(0.5, first=20))
    look(desk, panel)
    assert curves(panel)["Loss"] == ((10 / 60, 1.0), (20 / 60, 0.5))
    assert len(charts(desk)) == 1
    assert desk.messages == []


def test_the_plot_stays_out_of_slicers_layout_after_the_scene_was_closed(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker
) -> None:
    from MedAISlicer.train.curves import view_node
    from MedAISlicer.train.parameters import parameters

    for _ in range(2):
        view = view_node(parameters().parameterNode)
        assert view.GetParentLayoutNode() is parameters().parameterNode
        assert not view.GetDoPropagatePlotChartSelection()
        desk.scene.scene.Clear(False)


def test_a_closed_scene_ends_a_look_at_its_cases(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, add_case: Callable[..., Any]
) -> None:
    add_case("Anna", "Ball")
    choose_source(ui, SCENE)
    press(ui.applyButton)
    begin(desk, panel, trainer, "check_cases")
    desk.scene.scene.Clear(False)
    until_idle(desk, panel)
    assert "The scene was closed." in ui.statusLabel.text


def test_the_training_begins_although_the_user_went_to_another_tab_meanwhile(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker
) -> None:
    press(ui.applyButton)
    begin(desk, panel, trainer, "check_cases")
    panel.ui.tabWidget.setCurrentIndex(0)
    desk.leave(panel)
    trainer.report()
    begin(desk, panel, trainer, "train")


def test_what_a_paused_training_learns_from_is_not_written_anew(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, add_case: Callable[..., Any]
) -> None:
    add_case("Anna", "Ball")
    choose_source(ui, SCENE)
    train(desk, panel, trainer)
    press(ui.applyButton)
    until_idle(desk, panel)
    assert not ui.checkButton.enabled
    assert "goes on with the cases as they were" in ui.checkButton.toolTip
    assert ui.applyButton.text == "Resume"
    ui.nameLineEdit.text = "Second"
    assert ui.checkButton.enabled


def test_a_segmentation_that_was_deleted_is_no_case_any_more(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, add_case: Callable[..., Any]
) -> None:
    first, second = add_case("Anna", "Ball"), add_case("Bert", "Ball")
    choose_source(ui, SCENE)
    desk.scene.scene.RemoveNode(first)
    press(ui.checkButton)
    begin(desk, panel, trainer, "check_cases")
    assert [path.name for path in (Path(trainer.asked["data"]) / "images").iterdir()] == ["Bert.nii"]
    trainer.report()
    until_idle(desk, panel)
    desk.scene.scene.RemoveNode(second)
    assert "Check the segmentations" in ui.applyButton.toolTip
    assert not ui.applyButton.enabled
    assert desk.messages == []


def test_a_training_that_ends_with_slicer_makes_no_nodes_any_more(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker
) -> None:
    train(desk, panel, trainer)
    trainer.write(*losses(1.0))
    desk.unload(panel)
    assert trainer.jobs[-1].done
    assert charts(desk) == []


def test_a_closed_slicer_offers_to_go_on_when_it_is_back(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, tmp_path: Path
) -> None:
    ui.nameLineEdit.text = "Long one"
    train(desk, panel, trainer)
    desk.unload(panel)
    assert trainer.jobs[-1].done
    assert trainer.closed == 1
    desk.new_scene(tmp_path)
    again = desk.load("MedAI")
    widgets = open_tab(again)
    assert widgets.nameLineEdit.text == "Long one"
    assert widgets.applyButton.text == "Resume"
    assert "Long one is not finished" in widgets.statusLabel.text
    press(widgets.applyButton)
    begin(desk, again, trainer, "train")
    assert trainer.asked["resume"] is True


def test_a_training_goes_on_while_other_tabs_and_modules_are_used(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker
) -> None:
    train(desk, panel, trainer)
    panel.ui.tabWidget.setCurrentIndex(0)
    desk.leave(panel)
    trainer.write(*losses(1.0))
    look(desk, panel)
    assert busy(panel)
    desk.enter(panel)
    panel.ui.tabWidget.setCurrentIndex(TRAIN)
    assert ui.applyButton.text == "Pause"
    assert not ui.nameLineEdit.enabled


def test_the_scenes_segmentations_become_cases(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, add_case: Callable[..., Any]
) -> None:
    from MedAILib.training.cases.checks import check_cases

    first, second = add_case("Anna", "Ball", "Core"), add_case("Bert", "core", "Ball")
    choose_source(ui, SCENE)
    assert ui.segmentationsSelector.checkedNodes() == [first, second]
    assert not ui.dataFolderPathEdit.visible
    press(ui.applyButton)
    begin(desk, panel, trainer, "check_cases")
    folder = Path(trainer.asked["data"])
    found = check_cases(folder)
    assert [one.name for one in found.facts] == ["Anna", "Bert"]
    assert [(one.label.name, one.cases) for one in found.classes] == [
        ("Ball", ("Anna", "Bert")),
        ("Core", ("Anna", "Bert")),
    ]
    assert found.facts[0].voxels == found.facts[1].voxels == {1: 12, 2: 12}
    trainer.report()
    begin(desk, panel, trainer, "train")
    assert trainer.asked["data"] == str(folder)


def test_segmentations_that_are_no_cases_are_named(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, add_case: Callable[..., Any], add_volume: Callable[..., Any]
) -> None:
    volume = add_volume("Anna")
    cases = [add_case("Anna", "Ball", on=volume), add_case("Twin", "Ball", on=volume), add_case("Empty")]
    lost = desk.scene.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Lost")
    choose_source(ui, SCENE)
    ui.segmentationsSelector.qt_object.check(lost)
    assert len(cases) == 3
    press(ui.checkButton)
    begin(desk, panel, trainer, "check_cases")
    trainer.report()
    until_idle(desk, panel)
    text = ui.reportLabel.text
    assert "Twin segmentation and Anna segmentation are both segmentations of Anna" in text
    assert "Empty segmentation has no segments" in text
    assert "Lost has no source volume" in text


def test_a_segmentation_that_is_deleted_while_cases_are_written_ends_that(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, add_case: Callable[..., Any]
) -> None:
    node = add_case("Anna", "Ball")
    choose_source(ui, SCENE)
    press(ui.applyButton)
    desk.scene.scene.RemoveNode(node)
    until_idle(desk, panel)
    assert "Anna segmentation was deleted." in ui.statusLabel.text
    assert trainer.messages == []


def test_choices_come_back_with_the_scene(
    desk: Any, panel: Any, ui: Any, trainer: TrainWorker, tmp_path: Path, data: Path
) -> None:
    ui.nameLineEdit.text = "Liver"
    ui.budgetSpinBox.setValue(45.0)
    desk.scene.save(tmp_path / "scene.mrb")
    ui.nameLineEdit.text = "Other"
    desk.scene.load(tmp_path / "scene.mrb")
    assert ui.nameLineEdit.text == "Liver"
    assert ui.budgetSpinBox.value == 45.0
    assert ui.dataFolderPathEdit.currentPath == str(data)


def test_a_scene_from_another_computer_brings_no_folder_of_it(panel: Any, trainer: TrainWorker, models: Path) -> None:
    from MedAISlicer.train.parameters import parameters

    parameters().outputFolder = str(models / "not" / "on" / "this" / "computer")
    assert open_tab(panel).outputFolderPathEdit.currentPath == str(models.parent / "training")
