from __future__ import annotations

import pytest
import torch

from MedAILib import networks
from MedAILib.networks.lapirn import ConditionalNorm, LapIRN
from MedAILib.networks.warping import rescale_displacement
from Unit.registration_tools import pair

TINY = {"channels": 4, "blocks": 1, "latent": 4}


@pytest.fixture
def network() -> LapIRN:
    torch.manual_seed(0)
    return LapIRN(**TINY)


def test_it_is_built_by_name() -> None:
    assert isinstance(networks.build("lapirn", TINY), LapIRN)


def test_the_papers_size_has_as_many_weights_as_its_parts_add_up_to() -> None:
    """28 channels, five blocks, codes of 64: of each block two norms, two convolutions and a mapping of four layers."""
    block = 2 * (65 * 56 + 28 * 28 * 27) + 2 * 64 + 3 * 65 * 64
    level = 28 * 28 * 27 * 2 + 5 * block + 28 * 28 * 8 + (56 * 28 + 28 * 3) * 27
    assert sum(p.numel() for p in LapIRN().parameters()) == 3 * level + 28 * 27 * (2 + 5 + 5)


def test_each_level_gives_a_displacement_of_the_full_grid(network: LapIRN) -> None:
    fixed, moving, _ = pair()
    for level in (1, 2, 3, None):
        displacement = network(moving, fixed, 0.4, level)
        assert displacement.shape == (1, 3, 16, 16, 16)
        assert torch.isfinite(displacement).all()


def test_only_the_levels_that_take_part_learn(network: LapIRN) -> None:
    fixed, moving, _ = pair()
    network(moving, fixed, 0.4, 2).square().sum().backward()
    learned = [any(p.grad is not None for p in network.level_parameters(level)) for level in (1, 2, 3)]
    assert learned == [True, True, False]


def test_the_levels_add_up(network: LapIRN) -> None:
    """With a finest level that displaces nothing, three levels give what two give."""
    fixed, moving, _ = pair()
    network.networks[2].start_from_zero()
    two = network(moving, fixed, 0.4, 2)
    three = rescale_displacement(network(moving, fixed, 0.4, 3), (16, 16, 16))
    assert torch.allclose(two, three, atol=1e-5)


def test_a_network_that_starts_from_zero_gives_the_start_back(network: LapIRN) -> None:
    fixed, moving, start = pair()
    network.start_from_zero()
    assert torch.equal(network(moving, fixed), torch.zeros(1, 3, 16, 16, 16))
    assert torch.equal(network(moving, fixed, start=start), start)


def test_no_level_displaces_farther_than_its_reach(network: LapIRN) -> None:
    fixed, moving, _ = pair()
    with torch.no_grad():
        network.networks[0].head[2].weight.mul_(1e6)
        farthest = float(network(moving, fixed, 0.4, 1).abs().max())
    assert 1.0 < farthest <= 0.4 * 8 + 1e-4


def test_the_condition_changes_the_result(network: LapIRN) -> None:
    fixed, moving, _ = pair()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, ConditionalNorm):
                module.style.weight.normal_()
        weak, strong = network(moving, fixed, 0.0), network(moving, fixed, 1.0)
        both = network(moving.repeat(2, 1, 1, 1, 1), fixed.repeat(2, 1, 1, 1, 1), torch.tensor([0.0, 1.0]))
    assert float((weak - strong).abs().max()) > 1e-4
    assert torch.allclose(both, torch.cat([weak, strong]), atol=1e-4)


def test_a_fresh_conditional_norm_has_zero_mean_and_unit_scale_whatever_the_condition() -> None:
    norm = ConditionalNorm(3, 4)
    torch.nn.init.zeros_(norm.style.weight)
    result = norm(torch.randn(1, 3, 6, 6, 6) * 7 + 3, torch.randn(1, 4))
    assert torch.allclose(result.mean((2, 3, 4)), torch.zeros(1, 3), atol=1e-5)
    assert torch.allclose(result.std((2, 3, 4)), torch.ones(1, 3), atol=1e-2)


def test_with_a_start_the_coarsest_level_sees_the_moving_image_already_warped(network: LapIRN) -> None:
    fixed, moving, start = pair()
    with torch.no_grad():
        alone, zero, added = (
            network(moving, fixed, 0.4, 1),
            network(moving, fixed, 0.4, 1, torch.zeros_like(start)),
            network(moving, fixed, 0.4, 1, start) - start,
        )
    assert torch.allclose(alone, zero, atol=1e-5)
    assert float((added - alone).abs().max()) > 1e-5
