"""Training of the promptable network: its objects, its simulated user, and what a tiny run achieves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MedAILib.errors import ReadError, UsageError
from MedAILib.files import write_image
from MedAILib.geometry import with_spacing
from MedAILib.image import Image, Kind
from MedAILib.interactive.marks import Marks
from MedAILib.interactive.network.card import read_clicks_card
from MedAILib.interactive.network.segmenter import NetworkSegmenter
from MedAILib.training import run
from MedAILib.training.clicks.config import ClicksRecipe, RoundSettings, TargetSettings, clicks_recipe_from
from MedAILib.training.clicks.samples import Sample, Samples, random_shape, sampled
from MedAILib.training.clicks.subjects import Subject, map_subject, read_subjects, scan_subject
from MedAILib.training.clicks.trainer import ClicksTrainer, build_network, dice
from MedAILib.training.clicks.user import User, deepest
from MedAILib.training.distributed import World
from MedAILib.training.draw import Draw
from Unit.registration_tools import single_thread

SHAPE = (28, 32, 36)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


def phantom(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image of two balls, and their labels 1 and 7."""
    random = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    labels = np.zeros(SHAPE, np.int16)
    for code, middle in ((1, (13, 10, 10)), (7, (13, 20, 25))):
        off = np.square(at - np.array(middle) - random.uniform(-1, 1, 3)).sum(-1)
        labels[off < random.uniform(5.0, 6.5) ** 2] = code
    gray = {0: 100.0, 1: 180.0, 7: 40.0}
    image = sum(gray[code] * (labels == code) for code in gray) + random.normal(0, 6, SHAPE)
    return image.astype(np.float32), labels


def subject(seed: int, scan: bool = True) -> Subject:
    image, labels = phantom(seed)
    affine = with_spacing((1.0, 1.0, 1.0))
    numbers = Image(labels, affine, "labels", Kind.LABEL)
    return scan_subject(Image(image, affine), numbers, f"s{seed}") if scan else map_subject(numbers, f"m{seed}")


def values(steps: int, **training: Any) -> dict[str, Any]:
    return {
        "task": "clicks",
        "network": {
            "name": "promptable_unet",
            "arguments": {"inputs": 6, "widths": [16, 16], "fine": 16, "groups": 4},
        },
        "data": {
            "maps": ["map*.nii.gz"],
            "scans": [[f"image{n}.nii.gz", f"labels{n}.nii.gz"] for n in (1, 2)],
            "held_out": ["image2.nii.gz"],
            "source": "balls",
            "license": "CC0-1.0",
        },
        "clicks": {"regions": [[0.0, 16]], "rounds": {"rounds": 2}, "targets": {"side": [1.2, 2.0]}},
        "training": {
            "seed": 4,
            "steps": steps,
            "learning_rate": 6e-3,
            "warmup": 10,
            "batch": 1,
            "ema": 0.97,
            "precision": "float32",
            "log_steps": 10,
            "checkpoint_seconds": 1e9,
            "validation_seconds": 1e9,
            **training,
        },
        "card": {"title": "Balls", "license": "CC0-1.0"},
    }


def recipe(steps: int = 10, **training: Any) -> ClicksRecipe:
    return clicks_recipe_from(values(steps, **training), "balls")


def write_data(folder: Path) -> Path:
    folder.mkdir()
    affine = with_spacing((1.0, 1.0, 1.0))
    for n in (1, 2):
        image, labels = phantom(n)
        write_image(folder / f"image{n}.nii.gz", Image(image, affine))
        write_image(folder / f"labels{n}.nii.gz", Image(labels, affine, "labels", Kind.LABEL))
    write_image(folder / "map3.nii.gz", Image(phantom(3)[1], affine, "map", Kind.LABEL))
    return folder


def test_a_subject_knows_where_its_structures_lie() -> None:
    image, labels = phantom(1)
    found = subject(1)
    assert [part.number for part in found.structures] == [1, 2] and found.image is not None
    ball = np.argwhere(labels == 7)
    assert np.allclose(found.structures[1].middle, (ball.min(0) + ball.max(0)) / 2)
    assert found.structures[1].extent == (ball.max(0) - ball.min(0) + 1).max()
    assert all(labels[tuple(voxel)] == 7 for voxel in found.structures[1].voxels)
    assert np.array_equal(found.image.numpy(), image)


def test_ignored_codes_are_painted_but_not_looked_for() -> None:
    labels = Image(phantom(1)[1], with_spacing((1.0, 1.0, 1.0)), "labels", Kind.LABEL)
    found = map_subject(labels, "balls", ignored=[7])
    assert [part.number for part in found.structures] == [1] and int(found.labels.max()) == 2


def test_held_out_files_are_not_trained_on(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "data")
    trained, held = read_subjects(recipe().data, folder)
    assert [one.name for one in trained] == ["map3", "labels1"] and [one.name for one in held] == ["labels2"]
    with pytest.raises(ReadError, match=r"image9.*none of the recipe's files"):
        read_subjects(replace(recipe().data, held_out=("image9.nii.gz",)), folder)
    with pytest.raises(ReadError, match="holds no other"):
        read_subjects(replace(recipe().data, maps=("other*.nii.gz",)), folder)


@pytest.mark.parametrize("scan", [True, False])
def test_a_sample_follows_from_its_seed(scan: bool) -> None:
    made = [Samples([subject(1, scan)], TargetSettings(), recipe().generator).draw((1, 2), 24) for _ in range(2)]
    other = Samples([subject(1, scan)], TargetSettings(), recipe().generator).draw((1, 3), 24)
    assert torch.equal(made[0].target, made[1].target)
    assert torch.equal(made[0].image.nan_to_num(-9), made[1].image.nan_to_num(-9))
    assert made[0].target.shape == (24, 24, 24) and made[0].target.any() and not torch.equal(made[0].image, other.image)


def test_objects_of_scans_lie_where_their_image_shows_them() -> None:
    settings = TargetSettings(real=1.0, recolored=0.0, extreme=0.0, painted=0.0, union=0.0, cut=0.0)
    samples = Samples([subject(1)], settings, recipe().generator)
    for number in range(6):
        found = samples.draw((number,), 24)
        known = ~torch.isnan(found.image)
        inside, around = found.image[known & found.target], found.image[known & ~found.target]
        assert (inside.median() - around.median()).abs() > 3 * inside.std().clamp_max(0.1)


@pytest.mark.parametrize("seed", range(6))
def test_drawn_shapes_hold_the_middle_and_not_everything(seed: int) -> None:
    found = random_shape(Draw((seed,)), (24, 24, 24))
    assert found[12, 12, 12] and 0 < found.float().mean() < 0.5


def test_what_lies_beyond_a_scan_is_unknown() -> None:
    positions = torch.tensor([[0.0, 1.5, -0.6], [0.0, 0.0, 0.0], [0.0, 0.5, 0.0]])[:, :, None, None]
    image = torch.arange(12.0).reshape(3, 2, 2)
    found = sampled(image, positions).flatten()
    assert found[0] == 0.0 and found[1] == pytest.approx(6.5) and torch.isnan(found[2])


def user(settings: RoundSettings, seed: int = 0) -> User:
    image, labels = phantom(1)
    target = torch.from_numpy(labels == 1)[4:28, :24, :24]
    sample = Sample(torch.from_numpy(image)[4:28, :24, :24], target, (1.0, 1.0, 1.0))
    return User(Draw((seed,)), sample, settings)


def test_the_first_click_is_in_the_middle_of_the_object() -> None:
    one = user(RoundSettings(degraded=0.0, box=0.0, middle=1.0, stroke=0.0, wrong=0.0))
    seen = one.view()
    assert one.inside.tolist() == [deepest(one.target).tolist()] and len(one.outside) == 0
    assert seen.shape == (6, 24, 24, 24) and seen[2].argmax() == np.ravel_multi_index(one.inside[0], (24, 24, 24))


@pytest.mark.parametrize("seed", range(8))
def test_a_user_without_mistakes_prompts_in_the_error(seed: int) -> None:
    one = user(RoundSettings(degraded=0.5, stroke=0.5, box=0.0, wrong=0.0), seed)
    before, error = (len(one.inside), len(one.outside)), one.target ^ one.found
    one.view()
    new = np.concatenate([one.inside[before[0] :], one.outside[before[1] :]])
    assert len(new) and (error[tuple(new.T)].all() or not error.any())
    assert one.target[tuple(one.inside.T)].all() and not one.target[tuple(one.outside.T)].any()


def test_an_answer_is_held_to_the_marks_before_it_is_shown_again() -> None:
    one = user(RoundSettings(degraded=0.0, box=0.0, stroke=0.0, wrong=0.0))
    one.view()
    one.see(torch.zeros(24, 24, 24, dtype=torch.bool))
    assert one.found.sum() == 1 and one.found[tuple(one.inside[0])]


def test_masks_to_correct_are_wrong_but_not_hopeless() -> None:
    found = [user(RoundSettings(degraded=1.0, right=0.0), seed) for seed in range(12)]
    overlaps = [dice(torch.from_numpy(one.found), torch.from_numpy(one.target)) for one in found]
    assert 0.4 < np.median(overlaps) < 0.98
    right = user(RoundSettings(degraded=1.0, right=1.0))
    assert np.array_equal(right.found, right.target)


def test_the_deepest_voxel_is_the_middle_of_a_box() -> None:
    mask = np.zeros((9, 9, 9), bool)
    mask[0:5, 2:7, 3:8] = True
    assert deepest(mask).tolist() == [2, 4, 5]
    with pytest.raises(ValueError, match="empty"):
        deepest(np.zeros((3, 3, 3), bool))


def test_a_tiny_training_learns_to_find_balls(tmp_path: Path) -> None:
    easy = TargetSettings(side=(1.2, 1.6), recolored=0.0, extreme=0.0, painted=0.0, union=0.0, cut=0.0, centered=1.0)
    settings = recipe(70)
    settings = replace(settings, clicks=replace(settings.clicks, targets=easy))
    trainer = ClicksTrainer(settings, [subject(1), subject(2)], [subject(5)], tmp_path, World("cpu"))
    first = trainer.measure(0.0)
    trainer.run()
    last = trainer.measure(1.0)
    assert first is not None and last is not None
    before, after = first["validation"]["dice"], last["validation"]["dice"]
    assert after[-1] > 0.65 and after[-1] > before[-1] + 0.2


def stopped(trainer: ClicksTrainer, step: int | None) -> bool:
    return trainer.clock.step == step


def test_a_run_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    ends = []
    for stop in (None, 3):
        folder = tmp_path / str(stop)
        folder.mkdir()
        for turn in range(1 if stop is None else 2):
            trainer = ClicksTrainer(recipe(6), [subject(1), subject(3, scan=False)], [], folder, World("cpu"))
            trainer.resume()
            trainer.run(partial(stopped, trainer, stop if turn == 0 else None))
        ends.append(trainer.average.state_dict())
    assert trainer.clock.step == 6
    assert all(torch.equal(a, b) for a, b in zip(ends[0].values(), ends[1].values(), strict=True))


def test_the_command_writes_a_network_that_answers(tmp_path: Path) -> None:
    config = tmp_path / "balls.json"
    config.write_text(json.dumps(values(100)), encoding="utf-8")
    run(config, write_data(tmp_path / "data"), tmp_path / "run", device="cpu")
    card = read_clicks_card(tmp_path / "run" / "model")
    assert card.trained and card.training["trained_on"] == ["map3", "labels1"] and card.training["seed"] == 4
    assert card.training["command"] == "medai train balls --data DATA --output RUN --steps 100"
    image, labels = phantom(6)
    segmenter = NetworkSegmenter(Image(image, with_spacing((1.0, 1.0, 1.0))), card)
    click = np.argwhere(labels == 1)[:1]
    nothing = np.empty((0, 3), np.int64)
    answer = segmenter.answer(1, Marks(click, nothing, None, click, True), np.zeros(SHAPE, bool))
    assert answer.inside[tuple(click[0] - [side.start for side in answer.box])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"name": "residual_unet", "arguments": {}}}, "does not answer clicks"),
        ({"clicks": {"regions": [[0.0, 18]]}}, "regions of 18 voxels; use a multiple of 4"),
        ({"clicks": {"regions": [[0.5, 16]]}}, "must begin at share 0"),
        ({"clicks": {"rounds": {"rounds": 0}}}, "rounds must be 1 or more"),
        ({"clicks": {"targets": {"sides": 1}}}, "unknown setting sides"),
        ({"data": {"source": "none"}}, "neither maps nor scans"),
        ({"task": "slices"}, "no recipe for a network that answers clicks"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_network(clicks_recipe_from({**values(5), **change}, "balls"))


def test_a_run_needs_a_folder_with_data(tmp_path: Path) -> None:
    config = tmp_path / "balls.json"
    config.write_text(json.dumps(values(5)), encoding="utf-8")
    with pytest.raises(UsageError, match="give --data"):
        run(config, None, tmp_path / "run", device="cpu")
