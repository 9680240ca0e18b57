from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from MedAILib.networks import build
from MedAILib.networks.res_unet import Anisotropic, ResUNetH, ResUNetR

SMALL = {"inputs": 1, "classes": 3, "widths": [4, 8, 12], "groups": 2}


def conv(inputs: int, outputs: int, kernel: int) -> int:
    """Parameters of a convolution without bias and its normalization."""
    return kernel * inputs * outputs + 2 * outputs


def block(inputs: int, outputs: int) -> int:
    return conv(inputs, outputs, 9) + 2 * conv(outputs, outputs, 27)


def encoder(widths: list[int]) -> int:
    pairs = list(pairwise(widths))
    return (
        conv(1, widths[0], 25)
        + block(widths[0], widths[0])
        + sum(conv(fine, fine, 9) + block(fine, coarse) for fine, coarse in pairs)
    )


def decoder(widths: list[int], outputs: int) -> int:
    pairs = list(pairwise(widths))
    return sum(conv(coarse, fine, 1) + block(fine, fine) for fine, coarse in pairs) + 25 * widths[0] * outputs + outputs


def test_numbers_of_parameters_follow_from_kernels_and_widths() -> None:
    widths = [28, 36, 48, 64, 80]
    counts = {kind: sum(p.numel() for p in kind().parameters()) for kind in (ResUNetR, ResUNetH)}
    assert counts[ResUNetR] == encoder(widths) + decoder(widths, 3)
    assert counts[ResUNetH] == encoder(widths) + decoder(widths, 2) + decoder(widths, 1)


@pytest.mark.parametrize("name", ["res_unet_r", "res_unet_h"])
def test_classes_are_answered_on_the_input_grid_and_the_boundary_in_training_too(name: str) -> None:
    network = build(name, SMALL)
    image = torch.rand(2, 1, 5, 8, 12)
    classes, boundary = network(image)
    assert (classes.shape, boundary.shape) == ((2, 3, 5, 8, 12), (2, 1, 5, 8, 12))
    network.eval()
    assert torch.equal(network(image), classes)
    assert torch.equal(network.scores(image), torch.cat([classes, boundary], 1))


@pytest.mark.parametrize("name", ["res_unet_r", "res_unet_h"])
def test_slices_are_never_thinned_out(name: str) -> None:
    network = build(name, SMALL)
    assert network.multiple == (1, 4, 4)
    levels = network.encoder(torch.rand(1, 1, 7, 8, 16))
    assert [tuple(level.shape) for level in levels] == [(1, 4, 7, 8, 16), (1, 8, 7, 4, 8), (1, 12, 7, 2, 4)]
    strides = {m.stride for m in network.modules() if isinstance(m, torch.nn.Conv3d)}
    assert strides == {(1, 1, 1), (1, 2, 2)}


def test_an_anisotropic_block_has_a_skip_connection_around_its_3x3x3_convolutions_only() -> None:
    part = Anisotropic(4, 4, 2)
    kernels = [m.kernel_size for m in part.modules() if isinstance(m, torch.nn.Conv3d)]
    assert kernels == [(1, 3, 3), (3, 3, 3), (3, 3, 3)]
    for parameter in part.across.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 4, 3, 5, 5)
    within = part.within(x)
    assert torch.allclose(part(x), torch.nn.functional.elu(within))
    assert not torch.allclose(within, x)


def test_r_and_h_have_the_same_encoder_features_with_the_same_weights() -> None:
    r, h = ResUNetR(**SMALL), ResUNetH(**SMALL)
    h.encoder.load_state_dict(r.encoder.state_dict())
    image = torch.rand(1, 1, 3, 8, 8)
    for one, other in zip(r.encoder(image), h.encoder(image), strict=True):
        assert torch.equal(one, other)


def test_decoders_of_h_share_nothing_and_those_of_r_are_one() -> None:
    network = ResUNetH(**SMALL)
    classes, boundary = network(torch.rand(1, 1, 3, 8, 8))
    boundary.sum().backward(retain_graph=True)
    mask, edge = network.decoders
    assert all(p.grad is None or not p.grad.any() for p in mask.parameters())
    assert all(p.grad.any() for p in edge.output.parameters())
    assert any(p.grad.any() for p in network.encoder.parameters())
    network.zero_grad()
    classes.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in edge.parameters())
    assert len(ResUNetR(**SMALL).decoders) == 1
