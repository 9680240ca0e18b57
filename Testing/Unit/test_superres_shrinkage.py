"""Noise of any color is taken out of a volume, edges stay."""

from __future__ import annotations

import numpy as np
import torch

from MedAILib.superres import orthogonal
from MedAILib.superres.alignment import Measured, operators_of
from MedAILib.superres.joint import Joint
from MedAILib.superres.neighbors import Neighbors
from MedAILib.superres.shrinkage import SIDE, colors_of, waves_of, without_noise
from Unit.stack_tools import SIDE as WIDTH
from Unit.stack_tools import grid, motions, psnr, sampled, three_stacks


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Of standard deviation about 3, alike in neighbors along the last axis only."""
    white = torch.randn(*shape[:2], shape[2] + 1, generator=torch.Generator().manual_seed(seed))
    return 3.0 * (white[..., 1:] + white[..., :-1]) / 2.0**0.5


def phantom() -> torch.Tensor:
    return torch.from_numpy(sampled(grid(), (WIDTH,) * 3).astype(np.float32))


def test_the_waves_keep_the_energy_of_each_cube():
    cube = torch.rand(SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    waves = waves_of(cube)
    assert waves.shape == (SIDE**3, 1, 1, 1)
    assert torch.isclose(waves.square().sum(), cube.square().sum())
    assert torch.isclose(waves[0, 0, 0, 0], cube.sum() / SIDE**1.5)


def test_without_noise_nothing_changes():
    assert torch.allclose(without_noise(phantom(), torch.zeros(SIDE**3)), phantom(), atol=1e-3)


def test_colored_noise_is_taken_out_and_its_color_matters():
    clean, added = phantom(), noise((WIDTH,) * 3, 1)
    colors = colors_of(noise((WIDTH,) * 3, 2))
    before = psnr((clean + added).numpy())
    known = psnr(without_noise(clean + added, colors).numpy())
    taken_for_white = torch.full_like(colors, float(colors.square().mean().sqrt()))
    assert known > before + 4.0
    assert known > psnr(without_noise(clean + added, taken_for_white).numpy()) + 0.3


def test_slabs_give_what_the_whole_gives(monkeypatch):
    volume, colors = phantom() + noise((WIDTH,) * 3, 1), colors_of(noise((WIDTH,) * 3, 2))
    whole = without_noise(volume, colors)
    monkeypatch.setattr("MedAILib.superres.shrinkage._VALUES", 1)
    assert torch.allclose(without_noise(volume, colors), whole, atol=1e-3)


def test_the_noise_of_a_reconstruction_is_foreseen():
    problem = three_stacks()
    images = [problem.image, *(other.image for other in problem.others)]
    penalty = Neighbors(0.006)
    stacks = [
        Measured.of(image, axis, problem.acquisition, motion, torch.device("cpu"))
        for axis, (image, motion) in enumerate(zip(images, motions(), strict=True))
    ]
    colors, left = orthogonal.noise_colors(stacks, problem.target, penalty)
    operators, values = operators_of(stacks, problem.target)
    joint = Joint(operators, [torch.from_numpy(np.random.default_rng(5).normal(size=v.shape)).float() for v in values])
    truly = colors_of(joint.descend(torch.zeros(problem.target.shape), penalty, 12)[8:-8, 8:-8, 8:-8])
    assert 0.2 < left < 1.0
    assert float((colors / truly - 1.0).abs().mean()) < 0.15
    assert float(colors.max() / colors.min()) > 2.0
