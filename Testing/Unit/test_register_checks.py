"""Bad input of a registration: a clear sentence, or a warning and something that can be used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MedAILib.errors import ContentError, GeometryError, MedAIError, UsageError
from MedAILib.image import Image, Kind
from MedAILib.registration.checks import check_pair, overlap_share
from MedAILib.registration.request import Pair, RegistrationRequest
from MedAILib.transforms import IDENTITY, Transform
from register_tools import SHAPE, labels_of, scan, shift, shifted_pair

ANY = RegistrationRequest()
GIVEN = RegistrationRequest(start="given")


def mask(image: Image, array: np.ndarray) -> Image:
    return Image(array.astype(np.uint8), image.affine, "mask", Kind.LABEL)


def moved(image: Image, mm: float) -> Image:
    return Image(image.array, shift(np.array([mm, 0, 0])) @ image.affine, image.name)


def codes(pair: Pair, request: RegistrationRequest = ANY) -> list[str]:
    return [warned.code for warned in check_pair(pair, request)[1]]


def test_a_good_pair_passes_without_a_word() -> None:
    pair = shifted_pair()
    checked, warnings = check_pair(pair, ANY)
    assert (checked.fixed, checked.moving, warnings) == (pair.fixed, pair.moving, [])


def constant() -> Pair:
    pair = shifted_pair()
    return replace(pair, moving=pair.moving.with_array(np.full(SHAPE, 3.0)))


def nothing_finite() -> Pair:
    pair = shifted_pair()
    return replace(pair, fixed=pair.fixed.with_array(np.full(SHAPE, np.nan)))


def empty_mask() -> Pair:
    pair = shifted_pair()
    return replace(pair, moving_mask=mask(pair.moving, np.zeros(SHAPE)))


def mask_elsewhere() -> Pair:
    pair = shifted_pair()
    return replace(pair, fixed_mask=moved(mask(pair.fixed, np.ones(SHAPE)), 500.0))


def mask_of_background() -> Pair:
    pair = shifted_pair()
    return replace(pair, fixed_mask=mask(pair.fixed, pair.fixed.array == 0))


def slice_and_volume() -> Pair:
    pair = shifted_pair()
    return replace(pair, moving=Image(pair.moving.array[10:11], pair.moving.affine, "moving"))


def slices_of_two_planes() -> Pair:
    pair = shifted_pair()
    one = Image(pair.fixed.array[10:11], pair.fixed.affine, "fixed")
    return replace(pair, fixed=one, moving=Image(pair.moving.array[:, 10:11], pair.moving.affine, "moving"))


def unequal_landmarks() -> Pair:
    return replace(shifted_pair(), fixed_points=np.zeros((3, 3)), moving_points=np.zeros((2, 3)))


def landmarks_that_are_no_numbers() -> Pair:
    return replace(shifted_pair(), fixed_points=np.full((3, 3), np.nan), moving_points=np.zeros((3, 3)))


def negative_labels() -> Pair:
    pair = shifted_pair()
    labels = Image(np.full(SHAPE, -1, np.int16), pair.moving.affine, "labels", Kind.LABEL)
    return replace(pair, moving_labels=labels)


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        (constant, ContentError, "^moving is constant: every voxel is 3. Choose"),
        (nothing_finite, ContentError, "^fixed has no finite value"),
        (empty_mask, ContentError, "^mask is an empty mask: it marks no voxel of moving"),
        (mask_elsewhere, ContentError, "^mask lies outside fixed"),
        (mask_of_background, ContentError, "^mask marks .* voxels of fixed without contrast"),
        (slice_and_volume, GeometryError, "^moving is a single slice and fixed a volume"),
        (slices_of_two_planes, GeometryError, "single slices of different planes"),
        (unequal_landmarks, UsageError, "3 landmarks in fixed and 2 in moving"),
        (landmarks_that_are_no_numbers, ContentError, "landmarks of fixed are not all finite"),
        (negative_labels, ContentError, "^labels holds negative values"),
    ],
)
def test_what_cannot_be_registered_is_refused_with_its_own_sentence(
    bad: object, error: type[MedAIError], says: str
) -> None:
    with pytest.raises(error, match=says):
        check_pair(bad(), ANY)  # type: ignore[operator]


def test_some_voxels_without_a_number_are_replaced_and_told() -> None:
    pair = shifted_pair()
    array = pair.fixed.array.copy()
    array[3, 4, 5] = np.nan
    checked, warnings = check_pair(replace(pair, fixed=pair.fixed.with_array(array)), ANY)
    assert np.isfinite(checked.fixed.array).all()
    assert [warned.code for warned in warnings] == ["not-finite"]


def test_two_slices_of_one_plane_are_a_pair() -> None:
    pair = shifted_pair()
    one, other = (Image(image.array[10:11], image.affine, image.name) for image in (pair.fixed, pair.moving))
    assert codes(Pair(one, other)) == []


def test_sizes_and_spacings_that_are_far_apart_are_told() -> None:
    pair = shifted_pair()
    assert codes(replace(pair, moving=scan(spacing=10.0))) == ["different-sizes", "different-spacings"]
    assert codes(replace(pair, moving=scan((60, 72, 84), spacing=0.4))) == ["different-spacings"]


def test_a_label_map_in_the_place_of_an_image_is_told() -> None:
    pair = shifted_pair()
    labels = pair.moving.with_array(labels_of(pair.moving).array)
    assert codes(replace(pair, moving=labels)) == ["label-map"]


def test_a_mask_on_another_grid_is_brought_to_the_images() -> None:
    pair = shifted_pair()
    coarse = scan((10, 12, 14), spacing=4.0)
    half = np.zeros(coarse.shape)
    half[:, :, 7:] = 1
    found = check_pair(replace(pair, fixed_mask=mask(coarse, half)), ANY)[0].fixed_mask
    assert found is not None and found.shape == SHAPE
    assert found.array[:, :, 14:].all() and not found.array[:, :, :14].any()


def test_a_mask_of_everything_is_no_mask() -> None:
    pair = shifted_pair()
    assert check_pair(replace(pair, fixed_mask=mask(pair.fixed, np.ones(SHAPE))), ANY)[0].fixed_mask is None


def test_labels_that_cannot_be_compared_are_told() -> None:
    pair = shifted_pair()
    labels = labels_of(pair.fixed)
    assert codes(replace(pair, fixed_labels=labels)) == ["labels-of-one"]
    other = labels.with_array(labels.array * 10)
    assert codes(replace(pair, fixed_labels=labels, moving_labels=other)) == ["no-common-label"]
    assert codes(replace(pair, fixed_labels=labels, moving_labels=labels)) == []


def test_one_landmark_gives_the_shift_to_begin_with() -> None:
    point = np.array([[1.0, 2.0, 3.0]])
    checked, warnings = check_pair(replace(shifted_pair(), fixed_points=point, moving_points=point + 5), ANY)
    assert [warned.code for warned in warnings] == ["few-landmarks"]
    assert checked.initial is not None
    np.testing.assert_allclose(checked.initial.points(point), point + 5)


def test_no_landmark_at_all_is_none() -> None:
    empty = np.zeros((0, 3))
    assert check_pair(replace(shifted_pair(), fixed_points=empty, moving_points=empty), ANY)[0].points is None


def test_images_far_apart_are_only_refused_where_nothing_else_may_be_tried() -> None:
    pair = shifted_pair()
    away = replace(pair, moving=moved(pair.moving, 500.0))
    assert codes(away) == []
    with pytest.raises(GeometryError, match="fixed and moving do not overlap where the headers put them"):
        check_pair(away, GIVEN)


def test_an_initial_transform_that_leads_elsewhere_is_ignored_and_told_or_refused() -> None:
    pair = replace(shifted_pair(), initial=Transform.from_matrix(shift(np.array([500.0, 0, 0]))))
    checked, warnings = check_pair(pair, ANY)
    assert checked.initial is None
    assert [warned.code for warned in warnings] == ["no-overlap"]
    with pytest.raises(GeometryError, match="do not overlap after the initial transform"):
        check_pair(pair, GIVEN)


def test_a_mirroring_initial_transform_is_told() -> None:
    assert codes(replace(shifted_pair(), initial=Transform.from_matrix(np.diag([-1.0, 1, 1, 1])))) == ["mirrored"]


def test_the_share_of_the_overlap_is_that_of_the_smaller_image() -> None:
    big, small = scan((40, 40, 40)), scan((10, 10, 10))
    assert overlap_share(big, small, IDENTITY) == pytest.approx(1.0, abs=0.15)
    assert overlap_share(small, big, IDENTITY) == 1.0
    assert overlap_share(small, moved(small, 10.0), IDENTITY) == pytest.approx(0.5, abs=0.03)
    assert overlap_share(small, moved(small, 30.0), IDENTITY) == 0.0
