"""Super tokens and the two branches."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from MedAILib.errors import ModelError
from MedAILib.networks import build
from MedAILib.networks.super_token import AttentionGate, Fusion, SuperTokenAttention, gathered, grid_cells

SMALL = {"widths": [8, 16, 24], "depths": [1, 1, 1], "heads": 4}


def test_the_first_super_tokens_are_the_means_of_a_grids_cells() -> None:
    picture = torch.randn(2, 3, 8, 12)
    tokens = picture.flatten(2).transpose(1, 2)
    found = gathered(grid_cells(8, 12, 4, tokens).expand(2, -1, -1), tokens)
    torch.testing.assert_close(found, functional.avg_pool2d(picture, 4).flatten(2).transpose(1, 2))


def test_cells_at_the_border_may_be_smaller() -> None:
    cells = grid_cells(5, 7, 4, torch.zeros(1))
    assert cells.shape == (35, 4)
    assert cells.sum(0).tolist() == [16, 12, 4, 3]


def test_a_token_belongs_to_super_tokens_in_shares_that_sum_to_one() -> None:
    torch.manual_seed(0)
    layer, tokens = SuperTokenAttention(8, 2, 2, iterations=2), torch.randn(2, 24, 8)
    belongs, supers = layer.association(tokens, 4, 6)
    assert belongs.shape == (2, 24, 6)
    torch.testing.assert_close(belongs.sum(2), torch.ones(2, 24))
    columns = belongs / belongs.sum(1, keepdim=True)
    torch.testing.assert_close(columns.sum(1), torch.ones(2, 6))
    torch.testing.assert_close(supers, columns.transpose(1, 2) @ tokens)


def test_each_iteration_makes_super_tokens_anew_by_equations_1_and_2() -> None:
    torch.manual_seed(0)
    layer, tokens = SuperTokenAttention(8, 2, 2, iterations=1), torch.randn(1, 16, 8)
    first = gathered(grid_cells(4, 4, 2, tokens)[None], tokens)
    expected = functional.softmax(tokens @ first.transpose(1, 2) / 8**0.5, -1)
    torch.testing.assert_close(layer.association(tokens, 4, 4)[0], expected)


def test_with_as_many_super_tokens_as_tokens_and_no_iteration_it_is_plain_attention() -> None:
    torch.manual_seed(0)
    layer, picture = SuperTokenAttention(8, 2, cell=1, iterations=0), torch.randn(2, 8, 4, 6)
    plain = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        plain.in_proj_weight.copy_(layer.parts.weight)
        plain.in_proj_bias.copy_(layer.parts.bias)
        plain.out_proj.weight.copy_(layer.project.weight)
        plain.out_proj.bias.copy_(layer.project.bias)
    tokens = picture.flatten(2).transpose(1, 2)
    expected = plain(tokens, tokens, tokens)[0].transpose(1, 2).view_as(picture)
    torch.testing.assert_close(layer(picture), expected, atol=1e-5, rtol=1e-4)


def test_both_branches_give_maps_of_the_same_shapes() -> None:
    network = build("super_token", SMALL)
    x = torch.randn(1, 1, 64, 96)
    shapes = [(1, 8, 16, 24), (1, 16, 8, 12), (1, 24, 4, 6)]
    assert [each.shape for each in network.transformer(x)] == shapes
    assert [each.shape for each in network.convolutions(x)] == shapes


@pytest.mark.parametrize("part", [0, 1, 2])
def test_fusion_joins_channel_attention_spatial_attention_and_their_sum(part: int) -> None:
    torch.manual_seed(0)
    fuse, m, n = Fusion(8).eval(), torch.randn(1, 8, 6, 6), torch.randn(1, 8, 6, 6)
    seen: list[torch.Tensor] = []
    fuse.join.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    fuse(m, n)
    expected = (fuse.channel(m), fuse.spatial(n), fuse.together(m + n))[part]
    torch.testing.assert_close(seen[0].chunk(3, 1)[part], expected)


def test_gates_only_weaken() -> None:
    gate, skip = AttentionGate(4, 6, 8), torch.ones(1, 4, 5, 5)
    found = gate(skip, torch.randn(1, 6, 5, 5))
    assert ((found > 0) & (found < 1)).all()
    torch.testing.assert_close(found, found[:, :1].expand_as(found))


def test_logits_come_for_every_pixel_and_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = build("super_token", SMALL | {"inputs": 3, "classes": 4})
    assert network.multiple == 16
    logits = network(torch.randn(2, 3, 64, 80))
    assert logits.shape == (2, 4, 64, 80)
    logits.square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_heads_that_do_not_divide_the_widths_are_refused() -> None:
    with pytest.raises(ModelError, match="heads"):
        build("super_token", SMALL | {"heads": 5})
