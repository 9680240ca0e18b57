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
