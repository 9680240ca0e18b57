"""unORANIC and DLEST: their losses, who is trained by which, and what a tiny training achieves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.errors import ReadError, UsageError
from MedAILib.files import write_image
from MedAILib.networks.dlest import DLEST
from MedAILib.networks.unoranic import Unoranic
from MedAILib.superres.own_model import read_own_model
from MedAILib.training import run
from MedAILib.training.artefacts import ArtefactSettings
from MedAILib.training.config import load_values
from MedAILib.training.distributed import World
from MedAILib.training.slices.config import SliceRecipe, slice_recipe_from
from MedAILib.training.slices.dlest import DlestTrainer, translated
from MedAILib.training.slices.slices import corrupted, draw_crops, read_slices, split_sites
from MedAILib.training.slices.unoranic import consistency, decibels, reconstruction
from slice_phantoms import TISSUES, ellipses, volume_of, write_sites
from Unit.registration_tools import single_thread

CONTRAST = 0.45
TINY: dict[str, dict[str, Any]] = {
    "unoranic": {
        "network": {"name": "unoranic", "arguments": {"latent": 64}},
        "data": {"held_out": ["held"]},
        "losses": {"crop": 16, "consistency": 1e-4},
        "artefacts": {"bias": 0.8, "blur": 0.8, "noise": 0.25, "gamma": 0.5, "thick": 0.0, "coarse": 0.2},
    },
    "dlest": {
        "network": {
            "name": "dlest",
            "arguments": {"side": 16, "least": 16, "most": 32, "latent": 32, "size": 0.1},
        },
        "data": {"target": "target/*.nii.gz", "held_out": ["held"]},
        "losses": {"generation": 0.66},
    },
}
BOTH = pytest.mark.parametrize("name", list(TINY))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


def values(name: str, steps: int, **training: object) -> dict[str, Any]:
    usual = {"steps": steps, "learning_rate": 3e-3, "weight_decay": 0.0, "warmup": 20, "batch": 8, "ema": 0.98}
    usual["clip"] = 10.0
    return {"task": "slices", **TINY[name], "training": {**usual, "precision": "float32", **training}}


def recipe(name: str, folder: Path, steps: int, **training: object) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(values(name, steps, **training)), encoding="utf-8")
    return path


def pictures(count: int = 32, seed: int = 9) -> torch.Tensor:
    """Never trained on."""
    return torch.from_numpy(ellipses(count, seed))[:, None]


def test_reconstruction_is_the_norm_over_the_number_of_pixels() -> None:
    picture, found = torch.zeros(2, 1, 4, 5), torch.zeros(2, 1, 4, 5)
    found[0] += 3.0
    norm = 3.0 * 20**0.5
    assert float(reconstruction(picture, found)) == pytest.approx(0.5 * norm / 20)
    assert float(reconstruction(picture, found, squared=True)) == pytest.approx(4.5)


def test_consistency_is_the_mean_distance_of_all_pairs() -> None:
    codes = torch.zeros(1, 3, 4, 1, 1)
    codes[0, 1], codes[0, 2] = 1.0, 2.0
    # ‖·‖ of the pairs: 2, 4 and 2
    assert float(consistency(codes)) == pytest.approx(8.0 / 3.0)
    assert float(consistency(codes, squared=True)) == pytest.approx((1.0 + 4.0 + 1.0) / 3.0)


def touched(network: nn.Module, loss: torch.Tensor) -> set[str]:
    """The parts of a network that a loss has a gradient for."""
    named = list(network.named_parameters())
    slopes = torch.autograd.grad(loss, [weight for _, weight in named], retain_graph=True, allow_unused=True)
    return {
        name.split(".")[0]
        for (name, _), slope in zip(named, slopes, strict=True)
        if slope is not None and float(slope.abs().max()) > 0.0
    }


def test_characteristics_and_decoder_only_learn_from_the_corrupted_picture() -> None:
    torch.manual_seed(0)
    network = Unoranic(16)
    variants = torch.rand(2, 3, 16, 16)
    again, restored, codes = network(variants)
    assert touched(network, reconstruction(variants[:, :1], restored)) == {"anatomy", "anatomy_decoder"}
    assert touched(network, consistency(codes)) == {"anatomy"}
    first = touched(network, reconstruction(variants[:, :1], again))
    assert first == {"anatomy", "characteristics", "decoder"}


def test_every_variant_is_corrupted_in_a_way_of_its_own() -> None:
    clean = pictures(2)
    found = corrupted([(1, 2), (1, 3)], clean, 3, ArtefactSettings())
    assert found.shape == (2, 3, 16, 16)
    assert float((found[:, 0] - found[:, 1]).abs().max()) > 0.01
    assert torch.equal(found, corrupted([(1, 2), (1, 3)], clean, 3, ArtefactSettings()))


@pytest.mark.slow
def test_unoranic_removes_corruptions_that_it_never_saw(tmp_path: Path) -> None:
    folder = write_sites(tmp_path / "data")
    path = recipe("unoranic", tmp_path, 400)
    run(path, folder, tmp_path / "run", device="cpu")
    network, card = read_own_model(Unoranic, "unoranic", "unoranic", tmp_path / "run" / "model")
    told = card.training["validation"]
    assert told["restored_db"] > told["corrupted_db"]
    artefacts = slice_recipe_from(values("unoranic", 1), "tiny").losses.artefacts  # type: ignore[union-attr]
    clean = pictures()
    found = corrupted([(77, number) for number in range(len(clean))], clean, 1, artefacts)
    with torch.no_grad():
        assert decibels(clean, network.clean(found)) > decibels(clean, found) + 1.0


def dlest_trainer(folder: Path, output: Path, steps: int = 10) -> DlestTrainer:
    made: SliceRecipe = slice_recipe_from(values("dlest", steps), "tiny")
    trained, held_out = read_slices(made.data, folder)
    output.mkdir(exist_ok=True)
    return DlestTrainer(made, *split_sites(trained, folder, made.data.target), held_out, output, World("cpu"))


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, torch.Tensor], network: nn.Module) -> set[str]:
    return {name.split(".")[0] for name, now in network.state_dict().items() if not torch.equal(before[name], now)}


def test_the_first_stage_leaves_the_energy_and_the_second_changes_nothing_else(tmp_path: Path) -> None:
    trainer = dlest_trainer(write_sites(tmp_path / "data"), tmp_path / "run")
    before = weights(trainer.network)
    trainer.step(trainer.network, 0.1)
    trainer.step(trainer.network, 0.2)
    assert changed(before, trainer.network) == {"mapping", "encoder", "decoder", "discriminator"}
    average = weights(trainer.average)
    trainer.step(trainer.network, 0.8)
    assert changed(average, trainer.network) == {"energy_layers"}, "it goes on from the averaged weights"
    before = weights(trainer.network)
    trainer.step(trainer.network, 0.9)
    assert changed(before, trainer.network) == {"energy_layers"}


def test_a_run_that_goes_on_in_the_second_stage_keeps_the_autoencoder(tmp_path: Path) -> None:
    folder = write_sites(tmp_path / "data")
    trainer = dlest_trainer(folder, tmp_path / "run", 5)
    trainer.run()
    again = dlest_trainer(folder, tmp_path / "run", 8)
    assert again.resume()
    before = weights(again.network)
    assert changed(weights(trainer.network), again.network) == set()
    again.step(again.network, 0.95)
    assert changed(before, again.network) == {"energy_layers"}


def test_the_energy_becomes_low_where_the_target_site_is(tmp_path: Path) -> None:
    trainer = dlest_trainer(write_sites(tmp_path / "data"), tmp_path / "run")
    network, settings = trainer.network, trainer.losses
    source, target = pictures(), pictures() ** CONTRAST
    optimizer = torch.optim.Adam(network.energy_layers.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        translated(network, source, target, settings).backward()
        optimizer.step()
    with torch.no_grad():
        assert float(network.energy(network.encoder(target)).mean()) < float(
            network.energy(network.encoder(source)).mean()
        )


def histogram_distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean distance of all percentiles."""
    steps = torch.linspace(0.0, 1.0, 101)
    return float((torch.quantile(one.flatten(), steps) - torch.quantile(other.flatten(), steps)).abs().mean())


def overlap(source: torch.Tensor, found: torch.Tensor, contrast: float) -> list[float]:
    """Dice of what each of the three ellipses covers, before and after a change of the contrast."""
    values = [0.0, *(value for value, _ in TISSUES)]
    scores = []
    for low, high in pairwise(values):
        before, after = source > 0.5 * (low + high), found > 0.5 * (low**contrast + high**contrast)
        scores.append(float(2.0 * (before & after).sum() / (before.sum() + after.sum())))
    return scores


@pytest.mark.slow
def test_dlest_takes_on_the_targets_histogram_and_keeps_the_shapes(tmp_path: Path) -> None:
    run(recipe("dlest", tmp_path, 600), write_sites(tmp_path / "data"), tmp_path / "run", device="cpu")
    network, _ = read_own_model(DLEST, "dlest", "dlest", tmp_path / "run" / "model")
    source = pictures()
    site = pictures(seed=10) ** CONTRAST
    with torch.no_grad():
        found = network(source)
    assert histogram_distance(found, site) < 0.5 * histogram_distance(source, site)
    others = overlap(source, (source**CONTRAST).roll(1, 0), CONTRAST)
    assert all(own > other for own, other in zip(overlap(source, found, CONTRAST), others, strict=True))


@BOTH
def test_a_training_goes_on_where_it_ended_and_writes_its_model(tmp_path: Path, name: str) -> None:
    folder = write_sites(tmp_path / "data")
    small = recipe(name, tmp_path, 60, batch=2)
    run(small, folder, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "model").exists(), "too few steps for a model"
    run(small, folder, tmp_path / "run", device="cpu", steps=100)
    model = tmp_path / "run" / "model"
    card = json.loads((model / "superres.json").read_text(encoding="utf-8"))
    assert (card["task"], card["trained"], card["generative"]) == ("slices", True, True)
    told = card["training"]
    assert (told["steps"], told["directions"], told["pixel"]) == (100, ["inferior-superior"], 1.0)
    assert told["held_out"] == ["held"] and "losses" in told and "validation" in told
    kind = {"unoranic": Unoranic, "dlest": DLEST}[name]
    assert not read_own_model(kind, name, name, model)[0].training


@BOTH
def test_the_bundled_recipe_can_be_trained(tmp_path: Path, name: str) -> None:
    folder = write_sites(tmp_path / "data", 32)
    whole, file = load_values(name)
    assert slice_recipe_from(whole, file).network == name
    whole["training"]["batch"] = 1
    path = tmp_path / file
    path.write_text(json.dumps(whole), encoding="utf-8")
    lines: list[dict[str, Any]] = []
    run(path, folder, tmp_path / "run", device="cpu", steps=2, report=lines.append)
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"network": {"name": "hifidiff", "arguments": {}}}, "does not restore slices"),
        ({"data": {}}, "target is missing"),
        ({"data": {"target": "x", "axis": "z"}}, "axis must be one of"),
        ({"losses": {"nonsense": 1}}, "nonsense"),
        ({"losses": {"generation": 1.0}}, "generation must lie"),
        ({"training": {"steps": 1, "patches": []}}, "patches cannot be set"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused(part: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        slice_recipe_from({**values("dlest", 1), **part}, "tiny.json")


def test_a_crop_that_the_network_does_not_take_is_refused(tmp_path: Path) -> None:
    folder = write_sites(tmp_path / "data")
    whole = values("unoranic", 1)
    whole["losses"] = {"crop": 24}
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(UsageError, match="crop must be divisible by 16"):
        run(path, folder, tmp_path / "run", device="cpu")


def test_slices_larger_than_the_network_are_refused(tmp_path: Path) -> None:
    folder = write_sites(tmp_path / "data", 24)
    with pytest.raises(ReadError, match="24 x 24 pixels, the network takes 16 x 16"):
        run(recipe("dlest", tmp_path, 1), folder, tmp_path / "run", device="cpu")


def test_a_target_site_without_volumes_is_refused(tmp_path: Path) -> None:
    folder = write_sites(tmp_path / "data")
    (folder / "target" / "site.nii.gz").unlink()
    with pytest.raises(ReadError, match="0 volumes target"):
        run(recipe("dlest", tmp_path, 1), folder, tmp_path / "run", device="cpu")


def test_only_slices_with_content_are_drawn(tmp_path: Path) -> None:
    stack = ellipses(6, 0)
    stack[[0, 1, 5]] = 0.0
    write_image(tmp_path / "one.nii.gz", volume_of(stack))
    settings = slice_recipe_from(values("unoranic", 1), "tiny").data
    settings = type(settings)(pattern=settings.pattern)
    (one,), _ = read_slices(settings, tmp_path)
    assert one.values.shape == (3, 16, 16) and one.direction == "inferior-superior"
    drawn = draw_crops([(n,) for n in range(8)], [one], 16)
    assert float(drawn.amax((1, 2, 3)).min()) > 0.5
    write_image(tmp_path / "one.nii.gz", volume_of(np.zeros_like(stack)), overwrite=True)
    with pytest.raises(ReadError, match="no slice with content"):
        read_slices(settings, tmp_path)
