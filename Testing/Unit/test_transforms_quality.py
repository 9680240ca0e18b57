"""Figures about a registration, against slow and plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from MedAILib.errors import GeometryError, UsageError
from MedAILib.image import Image, Kind
from MedAILib.transforms import (
    IDENTITY,
    Transform,
    inverse_consistency,
    landmark_errors,
    overlap,
    similarity,
)
from transform_samples import OBLIQUE, SHAPE, deformable, points_inside, smooth_field

GRID = Image(np.zeros(SHAPE, np.uint8), OBLIQUE, "grid")


def labels(seed: int, shape: tuple[int, int, int] = (14, 16, 18)) -> Image:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2.0)
    return Image(np.digitize(noise, [-0.08, -0.03, 0.03, 0.08]).astype(np.uint8), OBLIQUE, f"map {seed}", Kind.LABEL)


def plain_hd95(a: np.ndarray, b: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Distance maps of the whole volume."""
    first, second = a & ~ndimage.binary_erosion(a), b & ~ndimage.binary_erosion(b)
    to_first = ndimage.distance_transform_edt(~first, sampling=spacing)
    to_second = ndimage.distance_transform_edt(~second, sampling=spacing)
    return max(np.percentile(to_second[first], 95), np.percentile(to_first[second], 95))


@pytest.mark.parametrize("seed", range(3))
def test_dice_and_hausdorff_distance_follow_their_definitions(seed: int) -> None:
    fixed, warped = labels(seed), labels(seed + 10)
    rows = overlap(fixed, warped)
    assert [row.value for row in rows] == [1, 2, 3, 4]
    for row in rows:
        a, b = fixed.array == row.value, warped.array == row.value
        assert row.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert row.hd95_mm == pytest.approx(plain_hd95(a, b, fixed.spacing))


def test_equal_maps_agree_perfectly() -> None:
    assert all(row.dice == 1 and row.hd95_mm == 0 for row in overlap(labels(1), labels(1)))


def test_a_structure_that_vanished_counts_as_zero_when_it_is_named() -> None:
    fixed, warped = labels(1), labels(2)
    warped.array[warped.array == 3] = 0
    assert [row.value for row in overlap(fixed, warped)] == [1, 2, 4]
    row = overlap(fixed, warped, [0, 3])[0]
    assert row.value == 3 and row.dice == 0 and np.isnan(row.hd95_mm)
    assert np.isnan(overlap(fixed, warped, [99])[0].dice)


def test_in_a_single_slice_the_surface_is_the_outline() -> None:
    a = np.zeros((1, 20, 20), np.uint8)
    a[0, 5:15, 5:15] = 1
    b = np.roll(a, 3, axis=2)
    rows = overlap(Image(a, np.eye(4), "a", Kind.LABEL), Image(b, np.eye(4), "b", Kind.LABEL))
    assert rows[0].hd95_mm == 3.0


def test_maps_on_different_grids_are_not_compared() -> None:
    moved = OBLIQUE.copy()
    moved[0, 3] += 1.0
    with pytest.raises(GeometryError, match="not on the same grid"):
        overlap(labels(1), Image(labels(1).array, moved, "moved", Kind.LABEL))
    with pytest.raises(GeometryError, match="not on the same grid"):
        similarity(labels(1), labels(1, (9, 9, 9)))


def test_landmark_errors_are_distances_after_the_transform() -> None:
    fixed = points_inside(GRID, 7)
    transform = deformable()
    moving = transform.points(fixed)
    moving[0] += [3.0, 0.0, 4.0]
    assert np.allclose(landmark_errors(fixed, moving, transform), [5, 0, 0, 0, 0, 0, 0])
    with pytest.raises(UsageError, match="7 fixed and 6 moving"):
        landmark_errors(fixed, moving[:6], IDENTITY)


def test_a_true_inverse_is_consistent_and_a_wrong_one_is_not() -> None:
    transform = deformable(2.0)
    mean, largest = inverse_consistency(transform, transform.inverse(), GRID)
    assert mean < 0.05 and mean <= largest < 0.5
    shift = np.eye(4)
    shift[:3, 3] = [0.0, 3.0, 4.0]
    assert inverse_consistency(Transform.from_matrix(shift), IDENTITY, GRID) == pytest.approx((5.0, 5.0), abs=1e-3)


def test_inverse_consistency_of_a_large_grid_is_about_the_same_as_of_all_its_voxels() -> None:
    transform = Transform((smooth_field(),))
    inverse = transform.inverse()
    fine = ((120, 140, 160), OBLIQUE @ np.diag([0.1, 0.1, 0.1, 1.0]))
    coarse = ((60, 70, 80), OBLIQUE @ np.diag([0.2, 0.2, 0.2, 1.0]))
    assert inverse_consistency(transform, inverse, fine)[0] == pytest.approx(
        inverse_consistency(transform, inverse, coarse)[0], rel=0.1
    )


def picture(seed: int = 0) -> Image:
    array = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((24, 26, 28)), 1.5)
    return Image((array * 1000).astype(np.float32), np.eye(4), f"picture {seed}")


def test_an_image_is_most_alike_to_itself_and_least_to_a_stranger() -> None:
    image = picture()
    itself = similarity(image, image)
    near = similarity(image, image.with_array(np.roll(image.array, 1, axis=2)))
    stranger = similarity(image, picture(1))
    for name in ("local_correlation", "mutual_information"):
        a, b, c = (getattr(each, name) for each in (itself, near, stranger))
        assert 1.0001 > a > b > c >= 0
    assert itself.local_correlation > 0.999 and itself.mutual_information > 0.999


def test_mutual_information_sees_through_another_contrast() -> None:
    image = picture()
    other = image.with_array(np.abs(image.array) ** 0.5 * 7 + 3)
    assert similarity(image, other).mutual_information > 10 * similarity(picture(1), other).mutual_information


def test_brightness_and_gain_do_not_change_the_local_correlation() -> None:
    image = picture()
    other = image.with_array(image.array * -0.01 + 5000)
    assert similarity(image, other).local_correlation > 0.99


def test_only_voxels_in_the_mask_count() -> None:
    image, broken = picture(), picture().array.copy()
    broken[:, :, 14:] = picture(5).array[:, :, 14:]
    mask = np.zeros(broken.shape, np.uint8)
    mask[:, :, :10] = 1
    other = image.with_array(broken)
    assert similarity(image, other).local_correlation < 0.7
    assert similarity(image, other, mask).local_correlation > 0.99
    assert similarity(image, other, mask).mutual_information > 0.99


@pytest.mark.parametrize("array", [np.zeros((9, 9, 9)), np.full((9, 9, 9), np.nan)])
def test_empty_images_are_alike_to_nothing(array: np.ndarray) -> None:
    image = Image(array.astype(np.float32), np.eye(4))
    found = similarity(image, image)
    assert found.local_correlation == 0 and found.mutual_information == 0


def test_large_images_are_averaged_before_they_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MedAILib.transforms.comparison._VOXELS", 3000)
    image = picture()
    assert similarity(image, image).local_correlation > 0.99
    assert similarity(image, picture(1)).local_correlation < 0.2
