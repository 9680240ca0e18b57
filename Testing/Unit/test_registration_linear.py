"""Linear registration from far away, from a start, from landmarks, and in a plane."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedAILib.errors import Cancelled
from MedAILib.image import Image, Kind
from MedAILib.registration.linear import register_linear
from MedAILib.registration.linear_grids import prepare
from MedAILib.registration.linear_landmarks import fit_points
from MedAILib.registration.linear_plane import plane_of
from MedAILib.registration.linear_search import Search, mean_of


def subject(shape=(44, 52, 48)):
    """A lopsided textured body, so that only one pose is right."""
    from scipy.ndimage import gaussian_filter

    at = (np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2) / np.array(shape).reshape(3, 1, 1, 1)
    inside = (at[0] / 0.32) ** 2 + (at[1] / 0.38) ** 2 + (at[2] / 0.26) ** 2 < 1
    inside |= (at[0] - 0.2) ** 2 + (at[1] - 0.1) ** 2 + (at[2] - 0.15) ** 2 < 0.03
    noise = gaussian_filter(np.random.default_rng(2).normal(size=shape), 2.0)
    array = inside * (60 + 900 * noise + 40 * (at[1] > 0.1))
    return Image(array.astype(np.float32), np.diag([3.0, 3.0, 3.0, 1.0]), "subject")


def pose(degrees=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0), scale=1.0):
    from scipy.spatial.transform import Rotation

    result = np.eye(4)
    result[:3, :3] = scale * Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    result[:3, 3] = shift
    return result


def moved(image, matrix):
    """The same voxels at another place: the true transform from the image to it is the matrix."""
    return Image(image.array, matrix @ image.affine, "moved", image.kind)


def worst_mm(one, two, image):
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.array(image.shape[::-1]) - 1
    world = image.affine @ corners.T
    return float(np.linalg.norm((one @ world - two @ world)[:3], axis=0).max())


@pytest.mark.parametrize("kind", ["rigid", "similarity", "affine"])
def test_a_far_pose_is_found(kind):
    fixed = subject()
    truth = pose((20.0, -15.0, 25.0), (55.0, -40.0, 60.0), 1.0 if kind == "rigid" else 1.15)
    result = register_linear(fixed, moved(fixed, truth), kind)
    assert worst_mm(result.matrix, truth, fixed) < 3.0
    assert result.similarity > result.similarity_start
    if kind == "rigid":
        assert np.allclose(result.matrix[:3, :3].T @ result.matrix[:3, :3], np.eye(3), atol=1e-6)


@pytest.mark.parametrize("shape", [(44, 52, 48), (24, 24, 24)])
def test_a_rough_run_leaves_out_the_finest_grid_and_still_arrives(shape, monkeypatch):
    counts = []
    run = Search.run
    level = Search._level
    monkeypatch.setattr(Search, "run", lambda *given: (counts.append(0), run(*given))[1])

    def counted(*given):
        counts[-1] += 1
        return level(*given)

    monkeypatch.setattr(Search, "_level", counted)
    fixed = subject(shape)
    truth = pose((12.0, -10.0, 8.0), (20.0, -15.0, 10.0))
    for rough in (True, False):
        result = register_linear(fixed, moved(fixed, truth), "affine", rough=rough)
        assert worst_mm(result.matrix, truth, fixed) < 8.0
    assert counts[0] == max(2, counts[1] - 1)


@pytest.mark.parametrize("kind", ["rigid", "similarity", "affine"])
def test_a_mean_of_transforms_is_of_their_kind(kind):
    scales = (1.0, 1.0) if kind == "rigid" else (0.9, 1.1)
    center = np.array([30.0, -20.0, 10.0])
    poses = [pose((0.0, 0.0, turn), scale=scale) for turn, scale in zip((-8.0, 8.0), scales, strict=True)]
    if kind == "affine":
        poses[0][0, 1], poses[1][0, 1] = 0.3, -0.1
    mean = mean_of(np.stack(poses), kind, center, False)
    wanted = np.mean([each[:3, :3] @ center + each[:3, 3] for each in poses], axis=0)
    assert np.allclose(mean[:3, :3] @ center + mean[:3, 3], wanted)
    if kind == "affine":
        assert np.allclose(mean, np.mean(poses, axis=0))
    else:
        gram = mean[:3, :3].T @ mean[:3, :3]
        assert np.allclose(gram, np.eye(3) * gram[0, 0])
        assert gram[0, 0] == pytest.approx(1.0, abs=1e-9 if kind == "rigid" else 0.03)


def test_of_equal_candidates_the_middle_is_taken_but_not_that_of_places_far_apart(monkeypatch):
    from types import SimpleNamespace

    fixed = prepare(subject(), None, torch.device("cpu"))
    search = Search(fixed, fixed, "same")
    sides = np.stack([pose(shift=(9.0, 0.0, 0.0)), pose(shift=(-9.0, 0.0, 0.0)), pose(shift=(0.0, 90.0, 0.0))])
    monkeypatch.setattr(search, "scores", lambda level, poses: np.array([0.5, 0.505, 0.9]))
    valley = SimpleNamespace(losses=lambda poses: np.abs(poses[:, 0, 3]))
    assert np.allclose(search._settled(valley, sides, "rigid")[0], np.eye(4))
    hill = SimpleNamespace(losses=lambda poses: -np.abs(poses[:, 0, 3]))
    assert np.allclose(search._settled(hill, sides, "rigid")[0], sides[0])


def test_another_contrast_is_found_by_mutual_information():
    fixed = subject()
    truth = pose((10.0, 12.0, -8.0), (20.0, 10.0, -25.0))
    other = fixed.with_array(np.where(fixed.array > 0, np.sqrt(np.maximum(250 - fixed.array, 0)), 0).astype(np.float32))
    result = register_linear(fixed, moved(other, truth), "rigid", "different")
    assert worst_mm(result.matrix, truth, fixed) < 6.0


def test_a_given_start_is_improved_and_not_left_far_behind():
    fixed = subject()
    truth = pose((5.0, 0.0, -4.0), (8.0, -6.0, 4.0))
    result = register_linear(fixed, moved(fixed, truth), "rigid", start=np.eye(4))
    assert worst_mm(result.matrix, truth, fixed) < 3.0


def test_landmarks_lead_where_the_search_would_not_look():
    fixed = subject()
    truth = pose((0.0, 0.0, 170.0), (10.0, 0.0, 0.0))
    points = np.array([[30.0, 30.0, 30.0], [100.0, 40.0, 50.0], [60.0, 110.0, 40.0], [70.0, 60.0, 100.0]])
    there = points @ truth[:3, :3].T + truth[:3, 3]
    result = register_linear(fixed, moved(fixed, truth), "rigid", landmarks=(points, there))
    assert worst_mm(result.matrix, truth, fixed) < 3.0


@pytest.mark.parametrize("kind", ["rigid", "similarity", "affine"])
def test_points_are_fitted_by_what_the_kind_allows(kind):
    points = np.random.default_rng(1).normal(size=(8, 3)) * 40
    truth = pose((30.0, 50.0, -70.0), (5.0, 6.0, 7.0), 1.0 if kind == "rigid" else 1.3)
    if kind == "affine":
        truth[:3, :3] = truth[:3, :3] @ np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.1], [0.0, 0.0, 0.9]])
    there = points @ truth[:3, :3].T + truth[:3, 3]
    assert np.allclose(fit_points(points, there, kind), truth, atol=1e-9)


def test_points_in_one_plane_are_not_trusted_with_shears():
    points = np.random.default_rng(1).normal(size=(8, 3)) * [40, 40, 0]
    found = fit_points(points, points + np.array([1.0, 2.0, 3.0]), "affine")
    assert np.allclose(found, pose(shift=(1.0, 2.0, 3.0)), atol=1e-9)


def test_a_masked_out_part_does_not_steer():
    fixed = subject()
    truth = pose((6.0, -5.0, 4.0), (6.0, 4.0, -8.0))
    spoiled = fixed.array.copy()
    spoiled[:8] = 400.0
    mask = np.ones(fixed.shape, np.uint8)
    mask[:10] = 0
    marked = Image(mask, fixed.affine, "mask", Kind.LABEL)
    result = register_linear(fixed.with_array(spoiled), moved(fixed, truth), "rigid", fixed_mask=marked)
    assert worst_mm(result.matrix, truth, fixed) < 6.0


def test_two_slices_are_registered_in_their_plane():
    whole = subject((44, 64, 60))
    slice_ = Image(whole.array[20:21], whole.affine, "slice")
    truth = np.eye(4)
    truth[:2, :2] = pose((0.0, 0.0, 14.0))[:2, :2]
    truth[:3, 3] = [12.0, -9.0, 0.0]
    result = register_linear(slice_, moved(slice_, truth), "rigid")
    assert worst_mm(result.matrix, truth, slice_) < 3.0
    assert np.allclose(result.matrix[2], [0, 0, 1, 0], atol=1e-9)
    assert plane_of(whole, slice_) is None


def test_progress_ends_at_one_and_may_stop_the_run():
    fixed = subject((24, 26, 22))
    seen = []
    register_linear(fixed, fixed, "rigid", progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def stop(fraction):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        register_linear(fixed, fixed, "rigid", progress=stop)
