"""Volumes that no method can use are refused with their own sentence each."""

from __future__ import annotations

import numpy as np
import pytest

from MedAILib.checks import check_scalar_volume
from MedAILib.errors import ContentError, GeometryError, MedAIError
from MedAILib.image import Image

GOOD = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
SHEARED = np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def test_a_good_volume_passes_untouched() -> None:
    for dtype in ("u1", "i2", "i4", "f2", "f4", "f8"):
        image = Image(GOOD.astype(dtype), np.diag([1.0, 2.0, 8.0, 1.0]))
        checked, warnings = check_scalar_volume(image)
        assert checked is image and warnings == ()


@pytest.mark.parametrize(
    ("array", "affine", "error", "says"),
    [
        (np.zeros((0, 4, 5)), np.eye(4), ContentError, "empty: it has no voxels"),
        (np.full((3, 4, 5), 7), np.eye(4), ContentError, "constant: every voxel is 7"),
        (np.full((3, 4, 5), np.nan), np.eye(4), ContentError, "no finite value"),
        (np.full((3, 4, 5), np.inf), np.eye(4), ContentError, "no finite value"),
        (np.where(GOOD > 5, np.nan, 3.0), np.eye(4), ContentError, "constant"),
        (np.zeros((2, 3, 4, 5)), np.eye(4), ContentError, "2 channels or frames"),
        (GOOD.astype(np.complex64), np.eye(4), ContentError, "complex64"),
        (GOOD[:1], np.eye(4), GeometryError, r"single slice \(5 x 4 x 1 voxels\)"),
        (GOOD[:, :, :1], np.eye(4), GeometryError, "single slice"),
        (GOOD[:1, :1, :1], np.eye(4), GeometryError, "single voxel"),
        (GOOD, SHEARED, GeometryError, "not perpendicular"),
        (GOOD, np.diag([1.0, 1.0, 50.0, 1.0]), GeometryError, "spacing of 50 mm"),
        (GOOD, np.diag([1e-3, 1e-3, 1e-3, 1.0]), GeometryError, "spacing of 0.001 mm"),
    ],
)
def test_an_unusable_volume_is_refused_by_name(
    array: np.ndarray, affine: np.ndarray, error: type[MedAIError], says: str
) -> None:
    with pytest.raises(error, match=f"^scan .*{says}|^scan: .*{says}"):
        check_scalar_volume(Image(array, affine, "scan"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3.4e38])
def test_some_values_that_are_no_numbers_are_replaced_with_a_warning(bad: float) -> None:
    array = GOOD + 10
    array[0, 0, :3] = bad
    checked, warnings = check_scalar_volume(Image(array, np.eye(4), "scan"))
    assert [code for code, _ in warnings] == ["not-finite"] and "scan: 3 voxels (5 %)" in warnings[0][1]
    assert (checked.array[0, 0, :3] == 13).all()
    assert np.array_equal(checked.array.ravel()[3:], array.ravel()[3:]) and checked.array.dtype == np.float32
    assert not np.isfinite(array[0, 0, 0]) or array[0, 0, 0] > 1e30, "the caller's array must stay as it was"
