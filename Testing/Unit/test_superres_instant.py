from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.consistency import project, residual_psnr
from MedAILib.superres.instant import METHODS
from MedAILib.superres.noise import estimate_noise
from MedAILib.superres.operators import matrix_of
from MedAILib.superres.stack import Line, Stack
from superres_samples import decibels, thick_slices

CASES = ((4.0, 4.0), (5.0, 2.5), (3.0, 5.0))


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_stays_constant(name: str) -> None:
    stack = Stack(np.full((9, 8, 7), 37.0, np.float32), (4.0, 1.0, 1.0), Acquisition(4.0, 4.0))
    result = METHODS[name](stack, Line(-1.5, 1.0, 36), 1.0)
    assert result.shape == (36, 8, 7) and result.dtype == np.float32
    assert np.allclose(result, 37.0, atol=1e-2)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 5, 5), (3, 1, 6), (5, 40, 2)])
def test_small_and_odd_stacks_give_finite_values(name: str, shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)
    stack = Stack(values, (3.0, 0.9, 1.1), Acquisition(5.0, 3.0, "hann"))
    result = METHODS[name](stack, Line(-2.0, 0.7, 17), 2.0)
    assert result.shape == (17, *shape[1:]) and np.isfinite(result).all()
    assert np.abs(result - 100).max() < 200


@pytest.mark.parametrize("name", ["linear", "cubic", "lanczos", "ibp", "tikhonov"])
def test_a_point_stays_where_it_is(name: str) -> None:
    line = Line(-2.0 + 0.25, 0.5, 120)
    truth = np.exp(-0.5 * ((line.centers - 27.3) / 6.0) ** 2)[:, None, None] * np.ones((1, 6, 6), np.float32)
    sample = Stack(np.zeros((15, 6, 6), np.float32), (4.0, 1.0, 1.0), Acquisition(4.0, 4.0))
    stack = Stack(
        (matrix_of(sample, line) @ truth[:, 0, 0])[:, None, None] * truth[:1] / truth[0, 0, 0],
        (4.0, 1.0, 1.0),
        sample.acquisition,
    )
    result = METHODS[name](stack, line, 0.0)[:, 3, 3].astype(float)
    assert abs(result @ line.centers / result.sum() - 27.3) < 0.02


def test_the_spline_goes_through_the_slices() -> None:
    sample = thick_slices(shape=(48, 16, 16))
    stack = sample.stack
    result = METHODS["cubic"](stack, Line(0.0, 4.0, len(stack.array)), 0.0)
    assert np.allclose(result, stack.array, atol=1e-2)
    assert np.array_equal(METHODS["nearest"](stack, Line(0.0, 4.0, len(stack.array)), 0.0), stack.array)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03, 0.05])
@pytest.mark.parametrize(("thickness", "increment"), CASES)
def test_deconvolution_is_never_worse_than_the_spline(thickness: float, increment: float, share: float) -> None:
    sample = thick_slices(thickness, increment, noise=200.0 * share)
    noise = estimate_noise(sample.stack)
    scores = {name: decibels(METHODS[name](sample.stack, sample.line, noise), sample.truth) for name in METHODS}
    assert scores["tikhonov"] > scores["cubic"]
    assert scores["ibp"] > scores["cubic"] - 0.05
    if thickness > increment:
        assert scores["tikhonov"] > scores["cubic"] + (2.5 if share == 0.0 else 0.5)


def test_deconvolution_explains_noise_free_slices() -> None:
    sample = thick_slices(5.0, 2.5)
    matrix = matrix_of(sample.stack, sample.line)
    result = METHODS["tikhonov"](sample.stack, sample.line, 0.0)
    assert residual_psnr(project(result, sample.stack.array, matrix), sample.stack.array, matrix) > 65
    assert residual_psnr(result, sample.stack.array, matrix) > 50


def test_too_much_assumed_noise_is_corrected_by_overlapping_slices() -> None:
    sample = thick_slices(5.0, 2.5)
    best, wrong = (METHODS["tikhonov"](sample.stack, sample.line, noise) for noise in (0.0, 3.0))
    assert decibels(wrong, sample.truth) > decibels(best, sample.truth) - 0.5


@pytest.mark.parametrize("noise", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("level", [0.0, 100.0, -800.0])
def test_noise_alone_is_measured(noise: float, level: float) -> None:
    values = np.random.default_rng(4).normal(level, noise, (20, 64, 64)).astype(np.float32)
    stack = Stack(values, (4.0, 1.0, 1.0), Acquisition(4.0, 4.0))
    assert estimate_noise(stack) == pytest.approx(noise, rel=0.06)


@pytest.mark.parametrize("noise", [10.0, 20.0])
def test_noise_is_measured_in_tissue_beside_air_and_cut_out_background(noise: float) -> None:
    clean = thick_slices().stack
    rng = np.random.default_rng(5)
    real, imaginary = (rng.normal(0, noise, clean.array.shape) for _ in range(2))
    rician = np.hypot(clean.array + real, imaginary).astype(np.float32)
    cut = np.where(clean.array > 50.0, clean.array + real, 0.0).astype(np.float32)
    for values in (rician, cut):
        assert estimate_noise(Stack(values, clean.spacing, clean.acquisition)) == pytest.approx(noise, rel=0.2)


def test_constant_slices_have_no_noise() -> None:
    stack = Stack(np.zeros((5, 16, 16), np.float32), (4.0, 1.0, 1.0), Acquisition(4.0, 4.0))
    assert estimate_noise(stack) == 0.0
    assert estimate_noise(Stack(np.zeros((5, 1, 16), np.float32), (4.0, 1.0, 1.0), Acquisition(4.0, 4.0))) == 0.0


def test_the_instant_methods_load_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, numpy as np\n"
        "from MedAILib.superres.instant import METHODS\n"
        "from MedAILib.superres.stack import Line, Stack\n"
        "from MedAILib.superres.acquisition import Acquisition\n"
        "values = np.random.default_rng(0).normal(size=(9, 9, 9)).astype('f')\n"
        "stack = Stack(values, (4.0, 1.0, 1.0), Acquisition(4.0, 4.0))\n"
        "[method(stack, Line(0.0, 1.0, 33), 0.5) for method in METHODS.values()]\n"
        "print(sorted(name for name in ('torch', 'scipy', 'SimpleITK') if name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
