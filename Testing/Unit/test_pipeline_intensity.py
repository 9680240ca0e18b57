from __future__ import annotations

import numpy as np
import pytest

from MedAILib.errors import ModelError
from MedAILib.pipeline.intensity import prepare

SPEC = {"method": "percentile", "low": 0.5, "high": 99.5}


def ramp() -> np.ndarray:
    """Values 100 to 1099 in a cube of 10, in a border of zeros."""
    return np.pad(np.arange(100, 1100).reshape(10, 10, 10), 3)


def test_the_foreground_s_percentiles_become_zero_and_one() -> None:
    prepared = prepare(ramp(), SPEC)
    assert prepared.dtype == np.float32
    assert (prepared.min(), prepared.max()) == (0.0, 1.0)
    low, high = np.percentile(np.arange(100, 1100), (0.5, 99.5))
    assert prepared[8, 8, 8] == pytest.approx((ramp()[8, 8, 8] - low) / (high - low), abs=1e-5)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_the_stored_type_does_not_matter(dtype: type) -> None:
    assert np.array_equal(prepare(ramp().astype(dtype), SPEC), prepare(ramp(), SPEC))


def test_the_scanner_s_scale_does_not_matter() -> None:
    assert np.allclose(prepare(ramp() * 37.5, SPEC), prepare(ramp(), SPEC), atol=1e-5)


def test_the_amount_of_air_does_not_matter() -> None:
    inner = slice(20, -20)
    assert np.array_equal(prepare(np.pad(ramp(), 20), SPEC)[inner, inner, inner], prepare(ramp(), SPEC))


def test_the_input_stays_as_it_was() -> None:
    image = ramp().astype(np.float32)
    prepare(image, SPEC)
    assert np.array_equal(image, ramp())


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_volume_becomes_zero(value: int) -> None:
    assert not prepare(np.full((3, 3, 3), value), SPEC).any()


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ModelError, match="z-score"):
        prepare(ramp(), {"method": "z-score"})


def test_a_standard_score_has_mean_0_and_deviation_1() -> None:
    prepared = prepare(ramp(), {"method": "zscore", "foreground": False})
    assert prepared.mean() == pytest.approx(0.0, abs=1e-4)
    assert prepared.std() == pytest.approx(1.0, abs=1e-4)


def test_a_standard_score_of_the_foreground_leaves_the_rest_at_0() -> None:
    prepared = prepare(ramp(), {"method": "zscore", "foreground": True})
    inside = prepared[3:-3, 3:-3, 3:-3]
    assert inside.mean() == pytest.approx(0.0, abs=1e-4)
    assert inside.std() == pytest.approx(1.0, abs=1e-4)
    assert (prepared[0] == 0).all()


def test_ct_is_clipped_and_scaled_by_the_training_data() -> None:
    values = np.array([[[-2000.0, 0.0, 100.0, 5000.0]]])
    prepared = prepare(values, {"method": "clip", "low": -100, "high": 300, "mean": 100, "sd": 50})
    assert prepared.ravel().tolist() == [-4.0, -2.0, 0.0, 4.0]


@pytest.mark.parametrize(("clip", "expected"), [(True, [-1.0, 0.0, 1.0]), (False, [-1.0, 0.0, 3.0])])
def test_a_range_becomes_another_range(clip: bool, expected: list[float]) -> None:
    spec = {"method": "range", "low": 0, "high": 200, "to_low": -1, "to_high": 1, "clip": clip}
    assert prepare(np.array([[[0, 100, 400]]]), spec).ravel().tolist() == expected


def test_a_range_of_percentiles_counts_all_voxels() -> None:
    values = np.array([[[0] * 98 + [50, 100]]])
    spec = {"method": "percentile_range", "low": 0, "high": 100, "to_low": 0, "to_high": 1, "clip": True}
    assert prepare(values, spec).ravel()[-2:].tolist() == [0.5, 1.0]


def test_lowest_and_highest_become_0_and_1() -> None:
    assert prepare(np.array([[[-10, 0, 30]]]), {"method": "minmax"}).ravel().tolist() == [0.0, 0.25, 1.0]


def test_each_channel_has_its_own_preparation() -> None:
    spec = {"method": "channels", "channels": [{"method": "none"}, {"method": "minmax"}]}
    prepared = prepare(np.array([[[[1, 2]]], [[[5, 7]]]]), spec)
    assert prepared.tolist() == [[[[1.0, 2.0]]], [[[0.0, 1.0]]]]


@pytest.mark.parametrize(
    "spec", [{"method": "clip", "low": 0}, {"method": "channels", "channels": [{"method": "none"}] * 2}]
)
def test_settings_that_do_not_fit_are_named(spec: dict) -> None:
    with pytest.raises(ModelError, match="do not fit"):
        prepare(ramp()[np.newaxis], spec)
