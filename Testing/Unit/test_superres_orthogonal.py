"""Several stacks to one volume: the operator, the motion, the reconstruction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MedAILib.errors import Cancelled, ContentError, UsageError
from MedAILib.image import Image
from MedAILib.spatial import resample
from MedAILib.superres import orthogonal
from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.alignment import align
from MedAILib.superres.operators import forward, slice_matrix
from MedAILib.superres.profiles import PROFILES
from MedAILib.superres.stack import Line
from MedAILib.superres.stack_motion import rigid_from
from MedAILib.superres.stack_operator import Slices, StackOperator
from MedAILib.superres.target import Target
from Unit.stack_tools import SIDE, box, grid, motions, psnr, sampled, stack, three_stacks


def still(done: float) -> None:
    """A progress that nobody looks at."""


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("pixel", [0.8, 2.5])
def test_the_adjoint_is_exact_for_oblique_moved_stacks(profile: str, pixel: float) -> None:
    turned = rigid_from(np.array([1.0, -2.0, 0.5, 0.4, 0.2, -0.3]), np.zeros(3))
    affine = turned @ np.diag([pixel, pixel, 4.0, 1.0])
    affine[:3, 3] -= turned[:3, :3] @ np.array([4 * pixel, 4 * pixel, 6.0])
    slices = Slices((4, 9, 8), affine, Acquisition(4.5, 4.0, profile))
    operator = StackOperator(Target((15, 14, 13), grid(14)), slices, motions()[1])
    random = torch.Generator().manual_seed(0)
    volume, seen = torch.rand(15, 14, 13, generator=random), torch.rand(4, 9, 8, generator=random)
    there = float((operator.forward(volume).double() * seen).sum())
    back = float((operator.adjoint(seen).double() * volume).sum())
    assert there != 0.0
    assert there == pytest.approx(back, rel=1e-5)


def test_without_motion_the_operator_is_the_matrix_along_the_slices() -> None:
    volume = sampled(grid(), (SIDE,) * 3).astype(np.float32)
    operator = StackOperator(Target((SIDE,) * 3, grid()), Slices.of(stack(1), 1, box()))
    expected = forward(slice_matrix(SIDE // 4, 4.0, Line(-1.5, 1.0, SIDE), 4.0, "box"), np.moveaxis(volume, 1, 0))
    found = operator.forward(torch.from_numpy(volume)).numpy()
    inner = operator.seen.numpy()
    assert inner[1:-1].all()
    assert np.abs(found - expected)[inner].max() < 1e-3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_moved_slices_are_predicted_where_they_lie(axis: int) -> None:
    motion = motions()[2]
    image = stack(axis, motion)
    volume = torch.from_numpy(sampled(grid(), (SIDE,) * 3).astype(np.float32))
    operator = StackOperator(Target((SIDE,) * 3, grid()), Slices.of(image, axis, box()), motion)
    error = operator.forward(volume).numpy() - np.moveaxis(image.array, axis, 0)
    assert np.abs(error[operator.seen.numpy()]).max() < 3.0
    unmoved = StackOperator(Target((SIDE,) * 3, grid()), Slices.of(image, axis, box()))
    assert np.abs(unmoved.forward(volume).numpy() - np.moveaxis(image.array, axis, 0)).max() > 10.0


def test_slices_that_the_volume_does_not_hold_do_not_count() -> None:
    away = np.eye(4)
    away[2, 3] = 16.0
    operator = StackOperator(Target((SIDE,) * 3, grid()), Slices.of(stack(0), 0, box()), away)
    assert operator.seen[-1].any() and not operator.seen[0].any()
    assert not operator.forward(torch.ones(SIDE, SIDE, SIDE))[0].any()


def test_the_motion_between_stacks_is_found() -> None:
    problem = three_stacks(noise=1.5)
    stacks, notes = align(problem, torch.device("cpu"), still)
    assert [code for code, _ in notes] == ["motion", "motion"]
    corners = np.array([[x, y, z, 1.0] for x in (-10, 10) for y in (-10, 10) for z in (-10, 10)]).T
    for found, true in zip(stacks, motions(), strict=True):
        assert np.linalg.norm(((found.motion - true) @ corners)[:3], axis=0).max() < 0.25


def test_three_stacks_are_better_than_the_mean_of_them_at_their_true_places() -> None:
    problem = three_stacks(noise=3.0)
    found = orthogonal.solve(problem, "cpu", still)
    images = [problem.image, *(other.image for other in problem.others)]
    moved = [Image(i.array, np.linalg.inv(m) @ i.affine) for i, m in zip(images, motions(), strict=True)]
    mean = np.mean([resample(i, (SIDE,) * 3, grid(), antialias=False).array for i in moved], 0)
    assert found.method == "orthogonal" and found.array.dtype == np.float32
    assert psnr(found.array) > psnr(mean) + 3.0


def test_a_stack_of_another_brightness_is_brought_to_the_first_ones() -> None:
    problem = three_stacks(noise=1.5)
    brighter = replace(problem.others[0], image=problem.others[0].image.with_array(problem.others[0].image.array * 1.4))
    stacks, _ = align(replace(problem, others=(brighter, problem.others[1])), torch.device("cpu"), still)
    ratio = float(stacks[1].values.mean() / problem.others[0].image.array.mean())
    assert ratio == pytest.approx(1.0, abs=0.03)


def test_slices_that_moved_one_by_one_get_motions_of_their_own() -> None:
    problem = three_stacks(noise=1.0, still=True)
    other = problem.others[0]
    array = other.image.array.copy()
    for n in range(1, array.shape[1], 2):
        step = rigid_from(np.array([2.0, 0.0, 1.5, 0.0, 0.1, 0.0]), np.zeros(3))
        array[:, n] = stack(1, step, noise=1.0).array[:, n]
    moved = replace(other, image=other.image.with_array(array))
    stacks, notes = align(replace(problem, others=(moved, problem.others[1])), torch.device("cpu"), still)
    assert len(stacks[1].motions) == array.shape[1] and len(stacks[2].motions) == 1
    assert "one by one" in notes[0][1]


def test_one_stack_alone_is_refused() -> None:
    with pytest.raises(UsageError, match="further stacks"):
        orthogonal.solve(replace(three_stacks(), others=()), "cpu", still)


def test_a_stack_elsewhere_is_refused_by_name() -> None:
    problem = three_stacks()
    image = problem.others[0].image
    far = np.eye(4)
    far[0, 3] = 500.0
    away = replace(problem.others[0], image=Image(image.array, far @ image.affine, "the far stack"))
    with pytest.raises(ContentError, match="the far stack"):
        orthogonal.solve(replace(problem, others=(away,)), "cpu", still)


def test_a_cancel_passes_through_and_a_stop_gives_what_there_is() -> None:
    def cancel(done: float) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        orthogonal.solve(three_stacks(), "cpu", cancel)
    seen: list[float] = []
    found = orthogonal.solve(three_stacks(), "cpu", seen.append, lambda: True)
    assert np.isfinite(found.array).all()
    assert seen == sorted(seen) and max(seen) <= 1.0
