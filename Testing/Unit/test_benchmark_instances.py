"""How the benchmark counts objects; its training takes minutes and is not tested here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture
def instances(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "Benchmarks"))
    return import_module("instances")


def row(*objects: tuple[int, int, int]) -> np.ndarray:
    """A line of 100 voxels with (value, first, end) objects."""
    line = np.zeros((1, 1, 100), np.uint16)
    for value, first, end in objects:
        line[..., first:end] = value
    return line


def test_average_precision_is_the_area_under_falling_precision(instances: ModuleType) -> None:
    assert instances.average_precision([True, True], 2) == 1.0
    assert instances.average_precision([True, True], 4) == 0.5
    assert instances.average_precision([True, False, True], 2) == pytest.approx((1 + 2 / 3) / 2)
    assert instances.average_precision([False, True, True], 2) == pytest.approx(2 / 3)
    assert instances.average_precision([], 3) == instances.average_precision([False], 3) == 0.0


def test_an_object_matches_from_three_quarters_in_common(instances: ModuleType) -> None:
    truth = row((1, 0, 40), (2, 50, 90))
    exact = instances.score(row((5, 0, 30), (6, 50, 90)), {5: 0.9, 6: 0.8}, truth)
    assert (exact.matched, exact.ap) == (2, 1.0)
    less = instances.score(row((5, 0, 29), (6, 50, 90)), {5: 0.9, 6: 0.8}, truth)
    assert (less.matched, less.true, less.found) == (1, 2, 2)
    assert less.ap == pytest.approx(0.25)  # the surer one is wrong


def test_two_objects_found_as_one_match_at_most_once(instances: ModuleType) -> None:
    merged = instances.score(row((1, 0, 90)), {1: 1.0}, row((1, 0, 45), (2, 45, 90)))
    assert (merged.matched, merged.dice) == (0, 1.0)


def test_a_true_object_is_taken_by_the_surest(instances: ModuleType) -> None:
    truth, found = row((1, 0, 40)), row((1, 0, 40))
    found[..., 35:40] = 2
    split = instances.score(found, {1: 0.5, 2: 0.9}, truth)
    assert (split.matched, split.found) == (1, 2)
    assert split.ap == pytest.approx(0.5)
