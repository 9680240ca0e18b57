from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.errors import ModelError
from MedAILib.networks import build
from MedAILib.networks.pdv_net import DenseBlock, PDVNet
from MedAILib.training.cases.batch import Batch
from MedAILib.training.cases.objectives import make
from MedAILib.training.config import TrainingSettings
from MedAILib.training.distributed import World
from MedAILib.training.loop import Loop

SMALL = {"inputs": 1, "classes": 3, "kernels": 4, "convolutions": [2, 2], "growth": [2, 3], "skips": [4, 4]}


def test_channels_of_the_dense_blocks_are_those_of_the_paper() -> None:
    """5, 10 and 10 convolutions of growth 4, 6 and 8 behind 24 kernels and the image."""
    network = PDVNet(inputs=2)
    assert [len(block.layers) for block in network.blocks] == [5, 10, 10]
    first = 24 + 2 + 5 * 4
    second = first // 2 + 10 * 6
    assert [block.outputs for block in network.blocks] == [first, second, second // 2 + 10 * 8]
    shapes = [tuple(found.shape[1:]) for found in network.features(torch.rand(1, 2, 8, 16, 24))]
    assert shapes == [(46, 4, 8, 12), (83, 2, 4, 6), (121, 1, 2, 3)]


def test_every_convolution_of_a_dense_block_sees_all_before_it() -> None:
    block = DenseBlock(3, 4, 2)
    assert [layer[0].in_channels for layer in block.layers] == [3, 5, 7, 9]
    assert all(layer[0].kernel_size == (3, 3, 3) for layer in block.layers)
    x = torch.rand(1, 3, 4, 4, 4)
    assert torch.equal(block(x)[:, :3], x)


def test_number_of_parameters_follows_from_the_paper() -> None:
    def conv(inputs: int, outputs: int) -> int:
        return 27 * inputs * outputs + 3 * outputs  # scale and shift of the normalization, slopes

    def dense(inputs: int, count: int, growth: int) -> int:
        return sum(conv(inputs + n * growth, growth) for n in range(count))

    expected = 125 * 24 + 24 + dense(25, 5, 4) + dense(22, 10, 6) + dense(41, 10, 8)
    expected += conv(45, 22) + conv(82, 41) + conv(45, 12) + conv(82, 24) + conv(121, 24)
    expected += 27 * 3 * (12 + 36 + 3 + 60 + 3) + 3 * 3
    assert sum(p.numel() for p in PDVNet(classes=3).parameters()) == expected


def test_output_is_on_the_input_grid_and_all_pathways_answer_in_training() -> None:
    network = build("pdv_net", SMALL)
    image = torch.rand(2, 1, 8, 12, 4)
    outputs = network(image)
    assert [tuple(output.shape) for output in outputs] == [(2, 3, 8, 12, 4)] * 2
    network.eval()
    assert network(image).shape == (2, 3, 8, 12, 4)
    assert network.multiple == 4


def test_a_pathway_refines_the_scores_of_the_one_before() -> None:
    """The last output depends on the first one's weights; the first does not on the last one's."""
    network = PDVNet(**SMALL | {"dropout": 0.0})
    last, first = network(torch.rand(1, 1, 8, 8, 8))
    last.square().sum().backward(retain_graph=True)
    assert network.pathways[0].weight.grad.abs().sum() > 0
    network.zero_grad()
    first.square().sum().backward()
    assert network.pathways[1].weight.grad is None or not network.pathways[1].weight.grad.any()


def test_evaluation_of_an_image_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    network = PDVNet(**SMALL)
    for _ in range(3):
        network(torch.randn(2, 1, 8, 8, 8))
    network.eval()
    one, other = torch.randn(1, 1, 8, 8, 8), 50 * torch.randn(1, 1, 8, 8, 8)
    assert torch.allclose(network(torch.cat([one, other]))[:1], network(one), atol=1e-5)


def test_arguments_that_contradict_each_other_are_named() -> None:
    with pytest.raises(ModelError, match="same length"):
        build("pdv_net", SMALL | {"growth": [2]})


def chest(generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two lungs, cut into three and two lobes by planes that are only a little brighter than the noise.

    Returns:
        Image (1, 24, 32, 32), and classes (24, 32, 32): 1 to 3 in one lung, 4 and 5 in the other.
    """
    k, j, i = np.indices((24, 32, 32)).astype(float)
    tilt, low, high = generator.uniform(-0.3, 0.3), generator.uniform(7, 10), generator.uniform(14, 17)
    height = k + tilt * (j - 16)
    right = ((k - 12) / 11) ** 2 + ((j - 16) / 12) ** 2 + ((i - 8) / 6) ** 2 < 1
    left = ((k - 12) / 11) ** 2 + ((j - 16) / 12) ** 2 + ((i - 24) / 6) ** 2 < 1
    classes = right * (1 + (height > low) + (height > high)) + left * (4 + (height > (low + high) / 2))
    image = np.where(right | left, -1.0, 0.5)
    planes = [(right, low), (right, high), (left, (low + high) / 2)]
    for lung, plane in planes:
        image[lung & (np.abs(height - plane) < 0.8)] += 0.4
    image += 0.2 * generator.standard_normal(image.shape)
    return torch.from_numpy(image[None]).float(), torch.from_numpy(classes)


class Training(Loop):
    """Steps on batches that a function makes."""

    def __init__(self, settings: TrainingSettings, network: nn.Module, output: Path, batch: Callable[[], Batch]):
        super().__init__(settings, network, output, World("cpu"))
        self.batch = batch
        self.objective = make("dense", {"weights": [1.0, 0.5, 0.25], "squared": True})

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        return self.objective(model, self.batch())

    def measure(self, fraction: float) -> dict[str, Any] | None:
        return None


def test_five_regions_with_faint_fissures_are_learned_and_the_averaged_network_knows_them(tmp_path: Path) -> None:
    """What is exported is the averaged network in evaluation mode: its batch statistics must fit its weights."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)

    def batch() -> Batch:
        pairs = [chest(generator) for _ in range(2)]
        image, target = torch.stack([one for one, _ in pairs]), torch.stack([other for _, other in pairs])
        return Batch(image, target, (0, 1), (), 0.0, (0,))

    settings = TrainingSettings(
        steps=60, learning_rate=2e-2, warmup=5, ema=0.9, weight_decay=1e-7, checkpoint_seconds=1e9
    )
    network = PDVNet(classes=6, kernels=8, convolutions=(2, 3, 3), growth=(4, 6, 8), skips=(8, 8, 8), dropout=0.0)
    training = Training(settings, network, tmp_path, batch)
    training.run()
    average = training.average.eval()
    dice = []
    with torch.inference_mode():
        for _ in range(4):
            image, target = chest(generator)
            found = average(image[None]).argmax(1)[0]
            for c in range(1, 6):
                both = float(((found == c) & (target == c)).sum())
                dice.append(2 * both / float((found == c).sum() + (target == c).sum()))
    assert np.mean(dice) > 0.85
    assert min(np.reshape(dice, (4, 5)).mean(0)) > 0.75
