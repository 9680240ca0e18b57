from __future__ import annotations

import pytest
import torch

from MedAILib.errors import ModelError
from MedAILib.networks import build
from MedAILib.networks.vnet import Stage, VNet
from MedAILib.training.losses import SquaredDice

SMALL = {"inputs": 1, "classes": 3, "widths": [2, 4, 8], "convolutions": [1, 2, 1]}


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_number_of_parameters_is_that_of_the_published_network() -> None:
    def stage(inputs: int, width: int, convolutions: int) -> int:
        weights = 125 * inputs * width + (convolutions - 1) * 125 * width * width
        return weights + convolutions * 2 * width  # biases and slopes

    def change(inputs: int, outputs: int) -> int:
        return 8 * inputs * outputs + 2 * outputs

    expected = stage(1, 16, 1) + stage(32, 32, 2) + stage(64, 64, 3) + stage(128, 128, 3) + stage(256, 256, 3)
    expected += change(16, 32) + change(32, 64) + change(64, 128) + change(128, 256)
    expected += stage(256, 256, 3) + stage(128, 128, 3) + stage(64, 64, 2) + stage(32, 32, 1)
    expected += change(256, 128) + change(256, 64) + change(128, 32) + change(64, 16)
    expected += 32 * 2 + 2
    with torch.device("meta"):
        assert parameters(VNet()) == expected


def test_output_has_one_channel_per_class_on_the_input_grid() -> None:
    network = build("vnet", SMALL | {"inputs": 2})
    assert network.multiple == 4
    assert network(torch.rand(2, 2, 8, 12, 4)).shape == (2, 3, 8, 12, 4)
    assert network.head(network.features(torch.rand(1, 2, 4, 4, 4))).shape == (1, 3, 4, 4, 4)


def test_a_stage_whose_convolutions_are_switched_off_passes_its_input_on() -> None:
    stage = Stage(6, 2, 2)
    for convolution in stage.convolutions:
        torch.nn.init.zeros_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
    x = torch.rand(1, 2, 3, 4, 5)  # without negative values, which the rectifier would change
    assert torch.equal(stage(x), x.repeat(1, 3, 1, 1, 1))


def test_the_addition_stands_before_the_last_rectifier() -> None:
    stage = Stage(1, 1)
    torch.nn.init.zeros_(stage.convolutions[0].weight)
    torch.nn.init.constant_(stage.convolutions[0].bias, -3.0)
    assert torch.allclose(stage(torch.ones(1, 1, 2, 2, 2)), torch.tensor(-0.5))  # 0.25 (1 - 3), not 1 - 0.25 * 3


def test_resolution_is_halved_by_strided_convolutions_and_kernels_are_of_five_voxels() -> None:
    network = VNet(**SMALL)
    assert not [m for m in network.modules() if "Pool" in type(m).__name__ or "Norm" in type(m).__name__]
    kernels = {(type(m).__name__, m.kernel_size, m.stride) for m in network.modules() if hasattr(m, "kernel_size")}
    assert kernels == {
        ("Conv3d", (5, 5, 5), (1, 1, 1)),
        ("Conv3d", (2, 2, 2), (2, 2, 2)),
        ("ConvTranspose3d", (2, 2, 2), (2, 2, 2)),
        ("Conv3d", (1, 1, 1), (1, 1, 1)),
    }


def test_arguments_that_contradict_each_other_are_named() -> None:
    with pytest.raises(ModelError, match="every level needs a width"):
        build("vnet", SMALL | {"widths": [2, 4]})
    with pytest.raises(ModelError, match="as many channels as the image"):
        build("vnet", SMALL | {"inputs": 3})


def test_squared_dice_is_0_for_the_truth_and_1_for_its_opposite() -> None:
    target = (torch.rand(2, 4, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.5).long()
    sure = 50.0 * torch.nn.functional.one_hot(target, 2).movedim(-1, 1)
    assert SquaredDice()(sure, target) == pytest.approx(0.0, abs=1e-6)
    assert SquaredDice()(-sure, target) == pytest.approx(1.0, abs=1e-6)


def test_squared_dice_is_the_papers_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(1, 2, 3, 3, 3, generator=generator), torch.zeros(1, 3, 3, 3).long()
    target[0, 1] = 1
    p, g = logits.softmax(1)[0, 1], target[0].float()
    assert SquaredDice()(logits, target) == pytest.approx(float(1 - 2 * (p * g).sum() / ((p**2).sum() + (g**2).sum())))


def test_classes_count_alike_and_absent_ones_not_at_all() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(1, 4, 4, 4, 4, generator=generator), torch.zeros(1, 4, 4, 4).long()
    target[0, 0, 0, 0], target[0, 2] = 1, 2
    p = logits.softmax(1)[0]
    dice = [2 * (p[c] * (target[0] == c)).sum() / ((p[c] ** 2).sum() + (target == c).sum()) for c in (1, 2)]
    assert SquaredDice()(logits, target) == pytest.approx(float(1 - (dice[0] + dice[1]) / 2))
    nothing = logits.clone().requires_grad_()
    SquaredDice()(nothing, torch.zeros_like(target)).backward()
    assert nothing.grad is not None
    assert not nothing.grad.any()


def test_gradient_of_the_squared_dice_agrees_with_finite_differences() -> None:
    """The arithmetic is float32, so the steps are large and the tolerance is its rounding."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 2, 2, 2, generator=generator).requires_grad_()
    target = torch.tensor([0, 1, 2, 1, 0, 0, 2, 1]).reshape(1, 2, 2, 2)
    SquaredDice()(logits, target).backward()
    assert logits.grad is not None
    step = 1e-2
    with torch.no_grad():
        for place in range(logits.numel()):
            change = torch.zeros(logits.numel())
            change[place] = step
            change = change.reshape(logits.shape)
            slope = (SquaredDice()(logits + change, target) - SquaredDice()(logits - change, target)) / (2 * step)
            assert logits.grad.flatten()[place] == pytest.approx(float(slope), abs=2e-5)


def test_a_sphere_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    k, j, i = torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij")
    target = ((k - 14) ** 2 + (j - 17) ** 2 + (i - 16) ** 2 < 81).long()[None]
    image = (target + 0.3 * torch.randn(1, 32, 32, 32))[:, None]
    network = VNet(widths=(2, 4, 8), convolutions=(1, 1, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    first = None
    for _ in range(25):
        loss = SquaredDice()(network(image), target)
        first = first or float(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert first is not None
    assert first > 0.5
    predicted = network(image).argmax(1)
    dice = 2 * float((predicted * target).sum()) / float(predicted.sum() + target.sum())
    assert dice > 0.97
