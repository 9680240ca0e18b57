"""The promptable network: shapes, size, and that a click reaches all of its levels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from MedAILib.errors import ModelError
from MedAILib.networks import build
from MedAILib.networks.promptable import PromptableUNet
from MedAILib.training.clicks.config import clicks_recipe_from
from MedAILib.training.clicks.trainer import build_network
from MedAILib.training.config import load_values
from Unit.registration_tools import single_thread


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture
def network() -> PromptableUNet:
    torch.manual_seed(0)
    return PromptableUNet(6, (8, 8, 16), 8, 4).eval()


@pytest.mark.parametrize("shape", [(16, 16, 16), (24, 24, 24), (16, 32, 8)])
def test_there_is_a_logit_for_every_voxel(network: PromptableUNet, shape: tuple[int, int, int]) -> None:
    assert network.multiple == 8
    assert network(torch.zeros(2, 6, *shape)).shape == (2, 1, *shape)


def test_a_click_changes_the_answer_far_from_it(network: PromptableUNet) -> None:
    seen = torch.randn(1, 6, 32, 32, 32)
    clicked = seen.clone()
    clicked[0, 2, 4, 4, 4] += 3.0
    change = (network(clicked) - network(seen)).abs()[0, 0]
    assert change[4, 4, 4] > 1e-3 and change[20:, 20:, 20:].max() > 1e-5


def test_every_weight_is_learned(network: PromptableUNet) -> None:
    network(torch.randn(1, 6, 16, 16, 16)).square().mean().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in network.parameters())


@pytest.mark.parametrize(("recipe", "fewest", "most"), [("clicks", 3e6, 5e6), ("clicks-small", 0.5e6, 1.3e6)])
def test_the_recipes_have_networks_of_the_size_that_was_asked_for(recipe: str, fewest: float, most: float) -> None:
    found = build_network(clicks_recipe_from(*load_values(recipe)))
    assert fewest <= sum(p.numel() for p in found.parameters()) <= most


def test_arguments_that_leave_no_room_for_what_was_found_are_refused() -> None:
    with pytest.raises(ModelError, match="fine must be above the 6 inputs"):
        build("promptable_unet", {"inputs": 6, "fine": 6})
