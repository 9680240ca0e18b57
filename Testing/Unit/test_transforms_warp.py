"""Images seen through a transform, against SimpleITK's resampler."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from MedAILib.files import write_transform
from MedAILib.files.itk import to_itk
from MedAILib.image import Image, Kind
from MedAILib.transforms import IDENTITY, AffineTransform, Transform, grid_of, warp_image, warp_labels
from transform_samples import OBLIQUE, deformable, matrix

LIKE = Image(np.zeros((20, 24, 28), np.uint8), OBLIQUE @ np.diag([0.6, 0.6, 0.6, 1.0]), "fixed")
PLACE = OBLIQUE @ np.array([[0, 0.8, 0, -2], [-0.9, 0, 0, 15], [0, 0, 1, 0.3], [0, 0, 0, 1]])
"""The moving image stands on another grid, with its axes swapped."""


def moving(kind: Kind = Kind.INTENSITY) -> Image:
    array = gaussian_filter(np.random.default_rng(3).standard_normal((13, 18, 20)), 1.5) * 500
    if kind is Kind.LABEL:
        return Image((array > 20).astype(np.uint8) + 2 * (array < -30).astype(np.uint8), PLACE, "labels", kind)
    return Image(array.astype(np.float32), PLACE, "moving")


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("kind", ["field and matrix", "matrix", "matrix before field", "mirror"])
def test_warping_equals_simpleitks_resampler_on_the_written_file(tmp_path, order: int, kind: str) -> None:
    transform = {
        "field and matrix": deformable(),
        "matrix": Transform.from_matrix(matrix()),
        "matrix before field": Transform((AffineTransform(matrix(2)), *deformable().parts)),
        "mirror": Transform.from_matrix(np.diag([-1.0, 1, 1, 1]) @ matrix()),
    }[kind]
    image = moving()
    ours = warp_image(image, LIKE, transform, order, fill=-77).array
    written = sitk.ReadTransform(str(write_transform(tmp_path / "t.h5", transform, LIKE)))
    interpolator = {0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline}[order]
    theirs = sitk.GetArrayFromImage(sitk.Resample(to_itk(image), to_itk(LIKE), written, interpolator, -77.0))
    assert (ours != -77).mean() > 0.05, "nothing was seen"
    # Voxels may fall to either side of an edge by rounding; all others agree.
    apart = np.abs(ours - theirs) > 0.2
    assert apart.mean() < 0.003


def test_labels_come_from_the_nearest_voxel_and_keep_their_type(tmp_path) -> None:
    labels = moving(Kind.LABEL)
    ours = warp_labels(labels, LIKE, deformable())
    assert ours.is_label and ours.array.dtype == np.uint8 and set(np.unique(ours.array)) == {0, 1, 2}
    written = sitk.ReadTransform(str(write_transform(tmp_path / "t.h5", deformable(), LIKE)))
    theirs = sitk.Resample(to_itk(labels), to_itk(LIKE), written, sitk.sitkNearestNeighbor)
    assert (ours.array != sitk.GetArrayFromImage(theirs)).mean() < 0.003


def test_the_identity_on_the_same_grid_changes_nothing() -> None:
    image = moving()
    for order in (0, 1):
        assert np.allclose(warp_image(image, image, IDENTITY, order).array, image.array, atol=1e-2)
    assert np.allclose(warp_image(image, image, IDENTITY, 3).array, image.array, atol=0.1)


def test_a_shift_moves_the_image_against_its_direction() -> None:
    """warped(x) = moving(x + 1): what the moving image has at 1 is seen at 0."""
    array = np.zeros((3, 3, 6), np.float32)
    array[:, :, 4] = 1
    shift = np.eye(4)
    shift[0, 3] = 1.0
    image = Image(array, np.eye(4))
    warped = warp_image(image, image, Transform.from_matrix(shift))
    assert warped.array[1, 1].tolist() == [0, 0, 0, 1, 0, 0]


def test_every_channel_is_warped_alike() -> None:
    image = moving()
    pair = Image(np.stack([image.array, 2 * image.array]), PLACE)
    one, two = warp_image(pair, LIKE, deformable()).array, warp_image(image, LIKE, deformable()).array
    assert one.shape == (2, *LIKE.shape) and np.allclose(one[0], two) and np.allclose(one[1], 2 * two, atol=1e-3)


def test_a_grid_may_be_given_without_an_image() -> None:
    grid = grid_of(LIKE)
    for like in (grid, (grid.shape, grid.affine)):
        assert np.array_equal(
            warp_image(moving(), like, deformable()).array, warp_image(moving(), LIKE, deformable()).array
        )


def test_single_slices_can_be_warped() -> None:
    image = Image(np.arange(64, dtype=np.float32).reshape(1, 8, 8), np.eye(4))
    shift = np.eye(4)
    shift[0, 3] = 1.0
    warped = warp_image(image, image, Transform.from_matrix(shift), fill=-1)
    assert np.array_equal(warped.array[0, :, :7], image.array[0, :, 1:]) and (warped.array[0, :, 7] == -1).all()


@pytest.mark.parametrize("order", [1, 3])
def test_labels_are_never_mixed(order: int) -> None:
    with pytest.raises(ValueError, match="not possible for label"):
        warp_image(moving(Kind.LABEL), LIKE, IDENTITY, order)


def test_intensities_are_not_taken_for_labels() -> None:
    with pytest.raises(ValueError, match="no label map"):
        warp_labels(moving(), LIKE, IDENTITY)


def test_a_far_away_image_leaves_only_the_fill_value() -> None:
    far = np.eye(4)
    far[:3, 3] = 1e5
    assert (warp_image(moving(), LIKE, Transform.from_matrix(far), fill=5).array == 5).all()
