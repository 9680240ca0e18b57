"""PE-MED's parts do what the paper's equations say."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from MedAILib.networks.pe_med import PEMed, PEMedSize, PromptFeatures, PromptMixture, attend, disks
from Unit.registration_tools import single_thread

SMALL = PEMedSize((8, 16, 20, 32), (1, 1, 1, 1), (1, 2, 5, 8), 16)


@pytest.fixture(autouse=True, scope="module")
def threads():
    """Small networks gain nothing from several threads, and lose much on a busy machine."""
    with single_thread():
        yield


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    image = torch.randn(2, 1, 64, 64)
    clicks = [disks(torch.tensor(at), (64, 64))[None].expand(2, -1, -1, -1) for at in ([[20.0, 30.0]], [[50.0, 9.0]])]
    return image, *clicks


def test_a_click_is_a_disk():
    found = disks(torch.tensor([[10.0, 12.0], [40.0, 50.0]]), (64, 64), 5.0)[0]
    assert found[10, 17] == found[14, 15] == found[40, 50] == 1 and found[10, 18] == found[14, 16] == 0
    assert disks(torch.empty(0, 2), (64, 64)).sum() == 0


def test_attention_is_that_of_the_paper():
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 5, 8), torch.randn(1, 7, 8), torch.randn(1, 7, 8)
    wanted = torch.zeros(5, 8)
    for n in range(5):
        weights = torch.exp(query[0, n] @ key[0].T / 8)
        wanted[n] = (weights / weights.sum()) @ value[0]
    assert torch.allclose(attend(query, key, value)[0], wanted, atol=1e-6)


def test_positive_and_negative_prompts_change_places(inputs):
    torch.manual_seed(0)
    prompts = PromptFeatures(8)
    _, positive, negative = inputs
    previous = torch.rand_like(positive)
    own, other, both = prompts.enhanced(positive, negative, previous)
    swapped = prompts.enhanced(negative, positive, previous)
    assert torch.allclose(own, swapped[1]) and torch.allclose(other, swapped[0])
    assert not torch.allclose(own, other)
    wanted = attend(own, both, both) + attend(other, both, both)
    assert torch.allclose(prompts(positive, negative, previous), wanted)


def test_image_and_prompts_are_mixed_by_equation_3():
    torch.manual_seed(0)
    mixture = PromptMixture(8)
    torch.nn.init.normal_(mixture.image_norm.weight)
    image, prompt = torch.randn(2, 9, 8), torch.randn(2, 9, 8)
    wanted = image + mixture.image_norm(attend(image, prompt, prompt))
    wanted = wanted + prompt + mixture.prompt_norm(attend(prompt, image, image))
    assert torch.allclose(mixture(image, prompt), wanted)


def test_only_the_first_click_loops(inputs, monkeypatch):
    network = PEMed(1, SMALL).eval()
    calls, once = [], network.once

    def counted(*arguments):
        calls.append(arguments)
        return once(*arguments)

    monkeypatch.setattr(network, "once", counted)
    first = network(*inputs)
    assert len(calls) == 2 and calls[0][3].sum() == 0
    assert torch.allclose(calls[1][3], torch.sigmoid(once(*calls[0])))
    assert torch.allclose(calls[0][1], calls[1][1])  # no new interaction
    network(*inputs, torch.sigmoid(first), first)
    assert len(calls) == 3
    assert first.shape == (2, 1, 64, 64)


def test_memory_adds_what_equation_4_says_and_nothing_at_first(inputs):
    network = PEMed(1, SMALL).eval()
    previous = torch.rand(2, 1, 64, 64)
    plain = network(*inputs, previous)
    assert torch.allclose(plain, network.once(*inputs, previous))
    before = torch.randn(2, 1, 64, 64)
    assert torch.allclose(network(*inputs, previous, before), plain + torch.sigmoid(network.memory(before)))
    without = PEMed(1, SMALL, tsip=False).eval()
    assert torch.allclose(without(*inputs, previous, before), without(*inputs, previous))


def test_features_stand_at_a_quarter_to_a_thirty_second(inputs):
    network = PEMed(1, SMALL).eval()
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, given, found: shapes.append(tuple(found.shape[1:])))
    network.once(*inputs, torch.zeros(2, 1, 64, 64))
    assert shapes == [(8, 16, 16), (16, 8, 8), (20, 4, 4), (32, 2, 2)]


def test_it_learns_to_follow_clicks():
    """One of two equal disks is meant; only the click tells which."""
    torch.manual_seed(0)
    network = PEMed(1, SMALL)
    places = torch.tensor([[16.0, 16.0], [44.0, 44.0]])
    blobs = torch.stack([disks(places[n : n + 1], (64, 64), 12.0) for n in (0, 1)])
    image = (blobs[:1] + blobs[1:]).expand(2, -1, -1, -1) + 0.1 * torch.randn(2, 1, 64, 64)
    clicks = torch.stack([disks(places[n : n + 1], (64, 64)) for n in (0, 1)])
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(120):
        logits = network(image, clicks, torch.zeros_like(clicks))
        loss = functional.binary_cross_entropy_with_logits(logits, blobs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = (network(image, clicks, torch.zeros_like(clicks)) > 0).float()
    dice = 2 * (found * blobs).sum((1, 2, 3)) / (found + blobs).sum((1, 2, 3))
    assert dice.min() > 0.9
