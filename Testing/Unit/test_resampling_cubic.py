"""Cubic interpolation: both ways of computing it, against SciPy's splines."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from MedAILib.image import Image, Kind
from MedAILib.resampling import cubic_weights, interpolate, separable
from MedAILib.spatial import resample

VALUES = np.random.default_rng(0).random((9, 10, 11)).astype(np.float32)
STEP = np.diag([0.7, 0.6, 0.4, 1.0])
STEP[:3, 3] = (0.2, -0.3, 0.1)
SHAPE = (20, 15, 12)


def test_both_ways_agree_with_each_other_and_with_scipy() -> None:
    aligned = separable(VALUES, STEP, SHAPE, 3, -1.0)
    np.testing.assert_allclose(aligned, interpolate(VALUES, STEP, SHAPE, 3, -1.0), atol=1e-5)
    scipys = ndimage.affine_transform(
        VALUES.astype(float), np.diag([0.4, 0.6, 0.7]), [0.1, -0.3, 0.2], output_shape=SHAPE, order=3, mode="mirror"
    )
    np.testing.assert_allclose(aligned, scipys, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_samples_are_reproduced_and_weights_add_up_to_one(count: int) -> None:
    np.testing.assert_allclose(cubic_weights(count, np.arange(count, dtype=float)), np.eye(count), atol=1e-12)
    np.testing.assert_allclose(cubic_weights(count, np.linspace(-0.5, count - 0.5, 9)).sum(axis=1), 1.0)


def test_a_label_map_is_never_interpolated() -> None:
    labels = Image((VALUES > 0.5).astype(np.uint8), np.eye(4), "labels", Kind.LABEL)
    with pytest.raises(ValueError, match="order 3 is not possible for label images"):
        resample(labels, SHAPE, STEP, order=3)
    with pytest.raises(ValueError, match="order 2"):
        resample(Image(VALUES, np.eye(4)), SHAPE, STEP, order=2)
