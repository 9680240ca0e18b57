"""Deciding whether two volumes have the same contrast."""

from __future__ import annotations

import numpy as np
import pytest

from MedAILib.image import Image
from MedAILib.registration.contrast import decide_contrast


def head(shift=0.0, levels=(40.0, 80.0, 120.0)):
    """Three nested ellipsoids in air, with a little texture."""
    at = (np.indices((32, 36, 30)) - np.array([15.5 + shift, 17.5, 14.5]).reshape(3, 1, 1, 1)) / 14
    radius = np.sqrt((at**2).sum(0))
    array = np.zeros(radius.shape)
    for level, edge in zip(levels, (0.9, 0.6, 0.3), strict=True):
        array[radius < edge] = level
    array += np.random.default_rng(0).normal(0, 1, array.shape)
    return Image(array.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "head")


def test_a_moved_and_scaled_copy_has_the_same_contrast():
    other = head(shift=3.0)
    contrast, reason = decide_contrast(head(), other.with_array(7 * other.array + 100))
    assert contrast == "same"
    assert reason.endswith(".")


@pytest.mark.parametrize("levels", [(120.0, 80.0, 40.0), (100.0, 30.0, 110.0)])
def test_tissue_in_another_order_has_another_contrast(levels):
    assert decide_contrast(head(), head(levels=levels))[0] == "different"


def test_two_volumes_of_ct_numbers_have_the_same_contrast():
    air = np.full((8, 8, 8), -1000.0, np.float32)
    one, two = air.copy(), air.copy()
    one[2:6, 2:6, 2:6] = 40
    two[1:7, 3:5, 2:6] = 300
    assert decide_contrast(Image(one, np.eye(4)), Image(two, np.eye(4)))[0] == "same"


def test_constant_volumes_do_not_fail():
    flat = Image(np.ones((6, 6, 6), np.float32), np.eye(4))
    assert decide_contrast(flat, flat)[0] in ("same", "different")
