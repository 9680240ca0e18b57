"""FET: a transform that loses nothing, linear attention, three branches, and the published sizes."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from torch.nn import functional

from MedAILib.errors import ModelError
from MedAILib.networks import build
from MedAILib.networks.blocks.efficient_attention import EfficientAttention, efficient_attention
from MedAILib.networks.blocks.tokens import Embedding, Expansion
from MedAILib.networks.blocks.wavelet import Wavelet2d
from MedAILib.networks.fet import FET, Block, FrequencyAttention, MultiScaleContext, PlainAttention, blurred

SMALL = {"widths": [8, 16, 24, 32], "blocks": 1, "head_width": 8}


def parameters(*modules: torch.nn.Module) -> int:
    return sum(each.numel() for module in modules for each in module.parameters())


@pytest.mark.parametrize("name", ["haar", "db2", "sym4"])
def test_the_wavelet_transform_can_be_undone_and_keeps_the_energy(name: str) -> None:
    picture = torch.randn(2, 3, 12, 16, dtype=torch.float64)
    transform = Wavelet2d(name).double()
    bands = transform(picture)
    assert bands.shape == (2, 4, 3, 6, 8)
    torch.testing.assert_close(transform.inverse(bands), picture, atol=1e-6, rtol=1e-6)
    assert float(bands.square().sum() / picture.square().sum()) == pytest.approx(1.0, abs=1e-6)


def test_haar_bands_are_those_of_pywavelets() -> None:
    picture = np.random.default_rng(0).standard_normal((12, 16))
    low, (along_j, along_i, both) = pywt.dwt2(picture, "haar", mode="periodization")
    found = Wavelet2d()(torch.from_numpy(picture).float()[None, None])[0, :, 0].numpy()
    for band, expected in zip(found, (low, along_i, along_j, both), strict=True):
        np.testing.assert_allclose(np.abs(band), np.abs(expected), atol=1e-5)


def test_odd_pictures_and_unfit_wavelets_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        Wavelet2d()(torch.zeros(1, 1, 5, 4))
    with pytest.raises(ModelError, match="not orthogonal"):
        build("fet", {"wavelet": "bior2.2"})


def test_efficient_attention_is_the_product_with_all_places_in_another_order() -> None:
    queries, keys, values = torch.randn(2, 30, 8), torch.randn(2, 20, 8), torch.randn(2, 20, 5)
    everywhere = functional.softmax(queries, -1) @ functional.softmax(keys, 1).transpose(1, 2)
    assert everywhere.shape == (2, 30, 20)
    torch.testing.assert_close(everywhere.sum(-1), torch.ones(2, 30))  # weights, as in any attention
    torch.testing.assert_close(efficient_attention(queries, keys, values), everywhere @ values)
    layer = EfficientAttention(8)
    rows, context = layer.parts(queries)
    assert context.shape == (2, 8, 8)
    torch.testing.assert_close(layer(queries), layer.project(rows @ context))


def test_a_flat_picture_has_no_boundary_but_an_edge_has() -> None:
    torch.manual_seed(0)
    layer = FrequencyAttention(16, 2, "haar")
    x = torch.ones(1, 8, 8, 16)
    flat = layer.boundary(layer.transform(layer.reduce(x).movedim(-1, 1)))
    torch.testing.assert_close(flat, torch.sigmoid(layer.widen.bias).expand_as(flat))
    x[:, :, 3:] = 2.0
    edge = layer.boundary(layer.transform(layer.reduce(x).movedim(-1, 1))).unflatten(1, (4, 4))
    changed = (edge - flat.unflatten(1, (4, 4))).abs().amax((0, 1, 3))
    assert changed[1] > 1e-3  # the column of 2 x 2 blocks with the edge


def test_the_pyramid_is_made_of_gaussians() -> None:
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = 1.0
    found = blurred(x, 2.0, 2)[0, 0]
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(found[4, 5] / found[4, 4]) == pytest.approx(np.exp(-0.125), abs=1e-4)


@pytest.mark.parametrize("branch", ["spatial", "channel", "boundary"])
def test_each_branch_contributes(branch: str) -> None:
    torch.manual_seed(0)
    layer = FrequencyAttention(16, 2, "haar").eval()
    x = torch.randn(1, 8, 8, 16)
    before = layer(x)
    with torch.no_grad():
        if branch == "boundary":
            layer.widen.weight.zero_()
        else:
            part = slice(0, 16) if branch == "spatial" else slice(16, 32)
            layer.project.weight[:, part] = 0.0
    assert (layer(x) - before).abs().max() > 1e-4


def test_skip_connections_learn_of_all_levels() -> None:
    torch.manual_seed(0)
    context = MultiScaleContext([8, 16, 24, 32], [1, 2, 3, 4], "haar")
    features = [torch.randn(1, 32 >> n, 32 >> n, width) for n, width in enumerate((8, 16, 24, 32))]
    features[3].requires_grad_()
    found = context(features)
    assert [each.shape for each in found] == [each.shape for each in features]
    found[0].sum().backward()
    assert features[3].grad is not None and features[3].grad.abs().max() > 0


def test_tokens_become_squares_in_place() -> None:
    grow = Expansion(1, 2, 2)
    grow.norm = torch.nn.Identity()  # type: ignore[assignment]
    with torch.no_grad():
        grow.expand.weight[:] = torch.arange(8.0)[:, None]
    found = grow(torch.tensor([1.0, 10.0]).view(1, 1, 2, 1))
    assert found.shape == (1, 2, 4, 2)
    assert found[0, :, :, 0].tolist() == [[0, 2, 0, 20], [4, 6, 40, 60]]
    assert Embedding(1, 8, 7, 4)(torch.zeros(1, 1, 32, 64)).shape == (1, 8, 16, 8)


def test_logits_come_for_every_pixel_and_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = build("fet", SMALL | {"inputs": 3, "classes": 4})
    assert network.multiple == 32
    logits = network(torch.randn(2, 3, 64, 96))
    assert logits.shape == (2, 4, 64, 96)
    logits.square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_sizes_are_the_papers_but_for_layers_that_never_run() -> None:
    """47.01 and 33.00 million; see the module's docstring."""
    unused = parameters(*(Block(512, FrequencyAttention(512, 16, "haar")) for _ in range(2)))
    unused += 1024 * 512 + 512
    with torch.device("meta"):
        three = FET(inputs=3, classes=9, widths=(128, 320, 512))
        four = FET(inputs=3, classes=9, context=False)
    assert parameters(three) + unused == pytest.approx(47.01e6, rel=0.02)
    assert parameters(four) + unused == pytest.approx(33.00e6, rel=0.02)


def test_widths_that_cannot_share_a_sequence_are_refused() -> None:
    with pytest.raises(ModelError, match="widths"):
        build("fet", {"widths": [8, 18, 24, 32]})


@pytest.mark.parametrize("seed", range(3))
def test_high_frequencies_survive_more_layers_than_in_plain_attention(seed: int) -> None:
    """The direction of the paper's Fig. 3, on noise and with fresh weights; residuals left out."""

    def left(kind: str) -> float:
        torch.manual_seed(seed)
        x = torch.randn(1, 16, 16, 32, dtype=torch.float64)
        for _ in range(4):
            layer = FrequencyAttention(32, 2, "haar") if kind == "fet" else PlainAttention(32, 2)
            x = layer.double()(functional.layer_norm(x, (32,)))
        power = torch.fft.fft2(x.movedim(-1, 1)).abs().square().sum((0, 1))
        frequency = torch.fft.fftfreq(16).abs()
        return float(power[torch.maximum(frequency[:, None], frequency) > 1 / 6].sum() / power.sum())

    with torch.no_grad():
        assert left("fet") > 10 * left("plain")
