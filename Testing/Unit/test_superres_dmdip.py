"""dmDIP: central k-space, its replacement, and the dual-modal deep image prior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from MedAILib.errors import ContentError
from MedAILib.image import Image
from MedAILib.networks.skip import DualModal, SkipNet
from MedAILib.superres import dmdip
from MedAILib.superres.kspace import fill_center, keep_center, replace_center
from MedAILib.superres.problem import Other, Problem
from MedAILib.superres.target import target_grid
from Unit.registration_tools import single_thread
from Unit.stack_tools import THICK, box, grid, sampled, stack


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.mark.parametrize(("n", "m"), [(5, 15), (6, 24), (6, 18), (48, 192), (47, 192), (9, 9), (8, 8), (7, 20)])
def test_after_replacement_the_center_of_k_space_is_the_measured_one(n: int, m: int) -> None:
    random = np.random.default_rng(0)
    fine, samples = random.normal(size=(m, 3)), random.normal(size=(n, 3))
    replaced = replace_center(fine, samples)
    assert np.abs(keep_center(n, m) @ replaced - samples).max() < 1e-5


@pytest.mark.parametrize(("n", "m"), [(6, 24), (5, 15)])
def test_keeping_the_center_keeps_the_mean_and_moves_nothing(n: int, m: int) -> None:
    assert np.allclose(keep_center(n, m).sum(1), 1.0)
    assert np.allclose(fill_center(n, m).sum(1), 1.0)
    wave = np.cos(2 * np.pi * 2 * (np.arange(m) + 0.5) / m + 0.3)
    assert np.allclose(keep_center(n, m) @ wave, np.cos(2 * np.pi * 2 * (np.arange(n) + 0.5) / n + 0.3))
    assert np.abs(keep_center(n, m) @ np.cos(2 * np.pi * n * (np.arange(m) + 0.5) / m)).max() < 1e-9


def test_replacement_inside_the_loss_would_leave_nothing_to_learn() -> None:
    fine = torch.rand(2, 24, 5, requires_grad=True)
    contrast = dmdip.Contrast.of(torch.rand(2, 6, 5), 24)
    inside = contrast.loss(contrast.replaced(fine))
    assert float(inside.detach()) < 1e-10
    (gradient,) = torch.autograd.grad(contrast.loss(fine), fine)
    assert float(gradient.abs().max()) > 1e-4


@torch.no_grad()
def test_the_network_has_the_papers_blocks_and_one_image_per_contrast() -> None:
    network = DualModal(4, (3, 2), channels=8)
    blocks = [sum("down.0.1.weight" in name for name in part.state_dict()) for part in (network.common, *network.arms)]
    assert blocks == [2, 6, 6]
    first, second = network(torch.rand(1, 4, 128, 192))
    assert first.shape == (1, 3, 128, 192) and second.shape == (1, 2, 128, 192)
    assert float(first.min()) >= 0.0 and float(first.max()) <= 1.0
    assert SkipNet(4, 1, 2, 8)(torch.rand(1, 4, 21, 30)).shape == (1, 1, 21, 30)


def section(inverted: bool) -> torch.Tensor:
    """(1, 64, 64): sharp ellipses in one of two contrasts."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[0:256, 0:256] / 4.0
    picture = np.zeros((256, 256))
    for _ in range(14):
        (v, u), (a, b), turn = random.uniform(12, 52, 2), random.uniform(3, 12, 2), random.uniform(0, 3.1)
        along, across = (x - u) * np.cos(turn) + (y - v) * np.sin(turn), (y - v) * np.cos(turn) - (x - u) * np.sin(turn)
        picture = np.where((along / a) ** 2 + (across / b) ** 2 < 1, random.uniform(0.15, 0.9), picture)
    values = torch.from_numpy(picture.reshape(64, 4, 64, 4).mean((1, 3)))[None].float()
    return (0.95 - values - 0.3 * values * (1 - values) if inverted else values).clamp(0.02, 0.98)


def decibels(found: torch.Tensor, true: torch.Tensor) -> float:
    return float(-10.0 * torch.log10((found - true).square().mean()))


@pytest.mark.slow
def test_two_contrasts_with_replacement_beat_sinc_and_stay_there() -> None:
    true = section(False)
    keep = torch.tensor(keep_center(16, 64), dtype=torch.float32)
    noise = 0.01 * torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(1))
    first = dmdip.Contrast.of(keep @ true + noise, 64)
    second = dmdip.Contrast.of(section(True), 64)
    sinc = decibels(first.fill @ first.values, true)
    curve: list[dmdip.Snapshot] = []
    found, done = dmdip.fit([first, second], 120, 16, seed=0, snapshots=curve, every=15)
    assert done == 120
    with_replacement = [decibels(point.images, true) for point in curve if point.images is not None]
    without = [decibels(point.plain, true) for point in curve if point.plain is not None]
    assert decibels(found, true) > sinc + 1.0
    assert min(with_replacement) > sinc - 3.0, "replacement bounds the error from the first iteration on"
    assert max(with_replacement[-3:]) - min(with_replacement[-3:]) < 1.0
    assert max(without) - min(without) > 2.0 * (max(with_replacement) - min(with_replacement))


def problem(side: int = 24, contrast: str = "") -> Problem:
    image = stack(0, side=side)
    target, line = target_grid(image, 0, box())
    others: tuple[Other, ...] = ()
    if contrast == "fine":
        other = Image((90.0 - sampled(grid(side), (side,) * 3)).astype(np.float32), grid(side), "fine")
        others = (Other(other, 0, box(1.0), "contrast"),)
    if contrast == "thick":
        others = (Other(image.with_array(90.0 - image.array, name="thick"), 0, box(), "contrast"),)
    return Problem(image, 0, box(), target, line, others=others, budget=0.5)


@pytest.mark.parametrize("contrast", ["", "fine", "thick"])
def test_a_volume_keeps_its_slices_and_its_grid(contrast: str) -> None:
    task = problem(contrast=contrast)
    seen: list[float] = []
    found = dmdip.solve(task, "cpu", seen.append)
    assert found.array.shape == task.target.shape == (24, 24, 24) and found.array.dtype == np.float32
    assert np.abs(keep_center(6, 24) @ found.array.reshape(24, -1) - task.image.array.reshape(6, -1)).max() < 1e-2
    assert found.method == ("dmdip" if contrast else "dip")
    codes = [code for code, _ in found.notes]
    assert "reduced" in codes and ("one-contrast" in codes) == (not contrast)
    assert "interpolation that rings" in dict(found.notes)["reduced"]
    assert seen == sorted(seen)


def test_overlapping_slices_and_another_spacing_give_the_target_asked_for() -> None:
    image = stack(0, side=24)
    acquisition = replace(box(), thickness=6.0)
    target, line = target_grid(image, 0, acquisition, 1.5)
    found = dmdip.solve(Problem(image, 0, acquisition, target, line, budget=0.3), "cpu", lambda done: None)
    assert found.array.shape == target.shape and np.isfinite(found.array).all()


def test_a_stop_leaves_sinc_interpolation() -> None:
    task = problem()
    found = dmdip.solve(task, "cpu", lambda done: None, lambda: True)
    sinc = (fill_center(6, 24) @ task.image.array.reshape(6, -1)).reshape(24, 24, 24)
    assert np.abs(found.array - sinc).max() < 1e-2


def test_a_contrast_elsewhere_is_refused_by_name() -> None:
    task = problem(contrast="thick")
    affine = task.others[0].image.affine.copy()
    affine[0, 3] += 20.0
    away = Other(Image(task.others[0].image.array, affine, "the T2"), 0, box(), "contrast")
    with pytest.raises(ContentError, match="the T2"):
        dmdip.solve(replace(task, others=(away,)), "cpu", lambda done: None)


def test_the_result_lies_where_the_slices_lie() -> None:
    task = problem()
    found = dmdip.solve(task, "cpu", lambda done: None, lambda: True).array
    true = sampled(task.target.affine, task.target.shape)
    weights = np.arange(24.0)[:, None, None]
    assert abs((found * weights).sum() / found.sum() - (true * weights).sum() / true.sum()) < 0.02 * THICK
