"""What the benchmark of several sequences shows to networks; its trainings take minutes and are not tested here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from MedAILib.networks import build
from MedAILib.training.cases.prepared import PreparedCase
from MedAILib.training.maps import LabelMap, label_map

PATCH = (32, 32, 32)
THALAMUS, FLUID = 4, 3


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "Benchmarks"))


@pytest.fixture
def data(benchmarks: None) -> ModuleType:
    return import_module("sequences_data")


@pytest.fixture
def sequences(benchmarks: None) -> ModuleType:
    return import_module("sequences")


def anatomy(data: ModuleType) -> LabelMap:
    """Shells: fluid in the middle, thalamus, white matter, cortex, fluid outside the brain, skin."""
    place = np.stack(np.meshgrid(*(np.arange(side) - side / 2 for side in (60, 70, 60)), indexing="ij"), -1)
    distance = np.sqrt((place**2).sum(-1))
    labels = np.zeros(distance.shape, np.int16)
    for radius, code in ((29, 516), (26, 24), (24, 3), (19, 2), (13, 10), (8, 4)):
        labels[distance < radius] = code
    return label_map("shells", labels, (3.0, 3.0, 3.0), data.structures_table())


def gray(case: PreparedCase, number: int) -> np.ndarray:
    """Mean of a structure in each sequence."""
    return case.image[:, case.target == number].mean(1)


def test_three_sequences_show_one_anatomy_in_their_own_grays(data: ModuleType) -> None:
    case = data.simulated_head(anatomy(data), data.structures_table(), 1)
    assert case.image.shape == (3, *data.SHAPE) and case.target.shape == data.SHAPE
    assert case.image.mean((1, 2, 3)) == pytest.approx(0.0, abs=1e-4)
    t1, t2, flair = gray(case, FLUID) - gray(case, 1)
    assert t1 < -0.5 and t2 > 0.5 and flair < -0.5
    # The generator's random places and deformations are off, so the head stays in the middle.
    middle = np.argwhere(case.target == FLUID).mean(0)
    np.testing.assert_allclose(middle, np.array(data.SHAPE) / 2, atol=1.0)
    assert set(np.unique(case.target)) == {0, 1, 2, FLUID, THALAMUS}


def test_heads_differ_in_their_grays_and_a_seed_repeats_one(data: ModuleType) -> None:
    one, other = (data.simulated_head(anatomy(data), data.structures_table(), seed) for seed in (1, 2))
    again = data.simulated_head(anatomy(data), data.structures_table(), 1)
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.target, other.target)
    assert np.abs(gray(one, THALAMUS) - gray(other, THALAMUS)).max() > 0.05


def test_who_is_tested_is_not_trained_on(data: ModuleType) -> None:
    names = [*data.TRAINED, *data.VALIDATION, *data.TESTED]
    assert len(names) == len(set(names)) == 14


def test_there_are_seven_subsets_and_what_is_left_out_is_gone(data: ModuleType) -> None:
    found = data.subsets()
    assert len(found) == len(set(found)) == 7 and found[0] == (0, 1, 2)
    case = data.prepared("one", np.ones((3, 4, 4, 4), np.float32), np.ones((4, 4, 4), np.uint8), data.SPACING)
    pair = data.lacking(case, (0, 2), np.nan)
    assert np.isnan(pair.image[1]).all() and (pair.image[[0, 2]] == 1).all()
    assert (case.image == 1).all()
    assert data.only(case, 1).image.shape == (1, 4, 4, 4)


def test_sequences_are_left_out_of_cases_in_the_paper_s_shares(data: ModuleType) -> None:
    case = data.prepared("one", np.ones((3, 2, 2, 2), np.float32), np.ones((2, 2, 2), np.uint8), data.SPACING)
    counts = [int(each.image[:, 0, 0, 0].sum()) for each in data.dropped([case], 0.0)]
    assert [counts.count(number) / len(counts) for number in (3, 2, 1)] == pytest.approx([0.4, 0.3, 0.3])


def test_each_volume_of_a_phantom_shows_one_side(benchmarks: None) -> None:
    sides = import_module("sequences_sides")
    case = sides.phantom(3)
    inside = case.image[:, case.target == 1]
    # Each shows about a third of the ellipsoid, and together they show all of it once.
    np.testing.assert_allclose(inside.mean(1), 1 / 3, atol=0.15)
    assert inside.mean() * 3 == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(case.image[:, case.target == 0].mean(1), 0.0, atol=0.03)


def test_systems_answer_what_they_can(sequences: ModuleType) -> None:
    answers = {title: [len(subset) for subset in system.answers] for title, system in sequences.SYSTEMS.items()}
    assert answers["early fusion"] == answers["MagNET"] == [3, 2, 2, 2, 1, 1, 1]
    assert answers["multi-encoder U-Net"] == [3]
    assert [len(subset) for subset in sequences.SINGLE.answers] == [1, 1, 1]


def test_recipes_are_changed_as_a_system_says_and_no_further(sequences: ModuleType) -> None:
    plain = sequences.recipe_values("magnet")
    values = sequences.SYSTEMS["MagNET, all sequences in training"].values(PATCH)
    assert values["objective"] == {"name": "sequences", "arguments": {"full": 1.0}}
    assert values["network"]["arguments"] == {**plain["network"]["arguments"], "size": list(PATCH)}
    assert values["training"] == {**plain["training"], "learning_rate": sequences.RATE}
    weights = sequences.recipe_values("multi-encoder")["objective"]
    assert sequences.JOINED.values(PATCH)["objective"] == weights


def test_a_discriminator_that_always_says_yes_is_right_where_all_is_there(
    sequences: ModuleType, data: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"size": list(PATCH), "width": 16, "heads": 2, "layers": 4, "features": 4, "projection": 8}
    network = build("magnet", {**small, "inputs": 3, "classes": 2}).eval()
    monkeypatch.setattr(network.discriminator, "forward", lambda means: torch.ones(len(means), 3))
    image = np.random.default_rng(0).normal(size=(3, 40, 32, 32)).astype(np.float32)
    case = data.prepared("one", image, np.ones((40, 32, 32), np.uint8), data.SPACING)
    given = data.as_lesson([case], [case], ["all"], PATCH)
    right = [sequences.told_rightly(network, here, given) for here in data.subsets()]
    assert right == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3])
