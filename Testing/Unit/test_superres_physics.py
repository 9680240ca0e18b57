from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_strategies import affines
from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAILib.superres.acquisition import Acquisition, default_profile
from MedAILib.superres.consistency import project, residual, residual_psnr
from MedAILib.superres.operators import adjoint, forward, matrix_of, slice_matrix
from MedAILib.superres.problem import Problem
from MedAILib.superres.profiles import PROFILES, cumulative
from MedAILib.superres.stack import Line, Stack, as_volume, slice_axis
from MedAILib.superres.target import line_of, target_grid, with_line

ACQUISITIONS = ((4.0, 4.0), (5.0, 2.5), (3.0, 5.0))


def smooth_lines(line: Line, y: int = 5, x: int = 7) -> np.ndarray:
    rng = np.random.default_rng(0)
    phase, period = rng.uniform(0, 6, (1, y, x)), rng.uniform(9, 30, (1, y, x))
    return (100 + 50 * np.sin(phase + 2 * np.pi * line.centers[:, None, None] / period)).astype(np.float32)


@pytest.mark.parametrize("kind", PROFILES)
def test_a_profile_has_area_one_and_half_its_height_at_half_its_width(kind: str) -> None:
    x = np.linspace(-40, 40, 160001)
    c = cumulative(x, 5.0, kind)
    assert c[0] == pytest.approx(0, abs=1e-9) and c[-1] == pytest.approx(1, abs=1e-9)
    density = np.gradient(c, x)
    half = density[np.argmin(np.abs(np.abs(x) - 2.5))] / density.max()
    assert half == pytest.approx(0.5, abs=1e-3)
    assert np.allclose(c + c[::-1], 1, atol=1e-12)


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="box, gaussian, hann, triangle"):
        cumulative(np.zeros(1), 1.0, "sinc")
    with pytest.raises(UsageError, match="thickness"):
        Acquisition(0.0, 2.0)


def test_ct_is_taken_for_a_raised_cosine_and_all_else_for_a_gaussian() -> None:
    assert [default_profile(name) for name in ("CT", "ct", "MR", None)] == ["hann", "hann", "gaussian", "gaussian"]


def test_overlap_is_negative_where_there_is_a_gap() -> None:
    assert Acquisition(5.0, 2.5).overlap == 2.5
    assert Acquisition(3.0, 5.0).overlap == -2.0


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize(("thickness", "increment"), ACQUISITIONS)
def test_forward_and_adjoint_are_adjoint(thickness: float, increment: float, kind: str) -> None:
    rng = np.random.default_rng(1)
    line = Line(-1.7, 0.9, 60)
    matrix = slice_matrix(11, increment, line, thickness, kind)
    fine, slices = rng.normal(size=(60, 3, 4)), rng.normal(size=(11, 3, 4))
    left = float(np.vdot(forward(matrix, fine).astype(float), slices))
    right = float(np.vdot(fine, adjoint(matrix, slices).astype(float)))
    assert left == pytest.approx(right, rel=1e-5)
    assert np.allclose(matrix.sum(axis=1), 1)


def test_a_slice_that_the_cells_do_not_reach_has_an_empty_row() -> None:
    matrix = slice_matrix(6, 5.0, Line(0.0, 1.0, 6), 4.0, "box")
    assert np.allclose(matrix.sum(axis=1), [1, 1, 0, 0, 0, 0])


def test_a_ramp_is_measured_where_the_slices_are() -> None:
    line = Line(-3.0, 0.5, 200)
    fine = np.broadcast_to(line.centers[:, None, None], (200, 2, 2))
    slices = forward(slice_matrix(18, 4.0, line, 4.0, "hann"), fine)
    assert np.allclose(slices[2:-2, 0, 0], 4.0 * np.arange(18)[2:-2], atol=1e-3)


@given(affines(), st.sampled_from(ACQUISITIONS), st.integers(0, 2), st.floats(0.4, 3.0))
@settings(max_examples=60, deadline=None)
def test_the_target_begins_at_the_first_slices_outer_face(
    affine: np.ndarray, sizes: tuple[float, float], axis: int, spacing: float
) -> None:
    column = 2 - axis
    affine[:3, column] *= sizes[1] / np.linalg.norm(affine[:3, column])
    image = Image(np.zeros((6, 7, 8), np.float32), affine)
    target, line = target_grid(image, axis, Acquisition(sizes[0], sizes[1]), spacing)
    assert (
        target.shape[axis]
        == line.count
        == round((5 * sizes[1] if axis == 0 else (axis + 5) * sizes[1]) / spacing + sizes[0] / spacing)
    )

    def world(grid: np.ndarray, along: float) -> np.ndarray:
        place = np.array([2.0, 2.0, 2.0, 1.0])
        place[column] = along
        return (grid @ place)[:3]

    direction = affine[:3, column] / sizes[1]
    face = world(affine, 0.0) - direction * sizes[0] / 2
    assert np.allclose(world(target.affine, -0.5), face, atol=1e-6)
    # A cell lies where its distance from the first slice says.
    assert np.allclose(world(target.affine, 3.0), world(affine, 0.0) + direction * line.centers[3], atol=1e-6)
    found = line_of(image, axis, target.shape, target.affine)
    assert found is not None and np.allclose(found.centers, line.centers, atol=1e-6)
    flipped = target.affine.copy()
    flipped[:3, column] *= -1
    assert line_of(image, axis, target.shape, flipped) is None
    moved = target.affine.copy()
    moved[:3, (column + 1) % 3] *= 1.1
    assert line_of(image, axis, target.shape, moved) is None


def test_the_default_target_has_the_smaller_in_plane_spacing() -> None:
    image = Image(np.zeros((5, 6, 7), np.float32), np.diag([0.8, 0.7, 4.0, 1.0]))
    assert slice_axis(image) == 0
    target, line = target_grid(image, 0, Acquisition(4.0, 4.0), None)
    assert line.step == pytest.approx(0.7) and target.shape == (29, 6, 7)
    with pytest.raises(UsageError, match="target spacing"):
        target_grid(image, 0, Acquisition(4.0, 4.0), 0.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stack_has_its_slices_first_and_goes_back(axis: int) -> None:
    array = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    spacing = [1.0, 1.1, 1.2]
    spacing[axis] = 5.0
    image = Image(array, np.diag([*spacing[::-1], 1.0]))
    stack = Stack.of(image, axis, Acquisition(5.0, 5.0))
    assert stack.array.shape[0] == array.shape[axis] and stack.spacing[0] == 5.0
    assert np.array_equal(as_volume(stack.array, axis), array)
    with pytest.raises(ValueError, match="apart"):
        Stack.of(image, axis, Acquisition(5.0, 4.0))


def test_a_problem_knows_its_stack() -> None:
    image = Image(np.zeros((5, 6, 7), np.float32), np.diag([1.0, 1.0, 4.0, 1.0]))
    acquisition = Acquisition(4.0, 4.0)
    target, line = target_grid(image, 0, acquisition, None)
    problem = Problem(image, 0, acquisition, target, line)
    assert problem.stack is problem.stack
    assert matrix_of(problem.stack, line).shape == (5, line.count)
    assert with_line(image, 0, line)[0] == target.shape


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize(("thickness", "increment"), ACQUISITIONS)
def test_a_projected_volume_reproduces_the_slices(thickness: float, increment: float, kind: str) -> None:
    line = Line(0.5 - thickness / 2, 1.0, 60)
    matrix = slice_matrix(int((60 - thickness) / increment) + 1, increment, line, thickness, kind)
    truth = smooth_lines(line)
    slices = forward(matrix, truth)
    rough = truth + np.random.default_rng(2).normal(0, 20, truth.shape).astype(np.float32)
    assert residual_psnr(rough, slices, matrix) < 40
    fixed = project(rough, slices, matrix)
    assert residual_psnr(fixed, slices, matrix) > 65
    assert np.linalg.norm(fixed - truth) < np.linalg.norm(rough - truth)


def test_noise_is_not_projected_into_the_result() -> None:
    line = Line(-1.5, 1.0, 60)
    matrix = slice_matrix(15, 4.0, line, 4.0, "gaussian")
    truth = smooth_lines(line, 40, 40)
    noise = np.random.default_rng(3).normal(0, 10, (15, 40, 40)).astype(np.float32)
    slices = forward(matrix, truth) + noise
    kept = project(truth, slices, matrix, noise=10.5)
    assert np.array_equal(kept, truth) and kept is not truth
    assert np.abs(project(truth, slices, matrix, noise=5.0) - truth).max() > 1
    assert residual(truth, slices, matrix).std() == pytest.approx(10, rel=0.1)


def test_the_physics_loads_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, MedAILib.superres.problem, MedAILib.superres.consistency, MedAILib.superres.target\n"
        "print(sorted(name for name in ('torch', 'scipy', 'SimpleITK') if name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
