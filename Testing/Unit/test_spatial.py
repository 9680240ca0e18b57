"""Moving images between grids."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_strategies import affines, label_maps, rotation, world_of_values
from MedAILib.errors import GeometryError
from MedAILib.geometry import Shape
from MedAILib.image import Image, Kind
from MedAILib.spatial import crop, crop_to_grid, pad, reorient, resample, rescale, restore_labels

CODES = ["".join(letters) for axes in permutations(("RL", "AP", "SI")) for letters in product(*axes)]
few = settings(max_examples=60, deadline=None)


def assert_same_places(moved: Image, original: Image) -> None:
    places = world_of_values(original)
    for value, point in world_of_values(moved).items():
        assert np.allclose(point, places[value], atol=1e-6)


@st.composite
def boxes(draw: st.DrawFn, shape: Shape) -> tuple[Shape, Shape]:
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return start, tuple(draw(st.integers(1, n - s)) for n, s in zip(shape, start, strict=True))  # type: ignore[return-value]


@few
@given(label_maps(), st.sampled_from(CODES))
def test_reorienting_moves_no_voxel_in_the_world_and_reaches_the_codes(labels: Image, codes: str) -> None:
    turned = reorient(labels, codes)
    assert turned.codes == codes
    assert turned.array.flags.c_contiguous and turned.array.dtype == labels.array.dtype
    assert len(world_of_values(turned)) == labels.array.size
    assert_same_places(turned, labels)


@few
@given(label_maps(), st.sampled_from(CODES))
def test_reorienting_back_is_the_exact_inverse(labels: Image, codes: str) -> None:
    back = reorient(reorient(labels, codes), labels.codes)
    assert np.array_equal(back.array, labels.array)
    assert np.allclose(back.affine, labels.affine, atol=1e-9)


@few
@given(st.data(), label_maps(), st.sampled_from(CODES))
def test_crop_reorient_pad_and_back_is_bit_identical(data: st.DataObject, labels: Image, codes: str) -> None:
    start, shape = data.draw(boxes(labels.shape))
    margin = st.tuples(*[st.integers(0, 3)] * 3)
    part = pad(reorient(crop(labels, start, shape), codes), data.draw(margin), data.draw(margin))
    assert_same_places(part, labels)

    back = restore_labels(part, labels)

    expected = np.zeros_like(labels.array)
    box = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    expected[box] = labels.array[box]
    assert back.array.dtype == labels.array.dtype
    assert np.array_equal(back.array, expected)
    assert np.array_equal(back.affine, labels.affine)


@few
@given(label_maps(), st.sampled_from(CODES), st.tuples(*[st.integers(0, 3)] * 3), st.tuples(*[st.integers(0, 3)] * 3))
def test_pad_reorient_and_back_is_bit_identical(labels: Image, codes: str, before: Shape, after: Shape) -> None:
    back = restore_labels(reorient(pad(labels, before, after, fill=0), codes), labels)
    assert np.array_equal(back.array, labels.array)


def test_channels_travel_with_their_voxels() -> None:
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    image = Image(array, np.diag([-1.0, 2.0, -3.0, 1.0]))
    turned = reorient(image, "SRA")
    assert turned.array.shape == (2, 4, 5, 3)
    for channel in range(2):
        single = reorient(Image(array[channel], image.affine), "SRA")
        assert np.array_equal(turned.array[channel], single.array)
        assert np.array_equal(turned.affine, single.affine)


@pytest.mark.parametrize("codes", ["RAX", "RRS", "RA", "RASS", ""])
def test_an_impossible_orientation_is_refused(codes: str) -> None:
    with pytest.raises(ValueError, match="orientation"):
        reorient(Image(np.zeros((2, 2, 2)), np.eye(4)), codes)


def test_a_box_beyond_the_image_and_negative_padding_are_refused() -> None:
    image = Image(np.zeros((3, 4, 5)), np.eye(4), "scan")
    for start, shape in (((0, 0, 0), (4, 4, 5)), ((-1, 0, 0), (1, 1, 1)), ((1, 1, 1), (0, 1, 1))):
        with pytest.raises(ValueError, match="scan"):
            crop(image, start, shape)
    with pytest.raises(ValueError, match="negative"):
        pad(image, (0, -1, 0), (0, 0, 0))


def test_cropping_copies_nothing() -> None:
    image = Image(np.zeros((3, 4, 5)), np.eye(4))
    assert np.shares_memory(crop(image, (1, 1, 1), (2, 2, 2)).array, image.array)


def test_labels_between_the_voxels_of_the_original_are_not_restored_silently() -> None:
    like = Image(np.zeros((4, 4, 4)), np.eye(4), "scan")
    for affine in (np.diag([2.0, 2.0, 2.0, 1.0]), np.array([[1, 0, 0, 0.3], *np.eye(4)[1:]])):
        labels = Image(np.ones((2, 2, 2), np.uint8), affine, "labels", Kind.LABEL)
        with pytest.raises(GeometryError, match=r"labels does not lie on the voxels of scan"):
            restore_labels(labels, like)
    with pytest.raises(ValueError, match="label"):
        restore_labels(like, like)


def test_a_grid_far_away_gets_the_fill_value_only() -> None:
    image = Image(np.ones((2, 2, 2)), np.eye(4))
    far = Image(np.zeros((3, 3, 3)), np.array([[1, 0, 0, 50.0], *np.eye(4)[1:]]))
    assert (crop_to_grid(image, far, fill=-7).array == -7).all()


def ramp(shape: Shape, affine: np.ndarray) -> np.ndarray:
    """A linear function of world position at each voxel."""
    k, j, i = np.indices(shape)
    x, y, z, _ = np.tensordot(affine, np.stack([i, j, k, np.ones(shape)]), axes=1)
    return (0.3 * x - 0.2 * y + 0.5 * z + 7).astype(np.float32)


def assert_inner_part_is_the_ramp(result: Image, source: Image, margin: float) -> None:
    k, j, i = np.indices(result.shape)
    points = np.stack([i, j, k, np.ones(result.shape)]).reshape(4, -1)
    inside = np.linalg.inv(source.affine) @ result.affine @ points
    limits = np.array(source.shape[::-1])[:, None] - 1
    inner = ((inside[:3] >= margin) & (inside[:3] <= limits - margin)).all(axis=0).reshape(result.shape)
    assert inner.any()
    assert np.allclose(result.array[inner], ramp(result.shape, result.affine)[inner], atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(affines(), affines(), st.booleans())
def test_a_linear_ramp_in_the_world_survives_resampling_between_any_grids(
    one: np.ndarray, other: np.ndarray, antialias: bool
) -> None:
    shape = (14, 15, 16)
    source = Image(ramp(shape, one), one)
    step = np.abs(np.linalg.inv(one)[:3, :3] @ other[:3, :3]).sum(axis=1).max()
    other = other.copy()
    other[:3, :3] *= 4 / step  # so that three voxels of the new grid fit into the old one
    center = one @ [7.5, 7, 6.5, 1]
    other[:3, 3] = center[:3] - other[:3, :3] @ [1, 1, 1]
    assert_inner_part_is_the_ramp(resample(source, (3, 3, 3), other, antialias=antialias), source, margin=6 * antialias)


@settings(max_examples=25, deadline=None)
@given(affines(), st.tuples(*[st.floats(0.4, 2.5)] * 3))
def test_a_linear_ramp_survives_rescaling(affine: np.ndarray, factors: tuple[float, float, float]) -> None:
    source = Image(ramp((20, 21, 22), affine), affine)
    spacing = tuple(s * f for s, f in zip(source.spacing, factors, strict=True))
    assert_inner_part_is_the_ramp(rescale(source, spacing), source, margin=4)  # type: ignore[arg-type]


@few
@given(label_maps(), st.tuples(*[st.floats(0.3, 9.0)] * 3))
def test_rescaling_keeps_the_box_of_space(labels: Image, spacing: tuple[float, float, float]) -> None:
    result = rescale(labels, spacing)
    for image_corner in (np.zeros(3), np.ones(3)):
        old, new = (image.affine @ [*(image_corner * image.shape[::-1] - 0.5), 1] for image in (labels, result))
        assert np.allclose(old, new, atol=1e-6)
    wanted = [n * s / w for n, s, w in zip(labels.shape, labels.spacing, spacing, strict=True)]
    assert all(n == 1 or abs(n - w) <= 0.5 + 1e-6 for n, w in zip(result.shape, wanted, strict=True))


@few
@given(label_maps(smallest=2), affines(), st.tuples(*[st.integers(1, 6)] * 3))
def test_resampled_labels_are_values_of_the_nearest_voxel(labels: Image, affine: np.ndarray, shape: Shape) -> None:
    affine = affine.copy()
    affine[:3, 3] = (labels.affine @ [*(np.array(labels.shape[::-1]) / 2), 1])[:3]
    result = resample(labels, shape, affine)
    assert result.array.dtype == labels.array.dtype and result.is_label
    k, j, i = np.indices(shape)
    points = np.stack([i, j, k, np.ones(shape)]).reshape(4, -1)
    inside = (np.linalg.inv(labels.affine) @ affine @ points)[:3]
    for value, place in zip(result.array.ravel(), inside.T, strict=True):
        if np.abs(place - np.floor(place) - 0.5).min() < 1e-3:
            continue  # between two voxels either is right
        nearest = np.rint(place).astype(int)[::-1]
        covered = all(0 <= n < size for n, size in zip(nearest, labels.shape, strict=True))
        assert value == (labels.array[tuple(nearest)] if covered else 0)


def test_interpolating_labels_is_refused() -> None:
    labels = Image(np.ones((2, 2, 2), np.uint8), np.eye(4), kind=Kind.LABEL)
    with pytest.raises(ValueError, match="label"):
        resample(labels, (4, 4, 4), np.eye(4), order=1)


def test_both_methods_of_resampling_agree() -> None:
    rng = np.random.default_rng(0)
    image = Image(rng.random((9, 10, 11), dtype=np.float32), np.diag([1.0, 1.2, 1.5, 1.0]))
    grid = np.diag([2.1, 0.7, 3.3, 1.0])
    grid[:3, 3] = [0.4, 1.0, 2.0]
    nearly = grid.copy()
    nearly[:3, :3] = rotation(2e-4, 0, 0) @ nearly[:3, :3]  # enough to leave the axis-aligned method
    straight, oblique = resample(image, (3, 9, 4), grid), resample(image, (3, 9, 4), nearly)
    assert np.allclose(straight.array, oblique.array, atol=5e-3)


def test_shrinking_smooths_first() -> None:
    stripes = np.zeros((24, 24, 24), np.float32)
    stripes[::2] = 1.0
    image = Image(stripes, np.eye(4))
    raw = resample(image, (12, 24, 24), np.diag([1.0, 1.0, 2.0, 1.0]), antialias=False)
    smooth = resample(image, (12, 24, 24), np.diag([1.0, 1.0, 2.0, 1.0]))
    assert raw.array.min() == 1.0
    assert np.abs(smooth.array[2:-2] - 0.5).max() < 0.12


def test_voxels_outside_get_the_fill_value_by_both_methods() -> None:
    image = Image(np.ones((4, 4, 4), np.float32), np.eye(4))
    away = np.eye(4)
    away[0, 3] = 2.0
    turned = away.copy()
    turned[:3, :3] = rotation(0, 0, 0.05)
    for affine in (away, turned):
        result = resample(image, (1, 1, 6), affine, fill=-5)
        assert np.array_equal(result.array.ravel(), [1, 1, -5, -5, -5, -5])


def test_several_channels_are_resampled_alike() -> None:
    rng = np.random.default_rng(0)
    image = Image(rng.random((2, 5, 6, 7), dtype=np.float32), np.eye(4))
    result = rescale(image, (2.0, 1.5, 0.7))
    single = rescale(replace(image, array=image.array[1]), (2.0, 1.5, 0.7))
    assert np.array_equal(result.array[1], single.array)
