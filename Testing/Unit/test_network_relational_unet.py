"""RelationalUNet's attention is that of the paper's equations, and fits into memory."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.networks import build, relational_unet
from MedAILib.networks.relational_unet import RelationalSelfAttention, RelationalUNet
from MedAILib.training.config import RECIPES
from Unit.registration_tools import single_thread


@pytest.fixture(autouse=True, scope="module")
def threads():
    with single_thread():
        yield


def attention(channels=6, heads=3, window=(3, 5, 3)):
    torch.manual_seed(0)
    layer = RelationalSelfAttention(channels, heads, window).double().eval()
    nn.init.normal_(layer.identity)
    return layer


@torch.no_grad()
def by_the_equations(layer, x, window):
    """Eqs. 1 to 3 voxel by voxel, with the matrices H (M C x M) and G (M x C) written out."""
    heads, size = layer.heads, layer.size
    reach = [side // 2 for side in window]
    voxels = int(np.prod(window))
    h1 = layer.relate_keys.reshape(size, size, voxels)  # channel, D, voxel of the window
    h2 = layer.relate_values[:size].reshape(size, voxels)  # D x M
    g = layer.relate_values[size:].reshape(size, voxels).T  # M x C
    # vec(M x C) H: row (m, c) of H1 is h1[c, :, m]
    h = h1.permute(2, 0, 1).reshape(voxels * size, size) @ h2
    projected = torch.einsum("oc,ckji->okji", layer.project.weight[:, :, 0, 0, 0], x)
    projected = projected.reshape(heads + 2, size, *x.shape[1:])
    projected = projected / (projected.square().sum(1, keepdim=True) + 1e-6).sqrt()
    padded = torch.nn.functional.pad(projected, [side for r in reversed(reach) for side in (r, r)])
    result = torch.zeros_like(x)
    for place in np.ndindex(*x.shape[1:]):
        box = tuple(slice(p, p + side) for p, side in zip(place, window, strict=True))
        keys = padded[(heads, slice(None), *box)].reshape(size, voxels).T  # M x C
        values = padded[(heads + 1, slice(None), *box)].reshape(size, voxels).T
        for head in range(heads):
            query = projected[(head, slice(None), *place)]
            relational = (torch.ones(voxels, 1, dtype=x.dtype) @ query[None] * keys).reshape(1, -1) @ h
            basic = query[None] @ layer.basic @ h2
            # The identity of X^V (I + (X^V)^T G) is learned.
            context = values @ layer.identity + values @ values.T @ g
            result[(slice(head * size, (head + 1) * size), *place)] = ((basic + relational) @ context)[0]
    return result


@pytest.mark.parametrize("window", [(3, 5, 3), (5, 7, 7)])
def test_the_attention_is_equations_1_to_3_written_out_voxel_by_voxel(window):
    layer = attention(window=window)
    x = torch.randn(1, 6, 4, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        found = layer(x)[0]
    expected = by_the_equations(layer, x[0], window)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_slabs_and_their_recomputation_change_neither_result_nor_gradient(monkeypatch):
    layer = attention()
    x = torch.randn(2, 6, 7, 6, 5, dtype=torch.float64)
    found = {}
    for budget in (1, 1 << 30):
        monkeypatch.setattr(relational_unet, "BUDGET", budget)
        given = x.clone().requires_grad_()
        layer.zero_grad()
        layer(given).pow(3).sum().backward()
        found[budget] = [layer(x).detach(), given.grad, *(p.grad.clone() for p in layer.parameters())]
    for one, other in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 3), (4, 4, 4)])
def test_images_thinner_than_the_window_keep_their_shape_and_stay_finite(shape):
    layer = RelationalSelfAttention(16).eval()
    found = layer(torch.randn(2, 16, *shape))
    assert found.shape == (2, 16, *shape) and found.isfinite().all()
    assert layer(torch.zeros(1, 16, *shape)).isfinite().all()


def test_training_keeps_much_less_than_the_windows_or_the_products_would_take(monkeypatch):
    """Bytes that the layer leaves for the way back, per voxel of a 32 x 32 x 32 image with 32 channels."""
    layer = RelationalSelfAttention(32)
    x = torch.randn(1, 32, 32, 32, 32)

    def kept(budget):
        monkeypatch.setattr(relational_unet, "BUDGET", budget)
        sizes = {}

        def pack(tensor):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            layer(x.requires_grad_())
        return sum(sizes.values()) / x[0, 0].numel()

    slabs, whole = kept(1 << 18), kept(1 << 30)
    window = 5 * 7 * 7 * (4 + 4) * 4  # keys and values of every window, unfolded
    assert slabs < 0.75 * whole and whole < 0.2 * window


def test_every_skip_connection_passes_the_attention_and_is_replaced_by_it():
    torch.manual_seed(0)
    network = RelationalUNet(widths=(8, 16, 32), heads=4).eval()
    x = torch.randn(1, 1, 8, 8, 8)
    assert sum(isinstance(module, RelationalSelfAttention) for module in network.modules()) == 2
    with torch.no_grad():
        before = network(x)
        for up in network.ups:
            up.attention.basic.zero_(), up.attention.relate_keys.zero_()  # no kernel: nothing passes the skip
        coarse = network.downs[0](x)
        for down in network.downs[1:]:
            coarse = down(nn.functional.max_pool3d(coarse, 2))
        for up in network.ups:
            enlarged = up.enlarge(coarse)
            coarse = up.body(torch.cat((torch.zeros_like(enlarged), enlarged), 1))
        torch.testing.assert_close(network(x), network.head(coarse))
    assert (before - network(x)).abs().max() > 1e-3


def test_the_parameters_are_those_of_the_papers_u_net_and_of_the_layers():
    def of_attention(channels, heads):
        size = channels // heads
        convolutions = 245 * (size * size + 2 * size)
        return channels * (channels + 2 * size) + convolutions + 2 * size * size

    widths = (32, 64, 128, 256, 512)
    with torch.device("meta"):
        network = RelationalUNet(1, 14)
    plain = sum(27 * (a * b + b * b) + 4 * b for a, b in zip((1, *widths), widths, strict=False))
    plain += sum(8 * b * a + a + 27 * (2 * a * a + a * a) + 4 * a for a, b in pairwise(widths))
    expected = plain + sum(of_attention(width, 8) for width in widths[:-1]) + 32 * 14 + 14
    assert sum(p.numel() for p in network.parameters()) == expected


def test_it_runs_through_the_engine_also_in_half_precision():
    torch.manual_seed(0)
    network = RelationalUNet(1, 3, (8, 16), 4).eval()
    volume = np.random.default_rng(0).normal(size=(1, 12, 14, 10)).astype(np.float32)
    exact = predict_labels(network, volume, WindowOptions((8, 8, 8), precision="float32"), "cpu")
    fast = predict_labels(network, volume, WindowOptions((8, 8, 8), precision="bfloat16"), "cpu")
    assert exact.labels.shape == (12, 14, 10) and len(np.unique(exact.labels)) > 1
    assert (exact.labels == fast.labels).mean() > 0.9


def test_the_recipes_network_can_be_built():
    recipe = json.loads((RECIPES / "relational-unet.json").read_text())
    network = build(recipe["network"]["name"], recipe["network"]["arguments"] | {"inputs": 1, "classes": 3})
    assert network(torch.zeros(1, 1, 8, 16, 8)).shape == (1, 3, 8, 16, 8)


def test_it_learns_what_depends_on_the_neighborhood():
    """A voxel's class is whether its neighbors two planes up and down agree: local values alone do not tell."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv3d(1, 8, 1), RelationalSelfAttention(8, 4, (5, 1, 1)), nn.Conv3d(8, 2, 1))
    adam = torch.optim.Adam(layer.parameters(), lr=2e-2)

    def sample():
        x = torch.randint(0, 2, (4, 1, 12, 6, 6), generator=generator).float() * 2 - 1
        return x, (x[:, 0, 4:] == x[:, 0, :-4]).long()

    for _ in range(150):
        x, same = sample()
        loss = nn.functional.cross_entropy(layer(x)[:, :, 2:-2], same)
        adam.zero_grad()
        loss.backward()
        adam.step()
    x, same = sample()
    assert (layer(x)[:, :, 2:-2].argmax(1) == same).float().mean() > 0.9
