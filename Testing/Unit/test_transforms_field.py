"""Displacement fields: between and outside their nodes, on other lattices, inverted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_strategies import affines
from MedAILib.errors import ContentError
from MedAILib.image import Image
from MedAILib.transforms import AffineTransform, DisplacementField, Transform, grid_of, split_affine
from transform_samples import OBLIQUE, SHAPE, flow_field, least_determinant, matrix, points_inside, smooth_field

FIELD = smooth_field()
INSIDE = points_inside(FIELD.image)


def beyond(millimeters: float, axis: int = 0) -> np.ndarray:
    """Points that lie that far outside the middle of the lattice's far face along voxel axis i, j or k."""
    ijk = (np.array(SHAPE[::-1]) - 1) / 2
    ijk[axis] = SHAPE[2 - axis] - 1
    face = OBLIQUE[:3, :3] @ ijk + OBLIQUE[:3, 3]
    direction = OBLIQUE[:3, axis] / np.linalg.norm(OBLIQUE[:3, axis])
    return (face + millimeters * direction)[np.newaxis]


@given(affine=affines(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_linear_displacement_is_interpolated_exactly_on_any_lattice(affine: np.ndarray, seed: int) -> None:
    slope = np.random.default_rng(seed).uniform(-0.2, 0.2, (3, 3))
    grid = grid_of(((4, 5, 6), affine))
    ijk = np.argwhere(np.ones(grid.shape, bool))[:, ::-1]
    world = ijk @ affine[:3, :3].T + affine[:3, 3] - affine[:3, 3]
    array = (world @ slope.T).T.reshape(3, *grid.shape).astype(np.float32)
    field = DisplacementField(Image(array, affine))
    points = points_inside(field.image, 50, seed)
    expected = points + (points - affine[:3, 3]) @ slope.T
    assert np.allclose(field.points(points), expected, atol=2e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_displacement_fades_smoothly_to_zero_outside(axis: int) -> None:
    edge = FIELD.points(beyond(0, axis)) - beyond(0, axis)
    lengths = [float(np.linalg.norm(FIELD.points(p) - p)) for p in (beyond(d, axis) for d in np.arange(0, 30, 0.5))]
    assert np.linalg.norm(edge) > 0.1 and lengths[0] == pytest.approx(np.linalg.norm(edge))
    assert all(b <= a + 1e-6 for a, b in pairwise(lengths)), "grows again"
    assert max(a - b for a, b in pairwise(lengths)) < 0.5, "jumps"
    far = beyond(FIELD.fade_mm + 3.1, axis)
    assert np.array_equal(FIELD.points(far), far)


def test_the_fade_alone_never_folds_space() -> None:
    push = np.zeros((3, 40, 40, 40), np.float32)
    push[0] = -4.5  # everything is pulled against the outside
    field = DisplacementField(Image(push, np.eye(4)))
    line = np.column_stack([np.linspace(-40, 40, 4001), np.full(4001, 2.0), np.full(4001, 2.0)])
    assert np.diff(field.points(line)[:, 0]).min() > 0


def test_a_margin_makes_the_fade_part_of_the_lattice() -> None:
    wide = FIELD.with_margin()
    assert wide.fade_mm == 0
    assert wide.with_margin().image.shape == wide.image.shape
    around = np.concatenate([beyond(d, axis) for d in np.linspace(0, 20, 21) for axis in range(3)])
    assert np.abs(wide.points(around) - FIELD.points(around)).max() < 1e-4
    assert np.abs(wide.points(INSIDE) - FIELD.points(INSIDE)).max() < 1e-4


def test_a_field_that_is_zero_on_its_surface_needs_no_margin() -> None:
    array = FIELD.image.array.copy()
    for axis in (1, 2, 3):
        view = np.moveaxis(array, axis, 0)
        view[0] = view[-1] = 0
    field = DisplacementField(Image(array, OBLIQUE))
    assert field.fade_mm == 0 and field.with_margin() is field
    assert np.array_equal(field.points(beyond(0.01)), beyond(0.01))


def test_sampling_along_lines_equals_sampling_point_by_point() -> None:
    """The fast way of aligned lattices against the general one."""
    finer = OBLIQUE @ np.diag([0.5, 0.5, 0.4, 1.0])
    finer[:3, 3] -= 6 * OBLIQUE[:3, 0]
    shape = (40, 35, 44)
    fast = FIELD.on_grid(shape, finer)
    ijk = np.argwhere(np.ones(shape, bool))[:, ::-1]
    world = ijk @ finer[:3, :3].T + finer[:3, 3]
    assert np.abs(world + fast.image.array.reshape(3, -1).T - FIELD.points(world)).max() < 1e-4


def test_composing_two_fields_is_going_through_both() -> None:
    second = smooth_field(3.0, 4)
    both = FIELD.compose(second, grid_of((tuple(4 * n for n in SHAPE), OBLIQUE @ np.diag([0.25, 0.25, 0.25, 1]))))
    expected = second.points(FIELD.points(INSIDE))
    assert np.abs(both.points(INSIDE) - expected).max() < 0.03
    assert FIELD.compose(second).image.shape == SHAPE


@pytest.mark.parametrize("largest", [0.0, 1.0, 4.0])
def test_the_inverse_leads_back_both_ways(largest: float) -> None:
    field = smooth_field(largest)
    inverse = field.inverse()
    assert inverse.residual_mm is not None and inverse.residual_mm <= 0.02
    for first, second in ((field, inverse), (inverse, field)):
        off = np.linalg.norm(second.points(first.points(INSIDE)) - INSIDE, axis=1)
        assert off.mean() < 0.05 and off.max() < 0.1 * largest + 1e-6


def test_the_inverse_also_holds_where_points_leave_the_lattice() -> None:
    around = np.concatenate([beyond(d, axis) for d in np.linspace(-4, 12, 17) for axis in range(3)])
    inverse = FIELD.inverse()
    assert np.linalg.norm(inverse.points(FIELD.points(around)) - around, axis=1).max() < 0.3


def test_a_steep_compression_is_inverted_where_simple_iteration_diverges() -> None:
    """Slope -1.6 in the stretch direction: |d'| > 1, so the fixed point is repelling, yet nothing folds."""
    x = np.arange(64.0)
    steep = 12 * np.tanh((x - 32) / 6)  # slope up to +2
    array = np.zeros((3, 3, 3, 64), np.float32)
    array[0] = steep
    field = DisplacementField(Image(array, np.eye(4)))
    inverse = field.inverse((3, 3, 64), np.eye(4))
    assert inverse.residual_mm is not None and inverse.residual_mm <= 0.01


@pytest.mark.parametrize("seed", [0, 7, 14, 16])
def test_every_node_is_found_where_a_steep_field_has_no_folds(seed: int) -> None:
    """Full Newton steps jump to and fro between cells there, and leave single nodes off by voxels."""
    field = flow_field(5.0, seed)
    assert 0 < least_determinant(field) < 0.25
    own_lattice = field.inverse(*field.grid)
    assert own_lattice.residual_mm is not None and own_lattice.residual_mm <= 0.01
    finer = field.inverse()
    assert finer.residual_mm is not None and finer.residual_mm <= 0.01


def test_the_inverse_has_a_finer_lattice_as_it_is_rougher_than_the_field() -> None:
    field = flow_field(4.0)
    points = points_inside(field.image, 2000)
    inverse, coarse = field.inverse(), field.inverse(*field.grid)
    assert np.abs(inverse.image.array[:, ::2, ::2, ::2] - coarse.image.array).max() < 0.1
    off = [np.linalg.norm(each.points(field.points(points)) - points, axis=1).mean() for each in (inverse, coarse)]
    assert off[0] < 0.5 * off[1]


def test_the_inverse_of_a_field_with_many_nodes_stays_on_its_lattice() -> None:
    array = np.zeros((3, 64, 80, 96), np.float32)
    array[:, 20:40, 20:40, 20:40] = 0.4
    assert DisplacementField(Image(array, np.eye(4))).inverse().image.shape == (64, 80, 96)


def test_the_inverse_can_be_asked_for_on_another_lattice() -> None:
    grid = grid_of(((20, 20, 20), OBLIQUE @ np.diag([0.8, 0.8, 0.8, 1.0])))
    inverse = FIELD.inverse(*grid)
    assert inverse.image.shape == grid.shape and np.array_equal(inverse.image.affine, grid.affine)
    inside = points_inside(inverse.image)
    assert np.linalg.norm(FIELD.points(inverse.points(inside)) - inside, axis=1).mean() < 0.05


def test_a_folded_field_gives_a_finite_inverse_and_a_telling_residual() -> None:
    array = np.zeros((3, 16, 16, 16), np.float32)
    array[0, :, :, :8], array[0, :, :, 8:] = 6.0, -6.0
    inverse = DisplacementField(Image(array, np.eye(4))).inverse()
    assert np.isfinite(inverse.image.array).all()
    assert Transform((DisplacementField(Image(array, np.eye(4))),)).inverse().residual_mm == inverse.residual_mm
    noisy = np.random.default_rng(0).normal(0, 3, (3, 12, 12, 12)).astype(np.float32)
    inverse = DisplacementField(Image(noisy, np.eye(4))).inverse()
    assert np.isfinite(inverse.image.array).all()
    assert inverse.residual_mm is not None and inverse.residual_mm > 0.1


def test_a_field_of_one_slice_goes_on_unchanged_across_it() -> None:
    array = np.zeros((3, 1, 8, 8), np.float32)
    array[0] = 2.0
    field = DisplacementField(Image(array, np.eye(4)))
    assert np.allclose(field.points(np.array([[4.0, 4.0, 0.0], [4.0, 4.0, 9.0]])), [[6, 4, 0], [6, 4, 9]])
    assert field.with_margin().image.shape[0] == 1
    back = field.inverse()
    assert np.allclose(back.points(np.array([[6.0, 4.0, 0.0]])), [[4.0, 4.0, 0.0]], atol=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_field_that_is_not_finite_is_refused(value: float) -> None:
    array = np.zeros((3, 4, 4, 4), np.float32)
    array[1, 2, 2, 2] = value
    with pytest.raises(ContentError, match="NaN or infinite"):
        DisplacementField(Image(array, np.eye(4)))


def test_a_field_needs_three_components() -> None:
    with pytest.raises(ContentError, match="three numbers"):
        DisplacementField(Image(np.zeros((4, 4, 4), np.float32), np.eye(4)))


@pytest.mark.parametrize("shape", [SHAPE, (1, 14, 16)])
def test_a_matrix_is_taken_out_of_a_field_without_changing_it(shape: tuple[int, int, int]) -> None:
    whole = Transform((smooth_field(3.0, shape=shape), AffineTransform(matrix()))).displacements(shape, OBLIQUE)
    split = split_affine(whole)
    assert [type(part) for part in split.parts] == [DisplacementField, AffineTransform]
    rest = split.parts[0]
    assert isinstance(rest, DisplacementField) and rest.largest_mm < 4.0
    inside = points_inside(whole.image)
    assert np.abs(split.points(inside) - whole.points(inside)).max() < 1e-3


def test_a_far_shift_in_a_field_can_be_undone() -> None:
    array = smooth_field(2.0).image.array + np.array([80.0, -60.0, 90.0], np.float32).reshape(3, 1, 1, 1)
    split = split_affine(DisplacementField(Image(array, OBLIQUE)))
    off = np.linalg.norm(split.inverse().points(split.points(INSIDE)) - INSIDE, axis=1)
    assert off.mean() < 0.05 and off.max() < 0.3


def test_a_field_without_a_matrix_in_it_stays_as_it_is() -> None:
    assert split_affine(FIELD).parts == (FIELD,)
    collapsing = np.zeros((3, 4, 4, 4), np.float32)
    collapsing[0] = -np.arange(4)
    field = DisplacementField(Image(collapsing, np.eye(4)))
    assert split_affine(field).parts == (field,)


def test_a_field_of_far_shifts_has_a_margin_of_bounded_size() -> None:
    array = np.full((3, 12, 12, 12), 500.0, np.float32)
    wide = DisplacementField(Image(array, np.eye(4))).with_margin()
    assert max(wide.image.shape) <= 20
