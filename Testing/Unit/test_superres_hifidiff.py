"""HiFi-Diff: schedule and sampler, network, training, and the refusal to run untrained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from MedAILib.errors import ModelError, UsageError
from MedAILib.files import write_image
from MedAILib.image import Image
from MedAILib.networks.hifidiff import ChannelModulation, ElementModulation, HiFiDiff
from MedAILib.superres import hifidiff
from MedAILib.superres.diffusion import Schedule
from MedAILib.superres.problem import Problem
from MedAILib.superres.target import target_grid
from MedAILib.training import run
from MedAILib.training.between.volumes import pair_weights
from Unit.registration_tools import single_thread
from Unit.stack_tools import box, grid, sampled, stack

TINY = {"widths": [16, 16, 16]}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.mark.parametrize("count", [3, 20, 1000])
def test_with_the_true_noise_the_sampler_gives_the_true_picture(count: int) -> None:
    schedule = Schedule()
    clean, noise = torch.rand(2, 1, 8, 8) * 2 - 1, torch.randn(2, 1, 8, 8)
    start = schedule.noisy(clean, noise, torch.tensor([999, 999]))

    def oracle(current: torch.Tensor, time: int) -> torch.Tensor:
        alpha = schedule.alphas[time]
        return (current - alpha**0.5 * clean) / (1.0 - alpha) ** 0.5

    assert torch.allclose(schedule.sample(oracle, start, count), clean, atol=2e-3)


def test_noise_keeps_the_variance_unlike_the_papers_printed_equation() -> None:
    schedule = Schedule()
    clean, noise = torch.randn(4, 1, 64, 64), torch.randn(4, 1, 64, 64)
    for time in (0, 300, 999):
        noisy = schedule.noisy(clean, noise, torch.full((4,), time))
        assert float(noisy.var()) == pytest.approx(1.0, abs=0.03)


@torch.no_grad()
def test_modulation_is_scale_times_normalized_plus_bias() -> None:
    h = torch.randn(2, 8, 6, 6) * 3 + 2
    channel, element = ChannelModulation(8), ElementModulation(8)
    for found in (channel(h, torch.randn(2, 128)), element(h, torch.randn(2, 8, 6, 6))):
        assert torch.allclose(found, torch.nn.functional.group_norm(h, 1), atol=1e-5)
    torch.nn.init.normal_(element.affine.weight)
    torch.nn.init.normal_(channel.affine.weight)
    by_place = element(h, torch.randn(2, 8, 6, 6)) / torch.nn.functional.group_norm(h, 1)
    assert float(by_place.std((2, 3)).min()) > 0.0
    assert channel(h, torch.randn(2, 128)).shape == h.shape


def test_the_condition_reaches_every_level_of_the_main_branch() -> None:
    network = HiFiDiff(**TINY)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    pyramid = network.features(torch.rand(1, 2, 16, 16), torch.tensor([0.3]))
    assert len(pyramid) == 5
    base = network.noise(torch.rand(1, 1, 16, 16), torch.tensor([0.5]), pyramid)
    for level in range(5):
        changed = [part + float(n == level) * torch.randn_like(part) for n, part in enumerate(pyramid)]
        assert not torch.allclose(network.noise(torch.rand(1, 1, 16, 16), torch.tensor([0.5]), changed), base)


def test_thick_slices_of_a_pair_average_around_their_centers() -> None:
    weights = pair_weights(21, 8, 4, "box")
    assert torch.allclose(weights.sum(1), torch.ones(2))
    assert torch.allclose(weights @ torch.arange(21.0), torch.tensor([8.0, 12.0]))
    assert pair_weights(21, 8, 4, "none").nonzero().tolist() == [[0, 8], [1, 12]]


def recipe(folder: Path, steps: int, **training: object) -> Path:
    values = {
        "task": "between",
        "network": {"name": "hifidiff", "arguments": TINY},
        "data": {"axes": [0], "ratios": [4], "profile": "none", "crop": 32, "diffusion_steps": 50},
        "training": {"steps": steps, "learning_rate": 2e-3, "weight_decay": 0.0, "warmup": 1, "batch": 4, **training},
    }
    path = folder / "tiny.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def volumes(folder: Path) -> Path:
    place = folder / "volumes"
    place.mkdir()
    write_image(place / "one.nii.gz", Image(sampled(grid(36), (36, 36, 36)).astype(np.float32), grid(36)))
    return place


@pytest.mark.slow
def test_a_model_of_one_volume_fills_its_gaps_better_than_straight_lines(tmp_path: Path) -> None:
    run(recipe(tmp_path, 1000, ema=0.99, batch=8), volumes(tmp_path), tmp_path / "run", device="cpu")
    network, schedule = hifidiff.read_hifidiff(tmp_path / "run" / "model")
    true = sampled(grid(36), (36, 36, 36))
    low, half = true.min(), 0.5 * (np.quantile(true, 0.999) - true.min())
    values = torch.from_numpy((true - low) / half - 1.0).float()
    places = np.arange(8, 25) / 4
    between = torch.from_numpy(places % 1 > 0)
    with torch.inference_mode():
        found = hifidiff.generate(network, schedule, values[::4], places, samples=25)
    straight = hifidiff.generate(network, schedule, values[::4], places, stop=lambda: True)
    errors = [(each - values[8:25]).square().mean((1, 2)) for each in (found, straight)]
    assert float(errors[0][between].mean()) < 0.95 * float(errors[1][between].mean())
    assert float(errors[0][~between].mean()) < float(errors[0][between].mean()), "at k = 0 it is the slice itself"


def trained(folder: Path, steps: int) -> Path:
    torch.manual_seed(0)
    card = {"name": "tiny", "network": {"name": "hifidiff", "arguments": TINY}}
    training = {"steps": steps, "diffusion_steps": 20}
    return hifidiff.write_hifidiff(HiFiDiff(**TINY), folder / "hifi-diff", {**card, "training": training})


def problem() -> Problem:
    image = stack(0, side=24)
    target, line = target_grid(image, 0, box())
    return Problem(image, 0, box(), target, line)


def test_without_a_model_it_refuses_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDAI_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match="medai train hifidiff"):
        hifidiff.solve(problem(), "cpu", lambda done: None)
    trained(tmp_path, 3)
    with pytest.raises(ModelError, match="not trained"):
        hifidiff.solve(problem(), "cpu", lambda done: None)


def test_the_result_says_that_it_is_generated_and_does_not_flicker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDAI_MODELS", str(tmp_path))
    trained(tmp_path, 1000)
    task = problem()
    seen: list[float] = []
    found = hifidiff.solve(task, "cpu", seen.append)
    again = hifidiff.solve(task, "cpu", seen.append)
    assert found.array.shape == task.target.shape and found.method == "hifidiff"
    assert np.array_equal(found.array, again.array)
    assert [code for code, _ in found.notes] == ["generative"]
    assert max(seen) <= 1.0


def test_a_recipe_with_a_mistake_is_refused(tmp_path: Path) -> None:
    path = recipe(tmp_path, 2, nonsense=1)
    with pytest.raises(UsageError, match="nonsense"):
        run(path, volumes(tmp_path), tmp_path / "run", device="cpu")
