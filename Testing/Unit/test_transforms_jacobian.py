"""Local volume change and folds."""

from __future__ import annotations

import numpy as np
import pytest

from MedAILib.image import Image
from MedAILib.transforms import (
    IDENTITY,
    AffineTransform,
    DisplacementField,
    Transform,
    jacobian_map,
    jacobian_statistics,
)
from transform_samples import OBLIQUE, deformable, matrix, smooth_field

LIKE = Image(np.zeros((13, 15, 17), np.uint8), OBLIQUE @ np.diag([0.9, 0.9, 0.9, 1.0]), "fixed")


def by_voxels(transform: Transform, like: Image) -> np.ndarray:
    """The benchmark's definition: displacements in voxels of the fixed grid, central differences."""
    array = transform.displacements(like.shape, like.affine).image.array
    turn = np.linalg.inv(like.affine[:3, :3])
    voxels = np.einsum("ab,bkji->aijk", turn, array.astype(float))
    slopes = np.stack([np.stack(np.gradient(component)) for component in voxels]) + np.eye(3)[:, :, None, None, None]
    return np.moveaxis(np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1))), (0, 1, 2), (2, 1, 0))


@pytest.mark.parametrize("transform", [deformable(), deformable(12.0, 5), Transform((AffineTransform(matrix()),))])
def test_the_determinant_is_the_benchmarks(transform: Transform) -> None:
    ours = jacobian_map(transform, LIKE)
    expected = by_voxels(transform, LIKE)
    assert np.abs(ours.array - expected).max() < 2e-3
    inner = expected[2:-2, 2:-2, 2:-2]
    found = jacobian_statistics(ours)
    assert found.folds_percent == pytest.approx(100 * (inner <= 0).mean(), abs=0.2)
    assert found.sd_log == pytest.approx(np.log(inner[inner > 0].clip(1e-9, 1e9)).std(), abs=5e-3)
    assert found.minimum == pytest.approx(inner.min(), abs=2e-3)
    assert found.maximum == pytest.approx(inner.max(), abs=2e-3)


def test_a_matrix_changes_volume_by_its_determinant_everywhere() -> None:
    found = jacobian_statistics(jacobian_map(Transform.from_matrix(matrix()), LIKE))
    assert found.minimum == pytest.approx(np.linalg.det(matrix()[:3, :3]), abs=1e-3)
    assert found.maximum == pytest.approx(found.minimum, abs=1e-3)
    assert found.folds_percent == 0 and found.sd_log < 1e-3
    assert jacobian_statistics(jacobian_map(IDENTITY, LIKE)).maximum == pytest.approx(1, abs=1e-3)


def test_a_mirrored_image_is_not_a_folded_one() -> None:
    mirror = AffineTransform(np.diag([-1.0, 1, 1, 1]))
    plain, mirrored = smooth_field(2.0), Transform((smooth_field(2.0), mirror))
    assert jacobian_statistics(jacobian_map(mirrored, LIKE)).folds_percent == 0
    same = jacobian_map(Transform((plain,)), LIKE).array
    assert np.allclose(jacobian_map(mirrored, LIKE).array, same, atol=1e-3)


def test_folds_are_counted_in_percent_without_the_border() -> None:
    array = np.zeros((3, 10, 10, 20), np.float32)
    array[0, :, :, 9:] = -5.0
    field = DisplacementField(Image(array, np.eye(4)))
    determinant = jacobian_map(Transform((field,)), field.image)
    found = jacobian_statistics(determinant)
    # Central differences see the jump of 5 mm from two voxels: 1 - 5 / 2 each.
    assert found.folds_percent == pytest.approx(100 * 2 / 16) and found.minimum == pytest.approx(-1.5, abs=1e-4)


def test_a_mask_restricts_the_figures() -> None:
    determinant = Image(np.ones((10, 10, 10), np.float32), np.eye(4))
    determinant.array[5, 5, 5] = -1
    mask = Image(np.zeros((10, 10, 10), np.uint8), np.eye(4))
    mask.array[5, 5, 4:6] = 1
    assert jacobian_statistics(determinant, mask).folds_percent == 50.0
    assert jacobian_statistics(determinant, mask.with_array(np.zeros_like(mask.array))).folds_percent == 0.0


def test_a_single_slice_is_judged_in_its_plane() -> None:
    array = np.zeros((3, 1, 12, 12), np.float32)
    array[0] = 0.5 * np.arange(12)
    field = DisplacementField(Image(array, np.eye(4)))
    assert np.allclose(jacobian_map(Transform((field,)), field.image).array, 1.5, atol=1e-4)
