"""Add model: a folder of whoever made it becomes a model that can be chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from Panel.steps import press


@pytest.fixture
def foreign(desk: Any, tmp_path: Path) -> Path:
    """The folder that the user will choose."""
    desk.folder = str(tmp_path / "Dataset042_Spleen")
    return Path(desk.folder)


def install(models: Path, name: str) -> None:
    from tiny_model import card_fields

    (models / name).mkdir(exist_ok=True)
    (models / name / "model.json").write_text(json.dumps(card_fields(name=name, title="Spleen")), encoding="utf-8")


def finish(worker: Any, models: Path) -> None:
    from MedAILib.worker.events import Finished

    install(models, "spleen")
    worker.jobs[-1].push(Finished({"name": "spleen", "title": "Spleen"}))


def test_a_model_is_added_and_chosen(desk: Any, panel: Any, worker: Any, models: Path, foreign: Path) -> None:
    press(panel.ui.addModelButton)
    task, asked, _ = worker.messages[-1]
    assert task == "import_model"
    assert asked == {"folder": str(foreign), "allow_code": False, "overwrite": False}
    assert not panel.ui.addModelButton.enabled
    worker.step("Reading the model", 0.0)
    assert desk.wait(lambda: panel.ui.statusLabel.text == "Reading the model")
    finish(worker, models)
    assert desk.wait(lambda: panel.ui.addModelButton.enabled)
    assert panel.ui.modelComboBox.currentData == "spleen"
    assert panel.ui.statusLabel.text == "The model Spleen was added."
    assert desk.messages == []


def test_no_folder_is_no_model(desk: Any, panel: Any, worker: Any) -> None:
    press(panel.ui.addModelButton)
    assert worker.messages == []


@pytest.mark.parametrize(
    ("code", "word", "argument"), [("code", "trust", "allow_code"), ("output-exists", "Replace", "overwrite")]
)
def test_code_and_a_name_that_is_taken_are_asked_for(
    desk: Any, panel: Any, worker: Any, models: Path, foreign: Path, code: str, word: str, argument: str
) -> None:
    press(panel.ui.addModelButton)
    worker.fail(code, "not just like that")
    assert desk.wait(lambda: len(worker.jobs) == 2)
    ((kind, question),) = desk.messages
    assert kind == "question"
    assert word in question
    assert str(foreign) in question
    assert worker.messages[-1][1][argument] is True
    finish(worker, models)
    assert desk.wait(lambda: panel.ui.modelComboBox.currentData == "spleen")


def test_a_no_leaves_everything_as_it_was(desk: Any, panel: Any, worker: Any, foreign: Path) -> None:
    desk.confirm = False
    press(panel.ui.addModelButton)
    worker.fail("code", "not just like that")
    assert desk.wait(lambda: panel.ui.addModelButton.enabled)
    assert len(worker.jobs) == 1
    assert panel.ui.modelComboBox.currentData == "tiny"


def test_what_is_no_model_is_told_in_a_sentence(desk: Any, panel: Any, worker: Any, foreign: Path) -> None:
    press(panel.ui.addModelButton)
    worker.fail("model", "Dataset042_Spleen: holds no model that MedAI knows.", "Traceback")
    assert desk.wait(lambda: panel.ui.addModelButton.enabled)
    assert desk.messages == [("error", "Dataset042_Spleen: holds no model that MedAI knows.")]


def test_a_closed_module_forgets_the_folder(desk: Any, panel: Any, worker: Any, foreign: Path) -> None:
    press(panel.ui.addModelButton)
    desk.unload(panel)
    assert worker.jobs[-1].done
    assert desk.messages == []
