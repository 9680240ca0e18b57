"""The affine conventions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from image_strategies import affines, rotation
from MedAILib.errors import GeometryError
from MedAILib.geometry import axis_codes, centre_shift, check_affine, spacing_of, with_spacing


def test_spacing_is_in_array_order() -> None:
    assert spacing_of(np.diag([1.0, 2.0, 3.0, 1.0])) == (3.0, 2.0, 1.0)
    assert spacing_of(with_spacing((3.0, 2.0, 1.0))) == (3.0, 2.0, 1.0)


@settings(max_examples=30, deadline=None)
@given(affines())
def test_spacing_does_not_depend_on_rotation(affine: np.ndarray) -> None:
    lengths = [np.linalg.norm(affine[:3, column]) for column in (2, 1, 0)]
    assert np.allclose(spacing_of(affine), lengths)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "LIA", "SRA"])
def test_codes_name_where_the_axes_point(codes: str) -> None:
    directions = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, letter in enumerate(codes):
        axis, sign = directions[letter]
        affine[axis, column] = sign * 1.7
    assert axis_codes(affine) == codes


@settings(max_examples=50, deadline=None)
@given(affines())
def test_codes_of_any_grid_use_each_anatomical_axis_once(affine: np.ndarray) -> None:
    assert sorted("RASRAS"["RASLPI".index(letter)] for letter in axis_codes(affine)) == ["A", "R", "S"]


def test_a_shifted_grid_begins_at_the_named_voxel() -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(0.2, 0.3, -0.1) * [1, 2, 3]
    affine[:3, 3] = [10, 20, 30]
    moved = centre_shift(affine, (4, 5, 6))
    assert np.allclose(moved @ [0, 0, 0, 1], affine @ [6, 5, 4, 1])
    assert np.array_equal(moved[:3, :3], affine[:3, :3])


SHEARED = np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
FLAT = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("affine", "says"),
    [
        (SHEARED, "not perpendicular"),
        (FLAT, "singular"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "spacing 0"),
        (np.diag([1.0, np.nan, 1.0, 1.0]), "finite"),
        (np.eye(3), "4x4"),
    ],
)
def test_an_unusable_affine_is_refused_with_the_reason(affine: np.ndarray, says: str) -> None:
    with pytest.raises(GeometryError, match=f"scan.*{says}"):
        check_affine(affine, "scan")


def test_the_shear_is_told_in_degrees() -> None:
    with pytest.raises(GeometryError, match=r"16\.7 degrees"):
        check_affine(SHEARED, "scan")


def test_a_shear_of_rounding_errors_passes() -> None:
    affine = np.eye(4)
    affine[0, 1] = 1e-3
    assert np.array_equal(check_affine(affine, "scan"), affine)
