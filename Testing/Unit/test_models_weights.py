"""Weights that are damaged, foreign or belong to another network are refused with the reason."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from MedAILib.errors import ModelError
from MedAILib.models import load_network, read_card, verify
from tiny_model import tiny_network, write_model


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "tiny"))


def refuse(folder: Path, words: str) -> None:
    """Both the quick check and loading refuse the model with these words."""
    card = read_card(folder)
    for check in (verify, load_network):
        with pytest.raises(ModelError) as caught:
            check(card)
        assert words in str(caught.value)
        assert str(folder) in str(caught.value)


def set_field(folder: Path, name: str, value: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))


def test_a_whole_model_loads_ready_for_use(tiny: Path) -> None:
    network = load_network(read_card(tiny))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_missing_weights_are_named(model: Path) -> None:
    (model / "weights.safetensors").unlink()
    refuse(model, "weights of model tiny are missing")


def test_one_flipped_bit_is_noticed(model: Path) -> None:
    path = model / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    refuse(model, "damaged or was exchanged")


def test_truncated_weights_are_noticed(model: Path) -> None:
    path = model / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:20])
    refuse(model, "cut short")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: torch.save({"w": torch.zeros(3)}, path), "PyTorch or zip archive"),
        (lambda path: path.write_bytes(pickle.dumps([1, 2, 3] * 50)), "is a pickle"),
        (
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
            "LFS pointer",
        ),
        (lambda path: path.write_text("<!DOCTYPE html><html>not found</html>"), "a web page"),
        (lambda path: path.write_bytes(b""), "not a safetensors file"),
    ],
)
def test_a_foreign_file_is_called_by_its_kind(model: Path, write: Callable[[Path], Any], words: str) -> None:
    write(model / "weights.safetensors")
    refuse(model, words)


@pytest.mark.parametrize("name", ["../weights.safetensors", "/etc/hostname", "a\\b.safetensors", "sub/w.safetensors"])
def test_weights_outside_the_folder_are_refused(model: Path, name: str) -> None:
    set_field(model, "weights", {"file": name, "sha256": "0" * 64})
    refuse(model, "must name a file in the model's own folder")


def test_a_pickle_by_name_is_refused_before_it_is_opened(model: Path) -> None:
    set_field(model, "weights", {"file": "weights.pt", "sha256": "0" * 64})
    refuse(model, "loads .safetensors files only")


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_a_symbolic_link_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    real = (model / name).rename(tmp_path / name)
    (model / name).symlink_to(real)
    with pytest.raises(ModelError, match="is a symbolic link"):
        verify(read_card(model))


def test_untrained_weights_are_refused(model: Path) -> None:
    set_field(model, "trained", False)
    refuse(model, "not trained")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("head.bias"), "missing head.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "unexpected extra"),
        (lambda state: state.update({"head.bias": torch.zeros(4)}), "tensor head.bias has shape (4,)"),
        (lambda state: state.update({"head.bias": torch.tensor([0, 0, float("nan")])}), "not finite"),
        (lambda state: state.update({"head.bias": torch.zeros(3, dtype=torch.int64)}), "holds torch.int64"),
    ],
)
def test_tensors_that_do_not_belong_to_the_network_are_named(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], Any], words: str
) -> None:
    import hashlib

    folder = write_model(tmp_path / "tiny")
    state = dict(tiny_network().state_dict())
    change(state)
    save_file(state, folder / "weights.safetensors")
    content = (folder / "weights.safetensors").read_bytes()
    set_field(folder, "weights", {"file": "weights.safetensors", "sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(ModelError) as caught:
        load_network(read_card(folder))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"name": "no_such_net", "arguments": {}}, "no_such_net"),
        ({"name": "residual_unet", "arguments": {"wings": 2}}, "wings"),
        (
            {"name": "residual_unet", "arguments": {"classes": 5, "widths": [2, 2], "convolutions": 1}},
            "tensor head.bias",
        ),
    ],
)
def test_a_network_that_cannot_be_built_or_is_another_one_is_refused(
    model: Path, network: dict[str, Any], words: str
) -> None:
    set_field(model, "network", network)
    with pytest.raises(ModelError, match=words):
        load_network(read_card(model))


def test_a_card_with_more_labels_than_the_network_has_outputs_is_refused(model: Path) -> None:
    labels = json.loads((model / "model.json").read_text())["labels"]
    set_field(model, "labels", [*labels, {**labels[0], "value": 30, "name": "Third"}])
    with pytest.raises(ModelError, match="3 outputs, the card names 4"):
        load_network(read_card(model))
