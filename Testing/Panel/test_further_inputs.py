"""Models that see several volumes of a patient in the tab Auto."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Panel.steps import begin, press, reason, until_idle

INPUTS = ("T1", "FLAIR", "T2")


@pytest.fixture
def several(models: Path, panel: Any) -> Any:
    """The panel with a model of three inputs chosen."""
    from tiny_model import card_fields

    (models / "tumor").mkdir()
    card = card_fields(name="tumor", title="Tumor", input_channels=len(INPUTS), inputs=list(INPUTS))
    (models / "tumor" / "model.json").write_text(json.dumps(card), encoding="utf-8")
    panel.onModelAdded("tumor")
    return panel


def selectors(panel: Any) -> dict[str, Any]:
    """Name of the input to its chooser."""
    return panel._panel._further._selectors


def test_a_usual_model_has_one_chooser(panel: Any) -> None:
    assert selectors(panel) == {}
    assert panel.ui.inputLabel.text == "Input volume:"


def test_each_further_input_has_a_chooser_and_its_volume_goes_along(
    desk: Any, several: Any, worker: Any, add_volume: Any
) -> None:
    first, second = add_volume("first"), add_volume("second", np.full((6, 7, 8), 5, np.int16))
    assert several.ui.inputLabel.text == "Input volume (T1):"
    assert list(selectors(several)) == ["FLAIR", "T2"]
    several.ui.inputSelector.setCurrentNode(first)
    selectors(several)["FLAIR"].setCurrentNode(second)
    begin(desk, several, worker)
    _, parameters, arrays = worker.messages[-1]
    assert [(one["input"], one["name"]) for one in parameters["others"]] == [("FLAIR", "second")]
    assert (arrays["other0"] == 5).all()
    assert np.array_equal(arrays["image"], np.arange(6 * 7 * 8).reshape(6, 7, 8))


def test_the_choice_is_kept_in_the_scene_and_goes_with_the_model(
    desk: Any, several: Any, add_volume: Any, tmp_path: Path
) -> None:
    several.ui.inputSelector.setCurrentNode(add_volume("first"))
    selectors(several)["T2"].setCurrentNode(add_volume("second"))
    box = several.ui.modelComboBox
    box.setCurrentIndex(box.findData("tiny"))
    assert selectors(several) == {}
    box.setCurrentIndex(box.findData("tumor"))
    assert selectors(several)["T2"].currentNode().GetName() == "second"
    desk.scene.save(tmp_path / "scene.mrb")
    desk.scene.load(tmp_path / "scene.mrb")
    assert selectors(several)["T2"].currentNode().GetName() == "second"
    assert selectors(several)["FLAIR"].currentNode() is None


def test_a_further_volume_that_is_deleted_ends_the_run(desk: Any, several: Any, worker: Any, add_volume: Any) -> None:
    several.ui.inputSelector.setCurrentNode(add_volume("first"))
    second = add_volume("second")
    selectors(several)["T2"].setCurrentNode(second)
    begin(desk, several, worker)
    desk.scene.scene.RemoveNode(second)
    until_idle(desk, several)
    assert "second was deleted." in several.ui.statusLabel.text


def test_a_sequence_is_no_input_of_such_a_model(several: Any, add_sequence: Any) -> None:
    several.ui.inputSelector.setCurrentNode(add_sequence())
    assert "cannot take a sequence" in reason(several)


def test_a_missing_input_is_told_by_the_worker_in_a_sentence(
    desk: Any, several: Any, worker: Any, add_volume: Any
) -> None:
    several.ui.inputSelector.setCurrentNode(add_volume("first"))
    press(several.ui.applyButton)
    assert desk.wait(lambda: bool(worker.jobs))
    worker.fail("usage", "The model tumor sees 3 volumes of a patient at once; FLAIR, T2 are missing.")
    until_idle(desk, several)
    assert desk.messages[-1][1].endswith("FLAIR, T2 are missing.")


@pytest.fixture
def colored(models: Path, panel: Any) -> Any:
    """The panel with a model for pictures in colors chosen."""
    from tiny_model import card_fields

    (models / "stain").mkdir()
    card = card_fields(name="stain", title="Stain", input_channels=3, inputs=["red", "green", "blue"])
    (models / "stain" / "model.json").write_text(json.dumps(card), encoding="utf-8")
    panel.onModelAdded("stain")
    return panel


@pytest.fixture
def picture(desk: Any) -> Any:
    """A picture with opacity in the scene; red is 0, 10, 20, ..., and green one more, and so on."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "slide")
    array = np.arange(6 * 7 * 8)[:, None] * 10 + np.arange(4)
    slicer.util.updateVolumeFromArray(node, array.reshape(6, 7, 8, 4).astype(np.int16))
    return node


def test_a_model_for_pictures_takes_one_picture_with_all_its_colors(
    desk: Any, colored: Any, worker: Any, picture: Any
) -> None:
    assert selectors(colored) == {}
    assert colored.ui.inputLabel.text == "Input volume:"
    colored.ui.inputSelector.setCurrentNode(picture)
    assert reason(colored) == ""
    begin(desk, colored, worker)
    _, parameters, arrays = worker.messages[-1]
    assert "others" not in parameters
    assert arrays["image"].shape == (3, 6, 7, 8)
    assert [int(color[0, 0, 1]) for color in arrays["image"]] == [10, 11, 12]


def test_a_gray_volume_is_none_for_a_model_for_pictures(colored: Any, add_volume: Any) -> None:
    colored.ui.inputSelector.setCurrentNode(add_volume("T1"))
    assert reason(colored) == "The model Stain sees pictures in colors, and T1 is gray. Choose a picture."


def test_a_picture_is_none_for_a_usual_model(panel: Any, picture: Any) -> None:
    panel.ui.inputSelector.setCurrentNode(picture)
    assert "slide is in colors" in reason(panel)
    assert "Vector to Scalar Volume" in reason(panel)
    assert not panel.ui.applyButton.enabled


def test_the_result_of_a_picture_lies_on_it(desk: Any, colored: Any, worker: Any, picture: Any) -> None:
    from Panel.steps import segmentations

    colored.ui.inputSelector.setCurrentNode(picture)
    begin(desk, colored, worker)
    worker.finish()
    until_idle(desk, colored)
    assert desk.messages == []
    (node,) = segmentations(desk)
    assert node.GetSegmentation().GetNumberOfSegments() == 2
