"""MORSE's head: its gate, its points, and that certain voxels stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from MedAILib.errors import ModelError
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.networks import build
from MedAILib.networks.morse import (
    PointRenderer,
    StochasticExperts,
    at_points,
    point_loss,
    rendered,
    training_points,
    uncertainty,
)

BACKBONES = {"residual_unet": {"widths": [4, 6, 8]}, "vnet": {"widths": [4, 6, 8], "convolutions": [1, 1, 1]}}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def pyramid(n=2):
    return [torch.randn(n, width, 16 // scale, 8 // scale, 12 // scale) for width, scale in ((8, 1), (16, 2), (24, 4))]


def test_the_gate_sums_to_one():
    experts = StochasticExperts((8, 16, 24), 12, 10).eval()
    weights = experts.weights(experts.scaled(pyramid()))
    assert weights.shape == (2, 3, 16, 8, 12)
    assert torch.allclose(weights.sum(1), torch.ones(2, 16, 8, 12)) and weights.min() > 0
    assert experts(pyramid()).shape == (2, 10, 16, 8, 12)


def test_a_dropped_expert_weighs_nothing_and_learns_nothing():
    experts = StochasticExperts((8, 16, 24), 12, 10).train()
    maps, seen = pyramid(), set()
    for seed in range(20):
        torch.manual_seed(seed)
        weights = experts.weights(experts.scaled(maps))
        assert torch.allclose(weights.sum(1), torch.ones(2, 16, 8, 12), atol=1e-5)
        dropped = {n for n in range(3) if weights[:, n].abs().max() == 0}
        experts.zero_grad()
        torch.manual_seed(seed)
        experts(maps).square().sum().backward()
        for n, expert in enumerate(experts.experts):
            learned = any(bool(each.grad.abs().max() > 0) for each in expert.parameters())
            assert learned == (n not in dropped)
        seen.add(len(dropped))
    assert seen == {0, 1, 2}  # one stays always


def test_doubt_is_the_closeness_of_the_two_likeliest():
    logits = torch.tensor([[[3.0, 1.0, 2.5], [0.0, -4.0, 5.0]]]).transpose(1, 2)
    assert uncertainty(logits).tolist() == [[-0.5, -5.0]]


def test_training_points_are_mostly_where_classes_meet():
    ramp = torch.linspace(-1, 1, 32)[None, None, None, None].expand(1, 1, 32, 32, 32)
    coarse = torch.cat([8 * ramp, -8 * ramp], 1)
    points = training_points(coarse, 400)
    assert points.shape == (1, 400, 3) and points.abs().max() <= 1
    off = points[0, :, 0].abs()
    assert off[:300].max() < 0.4 and off[300:].max() > 0.8
    assert points[0, :, 1].std() > 0.4


def test_points_are_looked_up_where_they_lie():
    maps = torch.randn(1, 3, 4, 5, 6)
    i, j, k = 2, 3, 1
    point = torch.tensor([[[(i + 0.5) / 6, (j + 0.5) / 5, (k + 0.5) / 4]]]) * 2 - 1
    assert torch.allclose(at_points(maps, point)[0, 0], maps[0, :, k, j, i], atol=1e-6)
    labels = torch.randint(0, 3, (1, 4, 5, 6))
    logits = torch.randn(1, 1, 3)
    wanted = functional.cross_entropy(logits[0], labels[:, k, j, i])
    assert torch.allclose(point_loss(logits, labels, point), wanted)


def test_only_the_least_certain_voxels_are_predicted_anew():
    renderer = PointRenderer(10, 3, 16).eval()
    features, coarse = torch.randn(2, 10, 16, 8, 12), torch.randn(2, 3, 16, 8, 12)
    with torch.no_grad():
        found = rendered(renderer, features, coarse, (16, 8, 12), 50)
    changed = (found != coarse).any(1).flatten(1)
    doubt = uncertainty(coarse).flatten(1)
    for n in range(2):
        assert changed[n].sum() == 50
        assert doubt[n][changed[n]].min() > doubt[n][~changed[n]].max()
    assert torch.equal(found.flatten(2)[:, :, ~changed.any(0)], coarse.flatten(2)[:, :, ~changed.any(0)])


def test_a_coarse_prediction_is_enlarged_step_by_step():
    renderer = PointRenderer(10, 3, 16).eval()
    calls = []
    renderer.register_forward_hook(lambda module, given, found: calls.append(found.shape[1]))
    with torch.no_grad():
        found = rendered(renderer, torch.randn(1, 10, 16, 8, 12), torch.randn(1, 3, 4, 2, 3), (16, 8, 12), 100)
    assert found.shape == (1, 3, 16, 8, 12) and calls == [100, 100]


def test_the_head_finds_a_boundary_that_the_coarse_prediction_blurs():
    """A comb that is finer than the coarse grid; the fine features know it."""
    k, i = torch.arange(16)[:, None, None], torch.arange(12)
    labels = (k >= 6 + 3 * (i // 2 % 2)).long()[None].expand(1, 16, 8, 12).contiguous()
    fine = labels[:, None].float() + 0.05 * torch.randn(1, 1, 16, 8, 12)
    onehot = torch.stack([1.0 - labels, labels.float()], 1)
    coarse = 4 * functional.avg_pool3d(onehot, 4) - 2
    features = fine.expand(1, 4, -1, -1, -1)
    renderer = PointRenderer(4, 2, 32)
    optimizer = torch.optim.Adam(renderer.parameters(), 1e-3)
    for _ in range(100):
        points = training_points(coarse, 256)
        loss = point_loss(renderer(features, coarse, points), labels, points)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        better = rendered(renderer, features, coarse, (16, 8, 12), 600).argmax(1)
    plain = functional.interpolate(coarse, (16, 8, 12), mode="trilinear", align_corners=False).argmax(1)
    missed = (plain != labels).sum()
    assert missed > 50 and (better != labels).sum() < 0.3 * missed


def network(backbone="residual_unet", **arguments):
    settings = {"hidden": 8, "outputs": 10, "units": 12, "points": 64, "rendered": 80, **arguments}
    return build("morse", {"classes": 3, "backbone": backbone, "arguments": BACKBONES[backbone], **settings})


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_a_backbones_pyramid_begins_with_what_its_head_sees(backbone):
    model, x = build(backbone, {"classes": 3, **BACKBONES[backbone]}), torch.randn(1, 1, 16, 8, 12)
    maps = model.pyramid(x)
    assert torch.equal(maps[0], model.features(x)) and torch.equal(model.head(maps[0]), model(x))
    assert [each.shape[1:] for each in maps] == [
        (width, 16 >> level, 8 >> level, 12 >> level) for level, width in enumerate(model.pyramid_widths)
    ]


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_certain_voxels_keep_the_coarse_logits_bit_for_bit(backbone):
    model, x = network(backbone).eval(), torch.randn(2, 1, 16, 8, 12)
    with torch.no_grad():
        found, coarse = model(x), model.backbone(x)
    changed = (found != coarse).any(1).flatten(1)
    doubt = uncertainty(coarse).flatten(1)
    for n in range(2):
        assert int(changed[n].sum()) == 80
        assert doubt[n][changed[n]].min() >= doubt[n][~changed[n]].max()


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_everything_learns_from_map_and_points(backbone):
    from MedAILib.training.cases.batch import Batch
    from MedAILib.training.cases.objectives import make
    from MedAILib.training.losses import DiceCrossEntropy

    model = network(backbone, kept=1.0).train()
    x, target = torch.randn(2, 1, 16, 8, 12), torch.randint(0, 3, (2, 16, 8, 12), dtype=torch.uint8)
    batch = Batch(x, target, (0, 1), ((16, 8, 12),) * 2, 0.0, (4, 7))
    loss = make("rendered", {})(model, batch)
    loss.backward()
    silent = [name for name, each in model.named_parameters() if each.grad is None or not each.grad.abs().max() > 0]
    assert not silent
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout3d):
            module.p = 0.0
    coarse, points, logits = model(x, batch.generator())
    wanted = 0.5 * DiceCrossEntropy()(coarse, target) + point_loss(logits, target, points)
    again = make("rendered", {})(model, batch)
    assert points.shape == (2, 64, 3) and torch.allclose(again, wanted)  # the same step draws the same points


def test_without_points_training_sees_the_coarse_map():
    model, x = network().train(), torch.randn(1, 1, 16, 8, 12)
    assert torch.equal(model(x), model.backbone(x))


def test_experts_drop_out_in_training_alone():
    model, x = network(kept=0.3), torch.randn(1, 1, 16, 8, 12)
    weights = []
    model.experts.gate.register_forward_hook(lambda module, given, found: weights.append(given[0]))
    model.eval()(x)
    model.train()
    for seed in range(6):
        torch.manual_seed(seed)
        model(x, torch.Generator().manual_seed(0))
    silent = [sum(not bool(part.any()) for part in each.chunk(3, 1)) for each in weights]
    assert silent[0] == 0 and max(silent[1:]) == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_engine_runs_it_by_windows(precision):
    options = WindowOptions(patch=(16, 16, 16), overlap=0.5, precision=precision)
    volume = np.random.default_rng(0).normal(size=(1, 20, 17, 13)).astype(np.float32)
    assert predict_labels(network(), volume, options, "cpu").labels.shape == (20, 17, 13)


def test_a_backbone_without_a_pyramid_is_refused():
    with pytest.raises(ModelError, match="no pyramid"):
        build("morse", {"backbone": "pdv_net"})


@pytest.mark.parametrize("name", ["morse-residual-unet", "morse-vnet"])
def test_the_recipes_network_learns_by_its_objective(name):
    from MedAILib.training.cases.batch import Batch
    from MedAILib.training.cases.config import cases_recipe_from
    from MedAILib.training.cases.objectives import make
    from MedAILib.training.config import load_values

    values, file = load_values(name)
    recipe = cases_recipe_from({**values, "training": {**values["training"], "steps": 1}}, file)
    model = build(recipe.network, {**recipe.arguments, "inputs": 2, "classes": 3}).train()
    x, target = torch.randn(2, 2, 32, 16, 16), torch.randint(0, 3, (2, 32, 16, 16), dtype=torch.uint8)
    batch = Batch(x, target, (0, 1), ((32, 16, 16),) * 2, 0.0, (1,))
    make(recipe.objective, recipe.objective_arguments)(model, batch).backward()
    assert model.backbone.head.weight.grad.abs().max() > 0 and model.renderer.last.weight.grad.abs().max() > 0
