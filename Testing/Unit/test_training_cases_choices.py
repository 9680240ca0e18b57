"""Which networks can be trained on labeled cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from MedAILib.errors import ReadError
from MedAILib.networks import NETWORKS
from MedAILib.training.cases.choices import PLAIN, choices

ROW = {"title": "V-Net", "parameters": 1.2e6, "training_s": 300.0, "inference_s": 1.1, "dice": {"a": 0.8, "b": 0.6}}


def write(folder: Path, name: str, **values: object) -> None:
    recipe = {"task": "cases", "title": name.title(), "network": {"name": "vnet"}, **values}
    (folder / f"{name}.json").write_text(json.dumps(recipe), encoding="utf-8")


def test_every_bundled_choice_names_a_network_and_the_plain_one_is_among_them() -> None:
    found = choices()
    assert PLAIN in [choice.name for choice in found]
    assert all(choice.network in NETWORKS and choice.title for choice in found)


def test_the_best_measured_comes_first_then_the_plain_one_then_the_others(tmp_path: Path) -> None:
    for name in ("zebra", PLAIN, "apple", "vnet"):
        write(tmp_path, name)
    write(tmp_path, "other", task="segmentation")
    figures = tmp_path.parent / "figures.json"
    figures.write_text(json.dumps({"data": "hippocampus MR", "networks": {"vnet": ROW}}), encoding="utf-8")
    found = choices(tmp_path, figures)
    assert [choice.name for choice in found] == ["vnet", PLAIN, "apple", "zebra"]
    assert found[0].dice == pytest.approx(0.7)
    assert (found[0].data, found[1].data, found[1].dice) == ("hippocampus MR", "", None)


def test_a_damaged_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(ReadError, match=r"bad\.json"):
        choices(tmp_path, tmp_path / "none.json")
