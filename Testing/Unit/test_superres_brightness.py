"""Gains that differ smoothly between stacks, as coils and saturation bands make them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from MedAILib.image import Image
from MedAILib.superres import orthogonal
from MedAILib.superres.alignment import align
from MedAILib.superres.brightness import smooth_gain
from MedAILib.superres.problem import Problem
from Unit.stack_tools import psnr, three_stacks


def still(done: float) -> None:
    """A progress that nobody looks at."""


def field(image: Image) -> np.ndarray:
    """1.3 on the patient's left, 0.7 on the right, and nothing at all in front of y = 8 mm."""
    k, j, i = np.meshgrid(*(np.arange(size) for size in image.shape), indexing="ij")
    points = np.stack([i, j, k, np.ones_like(i)], -1) @ image.affine.T
    slope = 1.0 + 0.3 * np.clip(-points[..., 0] / 14.0, -1.0, 1.0)
    return np.asarray(slope / (1.0 + np.exp((points[..., 1] - 8.0) / 1.5)), np.float32)


def shaded(problem: Problem) -> Problem:
    """With the second stack darker in places."""
    image = problem.others[0].image
    other = replace(problem.others[0], image=image.with_array(image.array * field(image)))
    return replace(problem, others=(other, problem.others[1]))


def test_a_ramp_of_brightness_is_found_whatever_the_anatomy():
    random = torch.Generator().manual_seed(0)
    anatomy = 20.0 + 80.0 * torch.rand(12, 60, 60, generator=random)
    ramp = torch.linspace(0.6, 1.4, 60).expand(12, 60, 60)
    known = torch.ones(12, 60, 60, dtype=torch.bool)
    known[:, 50:] = False
    found = smooth_gain(anatomy, anatomy * ramp * known, known, (3.0, 1.0, 1.0))
    assert float((found - ramp)[:, :50, 8:-8].abs().max()) < 0.05
    assert float((found - ramp)[:, 50:56, 15:-15].abs().max()) < 0.1  # goes on beyond what is known


def test_without_a_difference_the_gain_is_one_and_nothing_known_gives_one_number():
    values = torch.rand(6, 30, 30, generator=torch.Generator().manual_seed(1)) + 0.5
    known = torch.ones_like(values, dtype=torch.bool)
    assert torch.allclose(smooth_gain(values, values, known, (4.0, 1.0, 1.0)), torch.ones(()))
    assert torch.isfinite(smooth_gain(values, values, ~known, (4.0, 1.0, 1.0))).all()


def test_a_known_field_is_found_between_stacks():
    problem = shaded(three_stacks(noise=1.0, still=True))
    stacks, _ = align(problem, torch.device("cpu"), still)
    image = three_stacks(still=True).others[0].image
    true, bright = (torch.from_numpy(np.moveaxis(each, 1, 0).copy()) for each in (field(image), image.array > 30.0))
    assert stacks[0].gain is None and stacks[1].gain is not None
    assert np.corrcoef(stacks[1].gain[bright], true[bright])[0, 1] > 0.95


def test_hounsfield_units_are_left_alone():
    problem = replace(shaded(three_stacks(noise=1.0, still=True)), modality="CT")
    stacks, _ = align(problem, torch.device("cpu"), still)
    assert all(stack.gain is None for stack in stacks)


def test_stacks_of_one_brightness_get_no_gain_and_a_shaded_one_is_worth_it(monkeypatch):
    stacks, _ = align(three_stacks(noise=1.0), torch.device("cpu"), still)
    assert all(stack.gain is None for stack in stacks)
    with_gain = psnr(orthogonal.solve(shaded(three_stacks(noise=1.0)), "cpu", still).array)
    monkeypatch.setattr(
        "MedAILib.superres.alignment.smooth_gain", lambda predicted, measured, *rest: torch.ones_like(measured)
    )
    assert with_gain > psnr(orthogonal.solve(shaded(three_stacks(noise=1.0)), "cpu", still).array) + 1.5
