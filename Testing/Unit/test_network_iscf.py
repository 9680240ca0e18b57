"""The skin lesion transformer: contexts of all stages fused into one, at the published size."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from MedAILib.errors import ModelError
from MedAILib.networks import build
from MedAILib.networks.blocks.efficient_attention import EfficientAttention, context_of
from MedAILib.networks.iscf import ISCF, Block, ContextFusion, Resize

SMALL = {"widths": [8, 12, 16], "blocks": 1}


def parameters(module: torch.nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def test_a_block_is_attention_and_mix_ffn_with_residuals() -> None:
    torch.manual_seed(0)
    block, x = Block(8), torch.randn(2, 4, 6, 8)
    first = x + block.attention(block.norm1(x).flatten(1, 2)).view_as(x)
    torch.testing.assert_close(block(x), first + block.ffn(block.norm2(first)))


def test_the_contexts_that_are_fused_are_those_of_the_attention() -> None:
    torch.manual_seed(0)
    block, x = Block(8), torch.randn(2, 4, 6, 8)
    _, queries, context = block.parts(x)
    tokens = block.norm1(x).flatten(1, 2)
    torch.testing.assert_close(context, context_of(block.attention.keys(tokens), block.attention.values(tokens)))
    torch.testing.assert_close(queries.sum(-1), torch.ones(2, 24))


def test_attention_costs_in_proportion_to_the_number_of_places() -> None:
    def cost(places: int) -> int:
        with FlopCounterMode(display=False) as counter:
            EfficientAttention(8)(torch.randn(1, places, 8))
        return counter.get_total_flops()

    assert cost(400) == 2 * cost(200) == 4 * cost(100)


def test_matrices_are_resized_along_rows_and_columns() -> None:
    resize = Resize(3, 5)
    with torch.no_grad():
        resize.rows.bias.zero_()
        resize.columns.bias.zero_()
    x = torch.randn(2, 3, 3)
    torch.testing.assert_close(resize(x), resize.rows.weight @ x @ resize.columns.weight.T)


def test_each_stage_gets_one_context_made_of_all_three() -> None:
    torch.manual_seed(0)
    fusion = ContextFusion([8, 12, 16])
    contexts = [torch.randn(2, width, width, requires_grad=True) for width in (8, 12, 16)]
    found = fusion(contexts)
    assert [each.shape[1:] for each in found] == [(8, 8), (12, 12), (16, 16)]
    found[0].sum().backward()
    assert all(each.grad is not None and each.grad.abs().max() > 0 for each in contexts)


def test_scaling_factors_are_three_numbers_between_0_and_1() -> None:
    fusion = ContextFusion([8, 12, 16])
    contexts = torch.rand(2, 3, 16, 16) + 0.5
    factors = fusion.scale(contexts) / contexts
    assert ((factors > 0) & (factors < 1)).all()
    torch.testing.assert_close(factors, factors[..., :1, :1].expand_as(factors))


def test_without_fusion_skip_connections_are_plain() -> None:
    torch.manual_seed(0)
    network, x = build("iscf", SMALL).eval(), torch.randn(1, 1, 32, 48)
    fused = network.skips(x)
    network.fusion = None
    plain = network.skips(x)
    assert [each.shape for each in plain] == [(1, 8, 12, 8), (1, 4, 6, 12), (1, 2, 3, 16)]
    assert all((one - other).abs().max() > 1e-4 for one, other in zip(fused, plain, strict=True))
    network = build("iscf", SMALL | {"fusion": False}).eval()
    embedded = network.embeddings[0](x)
    torch.testing.assert_close(network.skips(x)[0], network.norms[0](network.encoder[0][0](embedded)))


def test_the_size_is_near_the_papers_and_fusion_costs_what_its_maps_cost() -> None:
    with torch.device("meta"):
        full, plain = ISCF(inputs=3), ISCF(inputs=3, fusion=False)
    assert parameters(full) == pytest.approx(23.43e6, rel=0.05)
    assert parameters(plain) == pytest.approx(22.31e6, rel=0.05)
    maps = sum(2 * (2 * 512 * width + 512 + width) for width in (128, 320))
    assert parameters(full) - parameters(plain) == maps + 2 * (3 * 3 + 3) + 3 + 1


def test_logits_come_for_every_pixel_and_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = build("iscf", SMALL | {"inputs": 3, "classes": 2})
    assert network.multiple == 16
    logits = network(torch.randn(2, 3, 32, 48))
    assert logits.shape == (2, 2, 32, 48)
    logits.square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_other_numbers_of_stages_are_refused() -> None:
    with pytest.raises(ModelError, match="three"):
        build("iscf", {"widths": [8, 16]})
