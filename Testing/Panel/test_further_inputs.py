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
