"""The learned super-resolution of a single stack: its network, its pairs, its optimizer, its honesty."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from MedAILib.errors import ModelError, UsageError
from MedAILib.image import Image
from MedAILib.networks.msd import MixedScaleDense
from MedAILib.networks.thick_slice import ThickSliceNetwork, interleave
from MedAILib.superres import sr4zct_paper
from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.application import Application
from MedAILib.superres.held_out import calibrate
from MedAILib.superres.lattice import lattice_matrix, lattice_operators
from MedAILib.superres.learner import Learner
from MedAILib.superres.momentum import OrthogonalizedMomentum, orthogonalized
from MedAILib.superres.off_axis import OffAxis, Simulation, conditions_of, held_out
from MedAILib.superres.operators import matrix_of
from MedAILib.superres.problem import Problem
from MedAILib.superres.self_supervised import prepare, solve, thin_noise
from MedAILib.superres.stack import Line
from MedAILib.superres.target import target_grid
from MedAILib.superres.warm_start import read_superres_card, shipped_network, write_network
from MedAILib.training.superres.config import superres_recipe_from

FOUR = Acquisition(4.0, 4.0)


def blobs(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """A random volume with smooth edges, the same in all directions."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), -1).astype(np.float32)
    result = np.zeros(shape, np.float32)
    for _ in range(40):
        center = random.uniform(0, shape)
        distance = np.linalg.norm((grid - center) / random.uniform(2, 7, 3), axis=-1)
        result += random.uniform(-60, 100) / (1 + np.exp(8 * (distance - 1)))
    return result


def thick(shape: tuple[int, int, int] = (10, 40, 40), **settings: object) -> Problem:
    spacing = np.diag([1.0, 1.0, 4.0, 1.0])
    image = Image(blobs(shape), spacing, name="blobs")
    target, line = target_grid(image, 0, FOUR)
    return Problem(image, 0, FOUR, target, line, **settings)  # type: ignore[arg-type]


class Ticks:
    """A clock that goes on by one second whenever it is read."""

    def __init__(self) -> None:
        self._seconds = itertools.count()

    def __call__(self) -> float:
        return float(next(self._seconds))


def test_fresh_network_adds_nothing_and_keeps_the_order_of_its_thin_parts() -> None:
    network = ThickSliceNetwork(8, 2, 4)
    parts, spread = network(torch.randn(2, 5, 7), torch.zeros(3), True)
    assert spread is not None
    assert parts.shape == spread.shape == (2, 20, 7)
    assert parts.abs().max() == 0
    ordered = interleave(torch.arange(12.0).reshape(1, 4, 3, 1))
    assert ordered[0, :, 0].tolist() == [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]


def test_expected_error_sends_no_gradient_to_the_network() -> None:
    network = ThickSliceNetwork(8, 1, 4)
    spread = network(torch.randn(1, 5, 7), torch.zeros(3), True)[1]
    assert spread is not None
    spread.sum().backward()
    assert network.stem.weight.grad is None
    assert network.spread.last.bias.grad is not None


def test_network_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        ThickSliceNetwork(0)


def test_lattice_keeps_constants_and_straight_lines() -> None:
    line = Line(1.0, 0.7, 25)
    matrix = lattice_matrix(6, 4.0, line, 8)
    assert matrix.sum(axis=1) == pytest.approx(1.0)
    centers = 4.0 * (0.5 / 8 - 0.5) + 0.5 * np.arange(48)
    assert matrix @ centers == pytest.approx(line.centers, abs=1e-9)


def test_whatever_a_network_adds_the_slices_stay_explained() -> None:
    line = Line(-1.5, 1.0, 40)
    operators = lattice_operators(10, FOUR, line, 8, weight=0.0)
    slices = torch.randn(3, 10, 9)
    result = operators.combine(slices, torch.randn(3, 80, 9))
    assert torch.allclose(operators.blur @ result, slices, atol=1e-3)


def test_pairs_are_blurred_as_the_slices_are_and_lie_at_the_same_place() -> None:
    ramp = torch.arange(64.0).repeat(3, 64, 1) / 64.0
    source = OffAxis(ramp, (1.0, 1.0))
    along_x = source.windows(FOUR)[1]
    pairs = source.draw(np.random.default_rng(3), along_x, Simulation(FOUR, weight=0.0), 4)
    start = pairs.operators.skip @ pairs.slices
    inner = slice(12, -12)  # cubic interpolation of a ramp is a ramp away from the ends
    assert torch.allclose(start[:, inner], pairs.sharp[:, inner], atol=0.25 / 64.0)


def test_small_pictures_give_no_windows() -> None:
    assert OffAxis(torch.rand(4, 10, 10), (1.0, 1.0)).windows(FOUR) == []


def test_pixels_as_coarse_as_the_slices_are_not_learned_from() -> None:
    assert [window.axis for window in OffAxis(torch.rand(4, 64, 64), (1.0, 3.9)).windows(FOUR)] == [0]


def test_added_noise_is_what_blurring_takes_away() -> None:
    source = OffAxis(torch.zeros(4, 64, 64), (1.0, 1.0))
    window = source.windows(FOUR)[0]
    quiet = source.draw(np.random.default_rng(0), window, Simulation(FOUR), 4)
    noisy = source.draw(np.random.default_rng(0), window, Simulation(FOUR, noise=0.1), 4)
    assert quiet.slices.std() == 0
    assert 0.08 < float(noisy.slices.std()) < 0.1


def test_held_out_pictures_are_few_and_inside() -> None:
    assert held_out(5) == []
    assert held_out(40) == [8, 16, 24, 32]


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    matrices = torch.randn(2, 16, 144, generator=torch.Generator().manual_seed(0))
    for given in (matrices, matrices.mT):
        values = torch.linalg.svdvals(orthogonalized(given))
        assert float(values.min()) > 0.5
        assert float(values.max()) < 1.4


def test_optimizer_state_survives_saving() -> None:
    network = ThickSliceNetwork(16, 1, 4)
    first = OrthogonalizedMomentum(network, 1e-2)
    network(torch.randn(1, 6, 8), torch.ones(3))[0].square().mean().backward()
    network.head.weight.grad = torch.ones_like(network.head.weight)
    first.step()
    second = OrthogonalizedMomentum(network, 1e-2)
    second.load_state_dict(first.state_dict())
    assert second.state[network.head.weight]["mean"].abs().max() > 0


def test_learning_lowers_the_error() -> None:
    torch.manual_seed(0)
    source = OffAxis(torch.from_numpy(blobs((6, 48, 48))) / 100.0, (1.0, 1.0), width=48)
    random, window = np.random.default_rng(0), source.windows(FOUR)[0]
    learner = Learner(ThickSliceNetwork(16, 2), 4e-3, torch.device("cpu"), "float32")
    pairs = source.draw(random, window, Simulation(FOUR), 4)
    errors = [learner.step(pairs, step / 60) for step in range(60)]
    assert errors[-1] < 0.8 * errors[0]


def test_learning_that_runs_away_is_taken_back() -> None:
    torch.manual_seed(0)
    source = OffAxis(torch.from_numpy(blobs((6, 48, 48))) / 100.0, (1.0, 1.0), width=48)
    window = source.windows(FOUR)[0]
    pairs = source.draw(np.random.default_rng(0), window, Simulation(FOUR), 4)
    learner = Learner(ThickSliceNetwork(16, 2), 1.0, torch.device("cpu"), "float32")
    errors = [learner.step(pairs, 0.0) for _ in range(51)]
    assert learner.rate < 1.0
    assert errors[50] < max(errors[:25])


def test_calibrated_intervals_hold_what_they_promise() -> None:
    random = np.random.default_rng(0)
    spread = random.normal(0, 0.5, 40_000)
    calibration = calibrate(spread, random.laplace(size=40_000) * np.exp(spread) * 3)
    fresh = random.normal(0, 0.5, 40_000)
    inside = np.abs(random.laplace(size=40_000) * np.exp(fresh) * 3) <= calibration.half_width(fresh)
    assert 0.88 < inside.mean() < 0.92


def test_empty_columns_are_left_to_the_interpolation() -> None:
    pictures = torch.zeros(6, 24, 24)
    pictures[:, 8:16, 8:16] = torch.rand(6, 8, 8)
    operators = lattice_operators(6, FOUR, Line(-1.5, 1.0, 24), 8)
    conditions = conditions_of(FOUR, 1.0, 0.0)
    network = ThickSliceNetwork(8, 1)
    torch.nn.init.constant_(network.head.bias, 0.3)
    both = [
        Application(pictures, operators, (conditions, conditions), "float32", quiet).apply(network.eval()).fine
        for quiet in (0.01, -1.0)
    ]
    assert np.abs(both[0][:, :8, :8] - both[1][:, :8, :8]).max() < 0.5
    assert both[0][:, 10:14, 10:14] == pytest.approx(both[1][:, 10:14, 10:14], abs=1e-5)


def test_short_run_gives_a_volume_that_explains_the_slices_and_says_what_it_is_worth() -> None:
    problem = thick(budget=50.0, uncertainty=True, warm=False)
    shares: list[float] = []
    solution = solve(problem, "cpu", shares.append, lambda: False, Ticks())
    assert solution.array.shape == problem.target.shape
    assert solution.method in ("sr4zct", "tikhonov")
    assert solution.notes
    assert shares == sorted(shares)
    if solution.method == "sr4zct":
        assert solution.uncertainty is not None
        assert solution.uncertainty.shape == solution.array.shape
        assert solution.uncertainty.min() >= 0


def test_without_time_the_result_is_deconvolution_and_says_so() -> None:
    solution = solve(thick(budget=1.0, warm=False), "cpu", lambda share: None, lambda: False, Ticks())
    assert solution.method == "tikhonov"
    assert "Tikhonov" in solution.notes[0][1]


def test_scan_too_small_to_learn_from_is_deconvolved() -> None:
    solution = solve(thick((4, 9, 9), budget=60.0), "cpu", lambda share: None, lambda: False)
    assert solution.method == "tikhonov"
    assert solution.notes[0][0] == "no_pairs"


def test_shipped_network_is_small_and_trained() -> None:
    network = shipped_network()
    if network is None:
        pytest.skip("this installation holds no network to start from")
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())
    assert bool((network.head.weight != 0).any())


def test_written_network_comes_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    network = ThickSliceNetwork(16, 1, 4)
    arguments = {"channels": 16, "blocks": 1, "subslices": 4}
    card = {"name": "tiny", "network": {"name": "thick_slice", "arguments": arguments}, "training": {"steps": 500}}
    write_network(network, tmp_path, card)
    assert read_superres_card(tmp_path).trained
    back = shipped_network(tmp_path)
    assert back is not None
    assert torch.allclose(back.stem.weight, network.stem.weight, atol=1e-3)
    (tmp_path / "superres.json").write_text("{}")
    with pytest.raises(ModelError, match="schema_version"):
        read_superres_card(tmp_path)


def test_recipe_that_trains_on_what_it_holds_out_is_refused() -> None:
    values = {
        "task": "superres",
        "network": {"name": "thick_slice", "arguments": {}},
        "data": {"files": ["a.nii.gz"], "held_out": ["a.nii.gz"]},
        "training": {"steps": 10},
    }
    with pytest.raises(UsageError, match="held out"):
        superres_recipe_from(values, "mine.json")


def test_paper_footprints_are_a_box_filter_and_keep_ramps() -> None:
    matrix = sr4zct_paper.footprint_matrix(50, 1.0, Acquisition(5.0, 2.0, "box"))
    assert matrix.sum(axis=1) == pytest.approx(1.0)
    assert (matrix @ np.arange(50.0))[2:-2] == pytest.approx(2.0 + 2.0 * np.arange(len(matrix))[2:-2], abs=1e-6)
    box = np.zeros((len(matrix), 50))
    for row in range(len(box)):
        box[row, 2 * row : 2 * row + 5] = 0.2
    signal = np.cos(np.arange(50.0) / 3.0)
    assert np.abs(matrix @ signal - box @ signal).max() < 0.03


def test_paper_pairs_along_x_are_the_turned_pairs_along_y() -> None:
    picture = torch.rand(1, 40, 40)
    one = sr4zct_paper.TrainingPictures(picture, (1.0, 1.0), FOUR, None)
    turned = sr4zct_paper.TrainingPictures(picture.mT.contiguous(), (1.0, 1.0), FOUR, None)
    for ours, theirs in zip(one.pair(1), turned.pair(0), strict=True):
        assert torch.allclose(ours, theirs)


def test_mixed_scale_dense_network_has_the_paper_size_and_learns_a_blur() -> None:
    paper = MixedScaleDense()
    assert sum(p.numel() for p in paper.parameters()) == sum(9 * (1 + n) + 1 for n in range(100)) + 102
    torch.manual_seed(0)
    network = MixedScaleDense(8, (1, 2))
    slices = torch.from_numpy(blobs((4, 48, 48))) / 100.0
    pictures = sr4zct_paper.TrainingPictures(slices, (1.0, 1.0), FOUR, 32)
    blurred, sharp = pictures.draw(0, np.random.default_rng(0))
    steps = sr4zct_paper.train(network, pictures, np.random.default_rng(0), lambda done: done / 100, lambda: False)
    assert steps == 100
    with torch.no_grad():
        error = (network(blurred) - sharp).square().mean()
    assert error < 0.25 * (sharp - sharp.mean()).square().mean()  # at first it gives the mean everywhere


def test_the_noise_of_thin_slices_is_what_thick_ones_average_over() -> None:
    """The noise of thick slices is that of thin ones, averaged; what is left of it in the result is no error."""
    problem = thick(noise=5.0)
    random = np.random.default_rng(0)
    weights = matrix_of(problem.stack, problem.line)
    thin = random.normal(0.0, 1.0, (problem.line.count, 20_000))
    ratio = thin.std() / (weights @ thin)[2:-2].std()
    assert thin_noise(problem, 5.0) == pytest.approx(5.0 * ratio, rel=0.03)
    assert thin_noise(problem, 0.0) ** 2 == pytest.approx(thin_noise(problem, 5.0) ** 2 - 25.0)


def test_only_the_noise_that_was_taken_out_counts_as_such() -> None:
    """Where the slices do not confirm the noise, the denoised pictures still hold it, and the network has seen it."""
    clean = thick()
    clean = replace(clean, noise=0.1 * float(np.ptp(clean.stack.array)))  # there is none, whatever is said
    assert prepare(clean, torch.device("cpu")).removed < 0.3 * clean.noise
    random = np.random.default_rng(0).normal(0.0, clean.noise, clean.image.array.shape).astype(np.float32)
    noisy = replace(clean, image=clean.image.with_array(clean.image.array + random))
    assert prepare(noisy, torch.device("cpu")).removed == pytest.approx(clean.noise, rel=0.15)
