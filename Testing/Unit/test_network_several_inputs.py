"""MagNET and the multi-encoder U-Net: networks for several volumes of one patient."""

from __future__ import annotations

import itertools

import pytest
import torch

from MedAILib.networks import build
from MedAILib.networks.magnet import MagNET, correlation_loss, drawn_subset
from MedAILib.networks.multi_encoder import CascadedPyramid, MultiEncoderUNet
from MedAILib.training.cases.batch import Batch
from MedAILib.training.cases.objectives import make

SMALL = {"size": [32, 32, 32], "width": 16, "heads": 2, "layers": 4, "features": 4, "projection": 8}


def magnet(inputs: int = 4) -> MagNET:
    torch.manual_seed(1)
    network = build("magnet", {**SMALL, "inputs": inputs, "classes": 2})
    assert isinstance(network, MagNET)
    return network


def volumes(count: int = 1, inputs: int = 4, side: int = 32) -> torch.Tensor:
    return torch.randn(count, inputs, side, side, side, generator=torch.Generator().manual_seed(2))


def without(x: torch.Tensor, *channels: int) -> torch.Tensor:
    x = x.clone()
    x[:, list(channels)] = torch.nan
    return x


def lesson_batch(x: torch.Tensor) -> Batch:
    target = (x.nan_to_num().sum(1) > 0).to(torch.uint8)
    return Batch(x, target, tuple(range(len(x))), tuple((32, 32, 32) for _ in x), 0.5, (1, 2, 3))


def test_the_published_size_is_that_of_a_vision_transformer_with_one_encoder_for_all_sequences():
    with torch.device("meta"):
        network = MagNET()
    layer = 12 * 768**2 + 13 * 768
    assert sum(p.numel() for p in network.transformer.layers.parameters()) == 12 * layer
    assert sum(p.numel() for p in network.transformer.embed.parameters()) == 768 * (16**3 + 1)
    with torch.device("meta"):
        more = MagNET(inputs=5)
    assert sum(p.numel() for p in more.parameters()) - sum(p.numel() for p in network.parameters()) == 384 + 1


@pytest.mark.parametrize("kept", [s for n in range(1, 5) for s in itertools.combinations(range(4), n)])
def test_every_subset_of_the_sequences_gives_an_answer(kept):
    network = magnet().eval()
    x = without(volumes(), *(set(range(4)) - set(kept)))
    with torch.no_grad():
        answer = network(x)
    assert answer.shape == (1, 2, 32, 32, 32) and bool(answer.isfinite().all())


def test_the_order_of_the_sequences_does_not_matter():
    network = magnet().eval()
    x = volumes()
    with torch.no_grad():
        torch.testing.assert_close(network(x), network(x[:, [2, 0, 3, 1]]), rtol=1e-4, atol=1e-5)


def test_a_missing_sequence_is_not_a_sequence_of_zeros():
    network = magnet().eval()
    x = volumes()
    zeros = x.clone()
    zeros[:, 1] = 0.0
    with torch.no_grad():
        assert float((network(without(x, 1)) - network(zeros)).abs().max()) > 1e-3


def test_the_encoder_is_not_run_for_a_missing_sequence():
    network = magnet().eval()
    seen = []
    network.transformer.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    with torch.no_grad():
        network(without(volumes(2), 0, 3))
    assert seen == [2, 2]


def test_no_sequence_at_all_is_refused():
    with pytest.raises(ValueError, match="none of the sequences"):
        magnet().eval()(without(volumes(), 0, 1, 2, 3))


def test_each_side_of_the_game_leaves_the_other_alone():
    network = magnet().train()
    lesson = network(volumes(2), torch.tensor([[True, True, False, False], [True, False, True, True]]))
    encoder = list(network.transformer.parameters())
    critic = list(network.discriminator.parameters())
    told = torch.autograd.grad(lesson.told.sum(), encoder + critic, allow_unused=True, retain_graph=True)
    fooled = torch.autograd.grad(lesson.fooled.sum(), encoder + critic, allow_unused=True)
    count = len(encoder)
    assert all(g is None for g in told[:count]) and all(g is not None for g in told[count:])
    assert any(g is not None for g in fooled[:count]) and all(g is None for g in fooled[count:])


def test_the_correlation_loss_is_zero_for_equal_columns_that_have_nothing_in_common():
    columns = torch.linalg.qr(torch.randn(64, 8, generator=torch.Generator().manual_seed(3)))[0]
    centered = torch.linalg.qr(columns - columns.mean(0))[0]
    assert float(correlation_loss(centered, centered)) < 1e-3
    assert float(correlation_loss(centered, -centered)) == pytest.approx(4.0, abs=1e-2)
    assert float(correlation_loss(centered, centered.roll(1, 1))) == pytest.approx(1.0 + 0.2, abs=1e-2)


def test_sequences_are_dropped_as_often_as_the_paper_says():
    generator = torch.Generator().manual_seed(4)
    drawn = [sum(drawn_subset(4, 0.4, generator)) for _ in range(2000)]
    shares = [drawn.count(n) / len(drawn) for n in (4, 3, 2, 1)]
    assert shares == pytest.approx([0.4, 0.2, 0.2, 0.2], abs=0.04)


def test_magnet_learns_from_volumes_that_lack_sequences():
    network = magnet().train()
    objective = make("sequences", {})
    x = without(volumes(2), 3)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = objective(network, lesson_batch(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_an_encoder_for_each_volume_and_one_decoder():
    small = {"classes": 3, "widths": [4, 8, 12, 16, 20]}
    two, five = MultiEncoderUNet(inputs=2, **small), MultiEncoderUNet(inputs=5, **small)
    assert len(five.encoders) == 5
    decoders = [sum(p.numel() for part in (n.ups, n.joins, n.heads) for p in part.parameters()) for n in (two, five)]
    assert decoders[0] == decoders[1]


def test_the_four_stages_answer_in_training_and_the_finest_alone_otherwise():
    network = MultiEncoderUNet(inputs=2, classes=3, widths=[4, 8, 12, 16, 20])
    x = volumes(1, 2)
    assert [tuple(y.shape[1:]) for y in network.train()(x)] == [(3, n, n, n) for n in (32, 16, 8, 4)]
    with torch.no_grad():
        assert network.eval()(x).shape == (1, 3, 32, 32, 32)


def test_a_missing_volume_is_refused_where_all_are_needed():
    network = MultiEncoderUNet(inputs=2, classes=2, widths=[4, 8, 12])
    with pytest.raises(ValueError, match="needs all of them"):
        network(without(volumes(1, 2), 1))


def test_the_pyramid_pools_within_slices_only():
    pyramid = CascadedPyramid(2)
    x = torch.zeros(1, 2, 4, 12, 12)
    y = x.clone()
    y[:, :, 1, 3, 3] = 5.0
    changed = (pyramid(y) - pyramid(x)).abs().amax((0, 1, 3, 4)) > 0
    assert changed.tolist() == [False, True, False, False]


@pytest.mark.slow
def test_two_volumes_that_show_one_half_of_an_object_each_are_worth_more_than_one():
    """Each series shows the object on its own side only; where it does not, there is noise."""
    generator = torch.Generator().manual_seed(5)
    axis = torch.arange(16) - 7.5
    k, j, i = torch.meshgrid(axis, axis, axis, indexing="ij")

    def case() -> tuple[torch.Tensor, torch.Tensor]:
        radii = 3.0 + 3.0 * torch.rand(3, generator=generator)
        inside = (k / radii[0]) ** 2 + (j / radii[1]) ** 2 + (i / radii[2]) ** 2 < 1
        shown = torch.stack([inside & (i < 0), inside & (i >= 0)]).float()
        return shown + 0.4 * torch.randn(shown.shape, generator=generator), inside.to(torch.uint8)

    cases = [case() for _ in range(24)]

    def dice(channels: list[int]) -> float:
        torch.manual_seed(6)
        network = MultiEncoderUNet(inputs=len(channels), classes=2, widths=[6, 12, 16])
        optimizer, objective = torch.optim.Adam(network.parameters(), 5e-3), make("dense", {"weights": [1.0, 0.5]})
        for step in range(40):
            images, targets = zip(*(cases[(2 * step + n) % 16] for n in range(2)), strict=True)
            x = torch.stack(images)[:, channels]
            loss = objective(network.train(), Batch(x, torch.stack(targets), (0, 1), ((16,) * 3,) * 2, 0.5, (step,)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            found = [network.eval()(image[None, channels]).argmax(1)[0] for image, _ in cases[16:]]
        pairs = list(zip(found, (target for _, target in cases[16:]), strict=True))
        return sum(2 * int((a * b).sum()) / int(a.sum() + b.sum()) for a, b in pairs) / len(pairs)

    assert dice([0, 1]) > max(dice([0]), dice([1])) + 0.02
