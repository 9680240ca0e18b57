from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MedAILib import training
from MedAILib.cli.main import main
from MedAILib.errors import ModelError, ReadError, UsageError
from MedAILib.files import write_image
from MedAILib.geometry import with_spacing
from MedAILib.image import Image, Kind
from MedAILib.models import task_card
from MedAILib.registration.trained import TrainedRegistration, read_registration_card
from MedAILib.training import loop
from MedAILib.training.config import load_values
from MedAILib.training.distributed import World
from MedAILib.training.draw import Draw
from MedAILib.training.recipe import load_recipe
from MedAILib.training.registration import job
from MedAILib.training.registration.config import registration_recipe_from
from MedAILib.training.registration.images import ImagePairs, Scan, fit, read_scans
from MedAILib.training.registration.sample import TrainingPair
from MedAILib.training.registration.synthetic import ShapePairs, random_shapes, table_of_codes
from MedAILib.training.registration.trainer import RegistrationTrainer, chosen_memberships
from Unit.registration_tools import pair, single_thread
from Unit.training_tools import SPACING, codes

RECIPES = ("register-brain", "register-images", "register-shapes")
SIDE = 16


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


def values(**changes: Any) -> dict[str, Any]:
    """JSON of a recipe that trains a tiny LapIRN on shapes; each change updates a part."""
    parts: dict[str, Any] = {
        "task": "registration",
        "network": {"name": "lapirn", "arguments": {"channels": 4, "blocks": 1, "latent": 4}},
        "data": {"kind": "shapes", "shapes": 5},
        "generator": {"strip": 0.0, "deform": {"translation": 2.0, "rotation": 5.0}, "artefacts": {"cut": 0.0}},
        "pairs": {"shape": [SIDE, SIDE, SIDE], "levels": [[0.0, 1], [0.5, 3]], "validation_pairs": 1},
        "training": {
            "steps": 4,
            "learning_rate": 1e-3,
            "warmup": 1,
            "log_steps": 1,
            "checkpoint_seconds": 1e9,
            "validation_seconds": 1e9,
            "precision": "float32",
        },
    }
    for name, change in changes.items():
        parts[name] = {**parts[name], **change} if isinstance(parts[name], dict) else change
    return parts


TM_DCA = {
    "name": "tm_dca",
    "arguments": {"channels": 8, "depths": [1, 1], "heads": [2, 2], "kernels": [3, 3], "window": [2, 2, 2]},
}


class OnePair:
    """Always the same pair: a texture and its known displacement, labels by brightness."""

    def __init__(self) -> None:
        fixed, moving, _ = pair(SIDE)
        labels = [(image[0, 0] * 4).long() for image in (fixed, moving)]
        self.pair = TrainingPair(fixed[0, 0], moving[0, 0], *labels)

    def sample(self, seed: Any, shape: Any) -> TrainingPair:
        return self.pair


def trainer(output: Path, **changes: Any) -> RegistrationTrainer:
    recipe = registration_recipe_from(values(**changes), "tiny.json")
    return RegistrationTrainer(recipe, OnePair(), OnePair(), output, World("cpu"))


def write(folder: Path, name: str, array: np.ndarray, kind: Kind = Kind.INTENSITY) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"{name}.nii.gz", Image(array, with_spacing(SPACING), kind=kind))


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", RECIPES)
def test_the_bundled_recipes_can_be_built(name: str) -> None:
    recipe = registration_recipe_from(*load_values(name))
    with torch.device("meta"):
        from MedAILib.networks import build

        network = build(recipe.network, recipe.arguments)
    assert not any(side % network.multiple for side in recipe.pairs.shape)


@pytest.mark.parametrize(
    ("network", "pairs", "factor"),
    [
        ({}, {"levels": [[0.0, 3]], "image_weight": 1.0, "label_weight": 0.0, "smoothness": [0.1, 0.1]}, 0.6),
        ({}, {"levels": [[0.0, 3]], "regularization": "elastic", "smoothness": [0.1, 0.1]}, 0.75),
        (TM_DCA, {"image_weight": 1.0, "label_weight": 0.0, "smoothness": [0.1, 0.1]}, 0.8),
    ],
)
def test_one_pair_is_learned_by_heart(
    tmp_path: Path, network: dict[str, Any], pairs: dict[str, Any], factor: float
) -> None:
    """The loss falls to this share of what it is without displacement."""
    one = trainer(tmp_path, network=network, pairs=pairs, training={"steps": 60, "learning_rate": 1e-2, "seed": 2})
    losses = [one.step(one.network, step / 60)[0] for step in range(60)]
    settings, sample = one.recipe.pairs, one.pairs.sample((), ())
    still = torch.zeros(1, 3, SIDE, SIDE, SIDE)
    before = 0.9 * (1 - float(one._similarity(sample, still, Draw((1,)))))
    assert settings.smoothness == (0.1, 0.1)
    assert min(losses[-5:]) < factor * before


def test_a_run_on_shapes_needs_no_files_logs_and_resumes(tmp_path: Path) -> None:
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(values()))
    assert main(["train", str(config), "--output", str(tmp_path / "run"), "--device", "cpu", "--quiet"]) == 0
    written = lines(tmp_path / "run")
    assert [line["step"] for line in written if "loss" in line] == [1, 2, 3, 4]
    assert [line["level"] for line in written if "loss" in line] == [1, 1, 3, 3]
    curve = [line["validation"] for line in written if "validation" in line]
    assert set(curve[-1]) == {"dice_before", "dice", "correlation_before", "correlation", "folds_percent"}
    training.run(config, None, tmp_path / "run", device="cpu", steps=5)
    assert lines(tmp_path / "run")[-1]["step"] == 5
    assert not (tmp_path / "run" / "model").exists(), "a hardly trained network is not written"


def test_a_run_on_label_maps_holds_some_out(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        write(tmp_path / "maps", name, codes(), Kind.LABEL)
    recipe = values(data={"kind": "label_maps", "held_out": ["second"]}, pairs={"across": 1.0})
    config = tmp_path / "maps.json"
    config.write_text(json.dumps(recipe))
    training.run(config, tmp_path / "maps", tmp_path / "run", device="cpu", steps=1)
    assert lines(tmp_path / "run")[-1]["validation"]["dice"] > 0
    with pytest.raises(UsageError, match="give --data"):
        training.run(config, None, tmp_path / "run", device="cpu", steps=1)
    (tmp_path / "maps" / "second.nii.gz").unlink()
    with pytest.raises(ReadError, match="0 of the 1 to hold out"):
        training.run(config, tmp_path / "maps", tmp_path / "run", device="cpu", steps=1)


def test_a_run_on_images_with_labels_uses_the_pairs_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d"):
        labels = codes()
        write(tmp_path / "data", name, (labels + rng.random(labels.shape)).astype(np.float32))
        write(tmp_path / "data" / "labels", name, labels, Kind.LABEL)
    data = {"kind": "images", "labels": "labels", "spacing": list(SPACING), "pairs": [["a", "b"]]}
    recipe = values(data=data, pairs={"image_weight": 1.0})
    config = tmp_path / "own.json"
    config.write_text(json.dumps(recipe))
    training.run(config, tmp_path / "data", tmp_path / "run", device="cpu", steps=1)
    assert len(lines(tmp_path / "run")) == 1, "nothing is held out, so nothing is validated"

    parsed = registration_recipe_from(recipe, "own.json")
    pairs, held_out = job.load_pairs(parsed, tmp_path / "data", torch.device("cpu"))
    assert held_out is None
    assert isinstance(pairs, ImagePairs)
    assert pairs.pairs == [("a", "b")]
    unknown = replace(parsed, data=replace(parsed.data, pairs=(("a", "x"),)))
    with pytest.raises(UsageError, match="lacks: x"):
        job.load_pairs(unknown, tmp_path / "data", torch.device("cpu"))


def test_images_are_brought_to_the_grid_of_the_first(tmp_path: Path) -> None:
    array = np.zeros((12, 12, 12), np.float32)
    array[4:8, 4:8, 4:8] = 1.0
    affine = with_spacing((1.0, 1.0, 1.0))
    moved = affine.copy()
    moved[:3, 3] -= 2.0
    for name, place, content in (("a", affine, array), ("b", moved, np.roll(array, 2, (0, 1, 2)))):
        write_image(tmp_path / f"{name}.nii.gz", Image(content, place))
    recipe = registration_recipe_from(values(data={"kind": "images"}), "own.json")
    scans, classes = read_scans(sorted(tmp_path.glob("*.nii.gz")), recipe.data, tmp_path)
    assert classes == 1
    assert torch.allclose(scans[0].image, scans[1].image, atol=1e-5)


def test_scans_are_cropped_and_padded_around_their_middle() -> None:
    array = torch.arange(5.0).view(5, 1, 1).expand(5, 4, 4)
    found = fit(array, (3, 6, 4))
    assert found.shape == (3, 6, 4)
    assert found[:, 1, 0].tolist() == [1.0, 2.0, 3.0]
    assert float(found[:, 0].abs().max()) == 0.0


def test_a_pair_of_scans_needs_two_of_them() -> None:
    with pytest.raises(UsageError, match="two of them"):
        ImagePairs([Scan("a", torch.zeros(2, 2, 2), None)])


def test_shapes_are_all_there_and_differ_from_seed_to_seed() -> None:
    first, again, other = (random_shapes(Draw((seed,)), (24, 24, 24), 4) for seed in (1, 1, 2))
    assert set(first.unique().tolist()) == {0, 1, 2, 3}
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_pair_of_shapes_has_related_labels_and_unrelated_contrasts() -> None:
    recipe = registration_recipe_from(values(), "tiny.json")
    pairs = ShapePairs(5, recipe.generator)
    one, same = pairs.sample((3,), (24, 24, 24)), pairs.sample((3,), (24, 24, 24))
    assert torch.equal(one.fixed, same.fixed)
    assert one.fixed_labels is not None
    assert one.moving_labels is not None
    assert set(one.fixed_labels.unique().tolist()) & set(one.moving_labels.unique().tolist()) > {0}
    agreement = float((one.fixed_labels == one.moving_labels).float().mean())
    assert 0.3 < agreement < 0.99
    assert not torch.allclose(one.fixed, one.moving, atol=0.05)


def test_codes_without_a_table_are_classes_and_tissues_of_their_own() -> None:
    table = table_of_codes([7, 0, 300, 7])
    assert table.codes.tolist() == [0, 7, 300]
    assert table.classes == (0, 7, 300)
    assert table.encode(np.array([[300, 7, 0]]), "map").tolist() == [[2, 1, 0]]


def test_at_most_so_many_classes_count_and_only_those_both_images_have() -> None:
    fixed = torch.arange(8).view(8, 1, 1)
    moving = fixed.clone()
    moving[5] = 9
    ours, theirs = chosen_memberships(fixed, moving, Draw((1,)), 3)
    assert ours.shape == theirs.shape == (1, 3, 8, 1, 1)
    assert float(ours[:, :, 5].sum()) == 0.0
    assert torch.equal(ours, theirs)
    nothing, _ = chosen_memberships(fixed * 0, moving, Draw((1,)), 3)
    assert nothing.shape[1] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "segmentation"}, "no recipe for a registration"),
        ({"data": {"kind": "movies"}}, "kind must be one of"),
        ({"training": {"balance": 0.1}}, "balance cannot be set"),
        ({"generator": {"deform": {"flip": 0.5}}}, "flip cannot be set"),
        ({"pairs": {"smoothness": [0.5, 1.2]}}, "range inside 0 to 1"),
        ({"pairs": {"levels": [[0.5, 1]]}}, "begin at share 0"),
        ({"pairs": {"image_weight": 0, "label_weight": 0}}, "one of them above 0"),
        ({"pairs": {"window": 4}}, "odd"),
    ],
)
def test_a_wrong_recipe_is_explained(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registration_recipe_from(values(**change), "tiny.json")


def test_a_network_that_does_not_fit_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="divisible by 8"):
        trainer(tmp_path, pairs={"shape": [16, 20, 16]})
    with pytest.raises(UsageError, match="does not register"):
        trainer(tmp_path, network={"name": "residual_unet", "arguments": {"widths": [2, 2]}})


def test_a_segmentation_run_refuses_a_registration_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipe for a segmentation"):
        load_recipe("register-shapes")


def test_a_trained_network_is_written_loaded_and_registers_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(values()))
    for module in (task_card, loop):
        monkeypatch.setattr(module, "FEWEST_STEPS", 2)
    training.run(config, None, tmp_path / "run", device="cpu")
    card = read_registration_card(tmp_path / "run" / "model")
    assert (card.name, card.training["steps"], card.smoothness) == ("tiny", 4, 0.4)
    loaded = TrainedRegistration(tmp_path / "run" / "model")
    found = loaded.displacement(torch.rand(17, 5, 20), torch.rand(17, 5, 20))
    assert found.shape == (3, 17, 5, 20)
    assert torch.isfinite(found).all()
    with pytest.raises(UsageError, match="one shape"):
        loaded.displacement(torch.rand(4, 4, 4), torch.rand(4, 4, 5))
    monkeypatch.setattr(task_card, "FEWEST_STEPS", 100)
    with pytest.raises(ModelError, match="not trained"):
        TrainedRegistration(tmp_path / "run" / "model")


def test_a_folder_that_holds_no_trained_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"registration\.json"):
        TrainedRegistration(tmp_path)
    (tmp_path / "registration.json").write_text('{"schema_version": 1}')
    with pytest.raises(ModelError, match="lacks name"):
        TrainedRegistration(tmp_path)
    (tmp_path / "registration.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        TrainedRegistration(tmp_path)
