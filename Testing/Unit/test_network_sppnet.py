"""SPPNet is SAM with low-level features, and its clicks are drawn as the paper draws them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from MedAILib.interactive.slices.center import NEIGHBORS, center, distances, sample_points
from MedAILib.networks.sam import Sam
from MedAILib.networks.sppnet import LowLevel, SPPNet
from Unit.registration_tools import single_thread

SMALL = {"widths": [8, 8, 12, 16], "depths": [1, 1, 1, 1], "heads": [2, 3, 4], "sides": [3, 4, 3]}


@pytest.fixture(autouse=True, scope="module")
def threads():
    with single_thread():
        yield


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SPPNet("vit_t", 64, 32, SMALL).eval()


def count(module):
    return sum(each.numel() for each in module.parameters())


def test_the_published_size_is_near_the_papers_9_79_million():
    with torch.device("meta"):
        network, sam = SPPNet(), Sam("vit_t")
    low, fusion = count(network.low_level), count(network.fusion)
    # A 3x3 convolution of 3 channels, a depthwise one of 32, a pointwise one of 32, three normalizations.
    assert low == (27 * 32 + 32) + (9 * 32 + 32) + (32 * 32 + 32) + 3 * 64 and fusion == 64 + 1
    assert count(network) == count(sam) + low + fusion == 9_810_981
    seen = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear, torch.nn.BatchNorm2d)
    counted = sum(p.numel() for each in sam.modules() if isinstance(each, seen) for p in each.parameters(False))
    counted -= sum(count(each) for each in sam.prompt_encoder.mask_downscaling if isinstance(each, seen))
    assert round(counted / 1e6, 2) == 9.78


def test_sams_weights_fit(network):
    sam = Sam("vit_t", 64, 32, SMALL)
    found = network.load_state_dict(sam.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert {name.split(".")[0] for name in found.missing_keys} == {"low_level", "fusion"}


def test_low_level_features_are_those_of_the_paper():
    torch.manual_seed(0)
    low = LowLevel(8).eval()
    image = torch.randn(1, 3, 12, 12)
    x = torch.relu(low.head[1](functional.conv2d(image, low.head[0].weight, low.head[0].bias, padding=1)))
    deep = [low.depthwise[0](x)[:, n] - functional.conv2d(
        x[:, n : n + 1], low.depthwise[0].weight[n : n + 1], low.depthwise[0].bias[n : n + 1], padding=1
    )[:, 0] for n in range(8)]  # fmt: skip
    assert max(float(each.detach().abs().max()) for each in deep) < 1e-5  # each channel by itself
    wanted = functional.max_pool2d(x + low.pointwise(low.depthwise(x)), 2, 2)
    assert torch.allclose(low(image), wanted, atol=1e-6) and low(image).shape == (1, 8, 6, 6)


def test_the_answer_joins_both_features(network):
    image = torch.randn(2, 3, 64, 64)
    points, labels = torch.tensor([[[10.0, 20.0], [50.0, 50.0]]] * 2), torch.tensor([[1, 0]] * 2)
    embedding, low = network.embed(image)
    assert low.shape == (2, 4, 16, 16)
    logits = network(image, points, labels)
    assert logits.shape == (2, 1, 16, 16)
    bare = network.answer((embedding, torch.zeros_like(low)), points, labels)
    weight = network.fusion.weight[0, 4:]
    assert torch.allclose(logits - bare, (low * weight).sum(1, keepdim=True), atol=1e-5)


def test_both_clicks_matter(network):
    image, labels = torch.randn(1, 3, 64, 64), torch.tensor([[1, 0]])
    points = torch.tensor([[[10.0, 20.0], [50.0, 50.0]]])
    logits = network(image, points, labels)
    assert not torch.allclose(logits, network(image, points + torch.tensor([[[20.0, 0.0], [0.0, 0.0]]]), labels))
    assert not torch.allclose(logits, network(image, points - torch.tensor([[[0.0, 0.0], [20.0, 0.0]]]), labels))
    assert not torch.allclose(logits, network(image, points, 1 - labels))


def test_distances_are_steps_along_rows_and_columns():
    rng = np.random.default_rng(0)
    mask = rng.random((9, 11)) < 0.7
    outside = np.argwhere(~np.pad(mask, 1))
    for row, column in np.ndindex(mask.shape):
        wanted = np.abs(outside - (row + 1, column + 1)).sum(1).min()
        assert distances(mask)[row, column] == wanted


def test_the_center_is_the_first_of_the_deepest_pixels():
    mask = np.zeros((12, 20), bool)
    mask[3:8, 4:9] = True
    assert center(mask) == (5, 6)
    mask[3:8, 10:15] = True  # as deep, but later in the same row
    assert center(mask) == (5, 6)
    mask[:] = False
    mask[2:4, 5:9] = True  # all are one step from the border
    assert center(mask) == (2, 5)


def test_positive_points_follow_the_gaussian_of_5_by_5_around_the_center():
    rng = np.random.default_rng(0)
    labels = np.zeros((24, 24), int)
    labels[5:20, 6:21] = 7
    draws = np.array([sample_points(labels, rng)[0] for _ in range(2000)]) - (12, 13)
    assert np.abs(draws).max() == NEIGHBORS == 2
    seen = np.zeros((5, 5))
    np.add.at(seen, tuple((draws + 2).T), 1 / len(draws))
    bell = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    wanted = np.outer(bell, bell) / np.outer(bell, bell).sum()
    error = np.sqrt(wanted * (1 - wanted) / len(draws))
    assert (np.abs(seen - wanted) < 4.5 * error).all()


def test_points_are_inside_and_outside_whatever_the_shape():
    rng = np.random.default_rng(0)
    labels = np.zeros((30, 30), int)
    labels[10:20, 5] = 1  # thin: most of the neighborhood is background
    labels[3, 20] = 2
    chosen, background = [], []
    for _ in range(1000):
        positive, negative = sample_points(labels, rng)
        assert labels[positive] > 0 and labels[negative] == 0
        chosen.append(labels[positive])
        background.append(negative)
    assert 430 < chosen.count(1) < 570  # objects are alike, whatever their size
    free = np.argwhere(labels == 0)
    mean, error = free.mean(0), free.std(0) / np.sqrt(len(background))
    assert (np.abs(np.mean(background, 0) - mean) < 4.5 * error).all()


def test_without_object_or_background_there_is_nothing_to_draw():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="object"):
        sample_points(np.zeros((5, 5), int), rng)
    with pytest.raises(ValueError, match="background"):
        sample_points(np.ones((5, 5), int), rng)
