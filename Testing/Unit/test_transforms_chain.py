"""Matrices and chains: composed, inverted, sampled, sent to the worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from MedAILib.errors import GeometryError
from MedAILib.image import Image
from MedAILib.transforms import IDENTITY, AffineTransform, DisplacementField, Transform, grid_of
from transform_samples import OBLIQUE, SHAPE, deformable, matrix, points_inside, smooth_field

GRID = Image(np.zeros(SHAPE, np.uint8), OBLIQUE, "grid")
POINTS = points_inside(GRID)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (np.diag([1.0, 1.0, 0.0, 1.0]), "singular"),
        (np.diag([1e-7, 1e-7, 1e-7, 1.0]), "singular"),
        (np.ones((4, 4)), "last row"),
        (np.full((4, 4), np.nan), "finite"),
        (np.eye(3), "4x4"),
    ],
)
def test_a_matrix_that_cannot_be_inverted_is_refused_with_a_sentence(wrong: np.ndarray, says: str) -> None:
    with pytest.raises(GeometryError, match=says):
        AffineTransform(wrong)


def test_a_mirroring_matrix_is_allowed_and_known_as_such() -> None:
    mirror = AffineTransform(np.diag([-1.0, 1.0, 1.0, 1.0]))
    assert mirror.is_mirroring and not AffineTransform(matrix()).is_mirroring
    assert Transform((mirror,)).is_mirroring and not Transform((mirror, smooth_field(), mirror)).is_mirroring
    assert np.allclose(mirror.inverse().points(POINTS), POINTS * [-1, 1, 1])


def test_the_first_part_is_applied_first() -> None:
    double, shift = np.diag([2.0, 2.0, 2.0, 1.0]), np.eye(4)
    shift[0, 3] = 10.0
    both = Transform((AffineTransform(double), AffineTransform(shift)))
    assert np.allclose(both.points(np.ones((1, 3))), [[12.0, 2.0, 2.0]])
    assert both.linear is not None and np.allclose(both.linear, shift @ double)


def test_a_transform_with_a_field_has_no_single_matrix() -> None:
    assert deformable().linear is None
    assert IDENTITY.linear is not None and np.array_equal(IDENTITY.linear, np.eye(4))


def test_the_identity_leaves_points_where_they_are_and_does_not_hand_out_its_input() -> None:
    moved = IDENTITY.points(POINTS)
    assert np.array_equal(moved, POINTS) and moved is not POINTS


def test_neighboring_matrices_melt_together_and_identities_vanish() -> None:
    field = smooth_field()
    back = AffineTransform(matrix()).inverse()
    parts = (AffineTransform(np.eye(4)), field, AffineTransform(matrix()), back, field, AffineTransform(matrix(3)))
    melted = Transform(parts).simplified()
    assert [type(part) for part in melted.parts] == [DisplacementField, DisplacementField, AffineTransform]
    assert np.allclose(melted.points(POINTS), Transform(parts).points(POINTS), atol=1e-5)


@pytest.mark.parametrize("order", ["field first", "matrix first", "long chain", "two fields"])
def test_the_sampled_displacement_is_what_happens_to_the_points(order: str) -> None:
    field, affine = smooth_field(), AffineTransform(matrix())
    parts = {
        "field first": (field, affine),
        "matrix first": (affine, field),
        "long chain": (affine, field, affine, smooth_field(seed=5), affine.inverse()),
        "two fields": (field, smooth_field(seed=7, shape=(9, 9, 9))),
    }[order]
    transform = Transform(parts)
    total = transform.displacements(*grid_of(GRID))
    ijk = np.argwhere(np.ones(SHAPE, bool))[:, ::-1]
    voxels = ijk @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]
    assert np.abs(voxels + total.image.array.reshape(3, -1).T - transform.points(voxels)).max() < 1e-3


def test_a_chain_is_undone_by_its_inverse_in_reverse_order() -> None:
    chain = Transform((AffineTransform(matrix(4)), smooth_field(2.0), AffineTransform(matrix(5)), smooth_field(1.5, 9)))
    back = chain.inverse()
    off = np.linalg.norm(back.points(chain.points(POINTS)) - POINTS, axis=1)
    assert off.mean() < 0.05 and off.max() < 0.3
    assert back.residual_mm is not None and back.residual_mm < 0.03 and chain.residual_mm is None


def test_a_transform_survives_the_way_to_the_worker() -> None:
    chain = deformable().then(deformable(seed=2)).inverse()
    message, arrays = chain.to_message("initial")
    assert all(name.startswith("initial.") for name in arrays)
    again = Transform.from_message(json.loads(json.dumps(message)), arrays)
    assert np.array_equal(again.points(POINTS), chain.points(POINTS))
    assert again.residual_mm == chain.residual_mm
    assert Transform.from_message(*IDENTITY.to_message()).parts == ()


def test_transforms_need_neither_torch_nor_simpleitk_at_import() -> None:
    code = "import sys, MedAILib.transforms, MedAILib.files; print({'torch', 'SimpleITK'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
