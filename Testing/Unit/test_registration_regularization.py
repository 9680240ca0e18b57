from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from MedAILib.errors import UsageError
from MedAILib.registration.regularization import METHODS, implicit_penalty, smooth

SMALL = {2: (5, 6), 3: (4, 5, 3)}
STEPS = {2: (1.0, 1.5), 3: (1.0, 2.0, 0.5)}


def field(axes: int, seed: int = 0, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(axes, *(shape or SMALL[axes]), generator=generator, dtype=torch.float64)


def matrix(operator: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The dense matrix of a linear operator on arrays of this shape."""
    size = math.prod(shape)
    return np.stack([operator(np.eye(size)[n].reshape(shape)).ravel() for n in range(size)], 1)


def free_laplacian(u: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """Second differences of an array whose border is repeated outside: no flow through it."""
    result = np.zeros_like(u)
    for axis, step in enumerate(steps):
        padded = np.pad(u, [(1, 1) if a == axis else (0, 0) for a in range(u.ndim)], mode="edge")
        result += np.diff(padded, 2, axis) / step**2
    return result


def periodic_elastic(u: np.ndarray, steps: tuple[float, ...], mu: float, lam: float) -> np.ndarray:
    """μΔu + (μ+λ)∇div u of an array (axes, …) by differences on a torus."""
    axes = len(steps)

    def central(a: np.ndarray, axis: int) -> np.ndarray:
        return (np.roll(a, -1, axis) - np.roll(a, 1, axis)) / (2 * steps[axis])

    def second(a: np.ndarray, axis: int) -> np.ndarray:
        return (np.roll(a, -1, axis) - 2 * a + np.roll(a, 1, axis)) / steps[axis] ** 2

    result = np.stack([mu * sum(second(part, axis) for axis in range(axes)) for part in u])
    for row, column in itertools.product(range(axes), repeat=2):
        part = second(u[row], row) if row == column else central(central(u[column], column), row)
        result[row] += (mu + lam) * part
    return result


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(("method", "gamma"), [("diffusion", 2.0), ("curvature", 5.0)])
def test_diffusion_and_curvature_equal_a_dense_solve(axes: int, method: str, gamma: float) -> None:
    u, steps = field(axes), STEPS[axes]
    laplacian = matrix(lambda a: free_laplacian(a, steps), SMALL[axes])
    operator = laplacian if method == "diffusion" else -laplacian @ laplacian
    system = np.eye(len(laplacian)) - gamma * operator
    expected = np.linalg.solve(system, u.reshape(axes, -1).numpy().T).T.reshape(u.shape)
    assert np.allclose(smooth(u, method, gamma, spacing=steps).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(("mu", "lam"), [(1.0, 0.0), (0.7, 1.3)])
def test_the_periodic_elastic_solution_equals_a_dense_solve_of_the_coupled_system(
    axes: int, mu: float, lam: float
) -> None:
    u, steps = field(axes), STEPS[axes]
    operator = matrix(lambda a: periodic_elastic(a, steps, mu, lam), (axes, *SMALL[axes]))
    expected = np.linalg.solve(np.eye(len(operator)) - 2.0 * operator, u.numpy().ravel()).reshape(u.shape)
    found = smooth(u, "elastic", 2.0, spacing=steps, mu=mu, lam=lam, boundary="periodic")
    assert np.allclose(found.numpy(), expected, atol=1e-10)


def test_elastic_components_act_on_each_other() -> None:
    u = torch.zeros(2, 12, 12, dtype=torch.float64)
    u[0, 5, 5] = 1.0
    assert float(smooth(u, "elastic", 2.0, spacing=(1, 1))[1].abs().max()) > 1e-3
    assert float(smooth(u, "diffusion", 2.0, spacing=(1, 1))[1].abs().max()) == 0.0


def test_split_lines_equal_a_dense_solve_of_each_axis() -> None:
    u = field(2)
    parts = []
    for axis in range(2):
        steps = [STEPS[2][a] if a == axis else 1e9 for a in range(2)]
        laplacian = matrix(lambda a, steps=steps: free_laplacian(a, steps), SMALL[2])
        parts.append(np.linalg.solve(np.eye(len(laplacian)) - 2 * 1.5 * laplacian, u.reshape(2, -1).numpy().T).T)
    expected = np.mean(parts, 0).reshape(u.shape)
    assert np.allclose(smooth(u, "aos", 1.5, spacing=STEPS[2]).numpy(), expected, atol=1e-8)


def test_operator_splitting_is_exact_to_first_order_in_the_strength() -> None:
    u = field(3)
    errors = [
        float((smooth(u, "aos", gamma) - smooth(u, "diffusion", gamma)).norm()) for gamma in (0.004, 0.002, 0.001)
    ]
    assert errors[1] < 0.3 * errors[0]
    assert errors[2] < 0.3 * errors[1]
    smoothed = smooth(u, "diffusion", 20.0)
    near, exact = smooth(smoothed, "aos", 2.0), smooth(smoothed, "diffusion", 2.0)
    assert float((near - exact).norm()) < 0.5 * float((smoothed - exact).norm())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(5, 7, 4), (1, 6, 5), (1, 1, 1)])
def test_a_shift_of_everything_costs_nothing(method: str, shape: tuple[int, int, int]) -> None:
    shift = torch.tensor([1.0, -2.0, 0.5])[:, None, None, None].expand(3, *shape)
    assert torch.allclose(smooth(shift, method, 5.0), shift, atol=1e-5)
    assert float(implicit_penalty(shift[None], method, 5.0)) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("method", ["diffusion", "curvature", "elastic"])
def test_no_other_field_has_a_lower_energy(method: str) -> None:
    """½|u − v|² + γR(v) is smallest at v = ū; R(v) = −½⟨v, Av⟩."""
    u, steps, gamma = field(2, shape=(6, 6)), (1.0, 1.0), 1.5

    def energy(v: torch.Tensor) -> float:
        array = v.numpy()
        if method == "elastic":
            applied = periodic_elastic(array, steps, 1.0, 0.0)
        else:
            applied = np.stack([free_laplacian(part, steps) for part in array])
            if method == "curvature":
                applied = -np.stack([free_laplacian(part, steps) for part in applied])
        return 0.5 * float((u - v).square().sum()) - 0.5 * gamma * float((array * applied).sum())

    boundary = "periodic" if method == "elastic" else "free"
    best = smooth(u, method, gamma, spacing=steps, boundary=boundary)
    assert energy(best) < energy(u)
    for seed in range(5):
        assert energy(best) < energy(best + 0.05 * field(2, seed + 1, (6, 6)))


def test_curvature_damps_every_frequency_and_never_turns_one_around() -> None:
    """With the sign as printed, I − γΔ², some frequencies would come out amplified or negative."""
    line = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 1, 16).clone()
    smoothed = smooth(line, "curvature", 5.0, spacing=(1.0, 1.0))
    ratio = float((smoothed * line).sum() / line.square().sum())
    assert 0.0 < ratio < 0.05


def test_without_a_margin_a_push_at_one_border_moves_the_other() -> None:
    u = torch.zeros(2, 24, 24, dtype=torch.float64)
    u[0, 0] = 1.0
    free, periodic = (smooth(u, "elastic", 2.0, spacing=(1, 1), boundary=b) for b in ("free", "periodic"))
    assert float(periodic[0, -1].abs().max()) > 0.1
    assert float(free[0, -1].abs().max()) < 0.02


def test_the_field_of_a_batch_is_smoothed_like_each_of_its_fields() -> None:
    batch = torch.stack([field(3, seed) for seed in range(2)])
    for method in METHODS:
        assert torch.allclose(smooth(batch, method)[1], smooth(batch[1], method), atol=1e-12)


def test_single_precision_suffices() -> None:
    u = field(3, shape=(16, 12, 20))
    for method in METHODS:
        assert torch.allclose(smooth(u.float(), method).double(), smooth(u, method), atol=1e-5)


def square(at: int) -> torch.Tensor:
    image = torch.zeros(1, 1, 32, 32)
    image[..., 10:22, at : at + 12] = 1.0
    return image


def reach(penalty: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Share of the image that the gradient reaches for the shifted square of the paper's Fig. 2, one step done."""
    fixed, moving = square(12), square(10)
    u = torch.zeros(1, 2, 32, 32, requires_grad=True)
    rows = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij"))
    for _ in range(2):
        grid = ((rows + u).flip(1).permute(0, 2, 3, 1) + 0.5) / 16 - 1
        warped = torch.nn.functional.grid_sample(moving, grid, padding_mode="border", align_corners=False)
        loss = (fixed - warped).square().mean() + penalty(u)
        (gradient,) = torch.autograd.grad(loss, u)
        u = (u - 100 * gradient).detach().requires_grad_()
    return float((gradient.norm(dim=1) > 1e-9).float().mean())


def test_the_gradient_reaches_the_whole_image_at_once_and_not_step_by_step() -> None:
    def explicit(u: torch.Tensor) -> torch.Tensor:
        return u.diff(dim=2).square().mean() + u.diff(dim=3).square().mean()

    def implicit(u: torch.Tensor) -> torch.Tensor:
        return implicit_penalty(u, "diffusion", 50.0, 1.0, spacing=(1.0, 1.0))

    assert reach(implicit) > 0.9
    assert reach(explicit) < 0.5


def test_the_penalty_pulls_toward_the_smooth_field_which_itself_gets_no_gradient() -> None:
    u = field(3)[None].requires_grad_()
    implicit_penalty(u, "elastic", 2.0, 3.0).backward()
    expected = 3.0 * (u.detach() - smooth(u.detach(), "elastic", 2.0)) / math.prod(SMALL[3])
    assert u.grad is not None
    assert torch.allclose(u.grad, expected)


def test_smoothing_itself_is_differentiable_also_after_it_ran_without_gradients() -> None:
    with torch.inference_mode():
        smooth(torch.zeros(3, 3, 4, 5), "diffusion")
    u = torch.randn(3, 3, 4, 5, requires_grad=True)
    smooth(u, "diffusion").square().sum().backward()
    assert u.grad is not None
    assert torch.isfinite(u.grad).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "bending"}, "must be one of"),
        ({"gamma": -1.0}, "0 or more"),
        ({"gamma": math.nan}, "0 or more"),
        ({"method": "elastic", "mu": 0.0}, "μ above 0"),
        ({"method": "curvature", "boundary": "periodic"}, "boundary"),
        ({"spacing": (1.0,)}, "cannot be smoothed"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        smooth(torch.zeros(3, 4, 4, 4), **arguments)  # type: ignore[arg-type]
