"""Mammo-SAM trains adapters and a decoder beside a frozen encoder, and its loss is that of the paper."""

from __future__ import annotations

import pytest
import torch

from MedAILib.errors import ModelError
from MedAILib.networks.mammo_sam import Adapter, MammoSam
from MedAILib.networks.sam import Sam
from MedAILib.training.pixel_loss import pixel_position_aware_loss, pixel_weights
from Unit.registration_tools import single_thread

SMALL = {"channels": 64, "depth": 2, "heads": 2, "whole": [1], "window": 3}


@pytest.fixture(autouse=True, scope="module")
def threads():
    with single_thread():
        yield


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MammoSam("vit_b", 64, 128, SMALL)


def count(module):
    return sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize("channels", [16, 64, 1024])
def test_an_adapter_has_as_many_parameters_as_the_papers_figure_says(channels):
    with torch.device("meta"):
        adapter = Adapter(channels)
    quarter, sixteenth = channels // 4, channels // 16
    down = channels * quarter + 3 * quarter  # weights, biases, and the normalization's two
    scales = 4 * (9 * quarter * sixteenth + 3 * sixteenth)
    up = quarter * channels + 3 * channels
    assert count(adapter) == down + scales + up == 17 * channels**2 // 16 + 9 * channels // 2


def test_the_published_size_trains_a_tenth_of_its_parameters():
    with torch.device("meta"):
        network = MammoSam()
    trained = sum(each.numel() for each in network.parameters() if each.requires_grad)
    assert count(network.image_encoder) == 308_278_272
    assert count(network.adapters) == 24 * 1_118_720
    assert trained == count(network) - 308_278_272
    assert 0.05 < trained / count(network) < 0.1


def test_adapters_see_four_distances(network):
    adapter = network.adapters[0]
    middle = torch.zeros(1, 16, 17, 17, requires_grad=True)
    for number, branch in enumerate(adapter.scales.branches, 1):
        (slope,) = torch.autograd.grad(branch[0](middle)[0, :, 8, 8].sum(), middle)
        seen = slope.abs().sum((0, 1)).nonzero() - 8
        wanted = {(a * number, b * number) for a in (-1, 0, 1) for b in (-1, 0, 1)}
        assert {tuple(place) for place in seen.tolist()} == wanted


def test_fresh_adapters_change_nothing_but_learn(network):
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(network.image_encoder(image, network.adapters), network.image_encoder(image))
    network(image).sum().backward()
    assert all(each.grad is None for each in network.image_encoder.parameters())
    assert all(float(adapter.up[1].weight.grad.abs().sum()) > 0 for adapter in network.adapters)
    assert float(network.ups[0].grow.weight.grad.abs().sum()) > 0


def test_only_adapters_and_decoder_are_trained(network):
    fixed = {name.split(".")[0] for name, each in network.named_parameters() if not each.requires_grad}
    free = {name.split(".")[0] for name, each in network.named_parameters() if each.requires_grad}
    assert fixed == {"image_encoder"} and free == {"adapters", "ups", "scales", "head"}


def test_sams_encoder_fits_and_the_outcome_has_the_images_size(network):
    sam = Sam("vit_b", 64, 128, SMALL)
    encoder = {name: value for name, value in sam.state_dict().items() if name.startswith("image_encoder.")}
    assert not network.load_state_dict(encoder, strict=False).unexpected_keys
    assert network.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 1, 64, 64)
    assert [up.grow.weight.shape[1] for up in network.ups] == [64, 32, 16]


def test_encoders_without_transformer_blocks_are_refused():
    from MedAILib.networks import build

    with pytest.raises(ValueError, match="vit_t"):
        MammoSam("vit_t")
    with pytest.raises(ModelError, match="vit_t"):
        build("mammo_sam", {"encoder": "vit_t"})


def test_it_learns_a_bright_spot(network):
    torch.manual_seed(0)
    away = (torch.arange(64)[:, None] - 40) ** 2 + (torch.arange(64)[None] - 24) ** 2
    target = (away < 150).float()[None, None]
    image = target.expand(1, 3, -1, -1) + 0.3 * torch.randn(1, 3, 64, 64)
    optimizer = torch.optim.Adam([each for each in network.parameters() if each.requires_grad], 0.01)
    losses = []
    for _ in range(25):
        loss = pixel_position_aware_loss(network(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_pixels_unlike_their_surroundings_weigh_more():
    target = torch.zeros(1, 1, 40, 40)
    target[..., 20] = 1.0  # a line
    weight = pixel_weights(target, 5)
    assert weight[0, 0, 20, 20] == pytest.approx(1 + 5 * (1 - 1 / 5))
    assert weight[0, 0, 20, 22] == pytest.approx(1 + 5 * (1 / 5)) and weight[0, 0, 20, 23] == 1.0
    assert pixel_weights(torch.ones(1, 1, 40, 40)).unique().tolist() == [1.0]  # also at the image's edge


def test_the_loss_is_weighted_entropy_and_weighted_overlap():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 12, 12), (torch.rand(2, 1, 12, 12) > 0.5).float()
    weight = pixel_weights(target)
    wanted = 0.0
    for n in range(2):
        p, t, w = torch.sigmoid(logits[n]), target[n], weight[n]
        entropy = -(w * (t * p.log() + (1 - t) * (1 - p).log())).sum() / w.sum()
        both = (w * p * t).sum()
        wanted += float(entropy + 1 - (both + 1) / ((w * (p + t)).sum() - both + 1)) / 2
    assert float(pixel_position_aware_loss(logits, target)) == pytest.approx(wanted, rel=1e-5)
    assert float(pixel_position_aware_loss(40 * (2 * target - 1), target)) < 1e-3
