"""The schema checker, and what it says of model cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MedAILib.errors import ModelError
from MedAILib.labels import Label
from MedAILib.models import read_card
from MedAILib.models.schema import problems
from tiny_model import BALL, card_fields


def write_card(folder: Path, fields: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("value", "schema", "line"),
    [
        (1, {"type": "string"}, "the file: must be a string, not 1"),
        (True, {"type": "integer"}, "the file: must be an integer, not True"),
        (float("nan"), {"type": "number"}, "the file: must be a number, not nan"),
        ({}, {"required": ["a"]}, "a: is missing"),
        (
            {"a": {"b": 1}},
            {"properties": {"a": {"properties": {"b": {"enum": [2]}}}}},
            "a.b: must be one of [2], not 1",
        ),
        ({"b": 1}, {"properties": {"a": {}}, "additionalProperties": False}, "b: is not a field of this file"),
        ({"b": 1}, {"additionalProperties": {"type": "null"}}, "b: must be null, not 1"),
        ([1, -1], {"items": {"minimum": 0}}, "[1]: must be at least 0, not -1"),
        ([1], {"minItems": 2}, "the file: must have at least 2 items, not a list"),
        ([1, 2], {"maxItems": 1}, "the file: must have at most 1 items, not a list"),
        (0, {"exclusiveMinimum": 0}, "the file: must be above 0, not 0"),
        (2, {"maximum": 1}, "the file: must be at most 1, not 2"),
        ("", {"minLength": 1}, "the file: must not be empty, not ''"),
        ("A", {"pattern": "^[a-z]$"}, "the file: must match ^[a-z]$, not 'A'"),
        (1, {"anyOf": [{"type": "string"}, {"type": "null"}]}, "the file: must be a string, not 1"),
        (1, {"$ref": "#/$defs/text", "$defs": {"text": {"type": "string"}}}, "the file: must be a string, not 1"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_the_rule(value: Any, schema: dict[str, Any], line: str) -> None:
    assert problems(value, schema) == [line]


def test_a_keyword_that_is_not_checked_is_no_silent_pass() -> None:
    with pytest.raises(ValueError, match="uniqueItems"):
        problems([], {"uniqueItems": True})


def test_a_valid_card_is_read_with_its_labels_in_network_order(tmp_path: Path) -> None:
    card = read_card(write_card(tmp_path / "tiny", card_fields()))
    assert [label.value for label in card.classes] == [10, 20]
    assert card.spacing == (2.0, 2.0, 2.0)
    assert card.total_ml == (4.0, 15.0)
    assert "Ball and core" in card.text()


def test_a_label_survives_its_json_form(tmp_path: Path) -> None:
    label = read_card(write_card(tmp_path / "tiny", card_fields())).classes[0]
    assert Label.from_json(json.loads(json.dumps(label.to_json()))) == label


def test_a_hidden_class_is_no_label_of_the_result(tmp_path: Path) -> None:
    fields = card_fields()
    fields["labels"][0]["output"] = False
    card = read_card(write_card(tmp_path / "tiny", fields))
    assert card.hidden == {BALL}
    assert [label.name for label in card.labels] == ["Core"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spacing": [2, 2]}, "spacing: must have at least 3 items"),
        ({"spacing": [2, 2, 0]}, "spacing[2]: must be above 0"),
        ({"surprise": 1}, "surprise: is not a field of this file"),
        ({"intended_use": "diagnosis"}, "intended_use: must be one of ['research only']"),
        ({"schema_version": 2}, "schema version 2, this MedAI knows up to 1. Update MedAI"),
        ({"schema_version": "1"}, "schema_version: must be an integer"),
        ({"limits": []}, "limits: must have at least 1 items"),
        ({"plausible_volumes_ml": {"Nose": [1, 2]}}, "plausible_volumes_ml.Nose: no label has this name"),
        ({"total_ml": [2, 1]}, "total_ml: the range 2 to 1 ml is upside down"),
        ({"name": "../evil"}, "name: must match"),
        ({"labels": []}, "labels: must have at least 1 items"),
    ],
)
def test_a_bad_field_is_named_with_the_file(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    folder = write_card(tmp_path / "tiny", card_fields(**change))
    with pytest.raises(ModelError) as caught:
        read_card(folder)
    assert words in str(caught.value)
    assert str(folder / "model.json") in str(caught.value)


def test_labels_of_equal_value_or_name_are_refused(tmp_path: Path) -> None:
    fields = card_fields()
    fields["labels"] = [fields["labels"][0], fields["labels"][0]]
    with pytest.raises(ModelError, match="the value 10 is used twice"):
        read_card(write_card(tmp_path / "tiny", fields))


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "[" * 100_000, "\x00\xff"])
def test_a_card_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"model\.json"):
        read_card(tmp_path)


def test_a_folder_without_a_card_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model folder"):
        read_card(tmp_path)
