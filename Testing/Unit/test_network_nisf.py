"""NISF: an image's own latent vector is found from its intensities, and brings its structures along."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from MedAILib.errors import UsageError
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.networks import build
from MedAILib.networks.latent_fit import FitSettings, fit_latent, held_out_cells
from MedAILib.networks.nisf import NISF, Gabor, field_of_view
from MedAILib.training.cases.batch import Batch
from MedAILib.training.cases.objectives import make
from MedAILib.training.cases.objectives.autodecoder import segmentation_loss
from MedAILib.training.config import RECIPES
from Unit.registration_tools import single_thread

SIDE = 16
CASES = 20


@pytest.fixture(autouse=True, scope="module")
def threads():
    with single_thread():
        yield


def ellipsoid(seed, factor=1):
    """One subject: image (1, k, j, i) and classes, optionally on a finer grid over the same field of view."""
    generator = torch.Generator().manual_seed(seed)
    center = (torch.rand(3, generator=generator) - 0.5) * 4
    radii = 3.0 + 3.0 * torch.rand(3, generator=generator)
    places = (torch.arange(SIDE * factor) + 0.5) / factor - 0.5 - 0.5 * (SIDE - 1)
    grid = torch.stack(torch.meshgrid(places, places, places, indexing="ij"), -1)
    distance = ((grid - center) / radii).square().sum(-1)
    image = 0.15 + 0.7 * torch.sigmoid((1 - distance) * 4) + 0.03 * torch.randn(grid.shape[:3], generator=generator)
    return image.clamp(0.01, 1.0)[None], (distance < 1).to(torch.uint8)


def batch_of(seeds, fraction=0.0, pad=0):
    images, labels = zip(*(ellipsoid(seed) for seed in seeds), strict=True)
    sides = (pad,) * 6
    image = torch.nn.functional.pad(torch.stack(images), sides)
    target = torch.nn.functional.pad(torch.stack(labels), sides)
    return Batch(image, target, tuple(seeds), ((SIDE,) * 3,) * len(seeds), fraction, (1, round(1e6 * fraction)))


def trained(count, **arguments):
    torch.manual_seed(0)
    network = NISF(cases=CASES, width=48, layers=3, reach=8.0, voxels=1000, rate=1e-2, **arguments)
    objective, adam = make("autodecoder", {"voxels": 1000}), torch.optim.Adam(network.parameters())
    for step in range(count):
        for group in adam.param_groups:
            group["lr"] = 4e-3 * min(1.0, (step + 1) / 20) * (1.0 - step / count)
        adam.zero_grad()
        generator = torch.Generator().manual_seed(step)
        objective(network, batch_of(torch.randint(CASES, (2,), generator=generator).tolist(), step / count)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)  # as the training loop does
        adam.step()
    return network.eval()


@pytest.fixture(scope="module")
def paper():
    """The paper's network in small: latent vectors begin at zero."""
    with single_thread():
        return trained(250, encoder=False, steps=80)


@pytest.fixture(scope="module")
def descendant():
    """The same with an encoder."""
    with single_thread():
        return trained(250, encoder=True, steps=60)


def dice(logits, truth):
    found, truth = logits.argmax(0) == 1, truth == 1
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def curve(network, image, labels, **settings):
    """Dice at each look of a fit, and the fit."""
    kept, network.fitting = network.fitting, replace(network.fitting, **settings)
    found = []
    fit = network.fit(image, lambda step, latent: found.append(dice(network.draw(latent, image), labels)))
    network.fitting = kept
    return found, fit


NEW = range(100, 103)


def test_fitting_intensities_alone_raises_dice_on_new_subjects(paper):
    before, after = [], []
    for seed in NEW:
        image, labels = ellipsoid(seed)
        before.append(dice(paper.draw(torch.zeros(paper.width), image), labels))
        with torch.no_grad():
            after.append(dice(paper(image[None])[0], labels))
    assert np.mean(after) > 0.85 and np.mean(after) > np.mean(before) + 0.15


def test_the_field_can_be_asked_between_voxels(paper):
    """At twice the resolution the answer is at least as good as the coarse labels repeated."""
    fine, repeated = [], []
    for seed in NEW:
        image, _ = ellipsoid(seed)
        _, truth = ellipsoid(seed, factor=2)
        latent = paper.fit(image).latent
        logits, coarse = paper.draw(latent, image, 2), paper.draw(latent, image)
        assert logits.shape == (2, *truth.shape)
        fine.append(dice(logits, truth))
        repeated.append(dice(coarse.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3), truth))
    assert np.mean(fine) > 0.85 and np.mean(fine) > np.mean(repeated) - 0.005


def test_finer_voxels_lie_within_the_coarse_ones(paper):
    """The middle of 2 x 2 x 2 finer voxels is the coarse voxel's center, so their mean logit is nearly its logit."""
    image, _ = ellipsoid(100)
    latent = paper.fit(image).latent
    coarse, fine = paper.draw(latent, image), paper.draw(latent, image, 2)
    mean = torch.nn.functional.avg_pool3d(fine[None], 2)[0]
    shifted = torch.nn.functional.avg_pool3d(fine[None, :, 1:-1, 1:-1, 1:-1], 2)[0]
    assert (mean - coarse).abs().mean() < 0.2 * (shifted - coarse[:, 1:, 1:, 1:]).abs().mean()


def test_a_long_fit_overfits_and_the_stop_that_sees_no_label_is_near_the_best(paper):
    losses = []
    for seed in NEW:
        image, labels = ellipsoid(seed)
        whole, _ = curve(paper, image, labels, steps=300, rate=5e-2, patience=0)
        _, fit = curve(paper, image, labels, steps=300, rate=5e-2)
        losses.append((max(whole) - whole[-1], max(whole) - dice(paper.draw(fit.latent, image), labels)))
        values = dict(fit.curve)
        assert fit.step < 300 and values[fit.step] == min(values.values())
    late, early = np.mean(losses, axis=0)
    assert late > 0.0  # the curve of the paper's Fig. 2 falls again
    assert early < 0.03


def test_an_encoder_gives_a_start_that_a_short_fit_improves(descendant):
    starts, ends = [], []
    for seed in NEW:
        image, labels = ellipsoid(seed)
        found, fit = curve(descendant, image, labels)
        starts.append(found[0])
        ends.append(dice(descendant.draw(fit.latent, image), labels))
    assert np.mean(ends) > 0.8 and np.mean(ends) > np.mean(starts) + 0.1


def test_cells_held_out_are_whole_even_and_never_seen_by_the_fit():
    indices = torch.cartesian_prod(*(torch.arange(28),) * 3)
    held = held_out_cells(indices)
    assert float(held.float().mean()) == pytest.approx(1 / 7, abs=0.01)
    cells = held.reshape(7, 4, 7, 4, 7, 4).permute(0, 2, 4, 1, 3, 5).reshape(343, 64)
    assert torch.equal(cells.any(1), cells.all(1))
    seen = []

    def spy(latent, coordinates):
        seen.append((latent.requires_grad, coordinates[:, 0].long()))
        return latent.sum() * torch.ones(len(coordinates), 1)

    numbers = torch.arange(len(indices))[:, None].float()
    fit_latent(
        spy, torch.zeros(4), numbers, torch.full((len(indices), 1), 0.7), held, FitSettings(steps=20, voxels=500)
    )
    for fitted, rows in seen:
        assert held[rows].all() if not fitted else not held[rows].any()
    assert {fitted for fitted, _ in seen} == {True, False}


def test_without_patience_every_voxel_is_fitted_and_the_last_step_kept():
    image, _ = ellipsoid(3)
    network = NISF(width=8, layers=1, encoder=False, reach=10.0, steps=12, patience=0)
    fit = network.fit(image)
    assert fit.step == 12 and fit.latent.abs().max() > 0
    assert NISF(width=8, layers=1, encoder=False, steps=0).fit(image).latent.abs().max() == 0


def test_the_weights_are_frozen_while_a_latent_vector_is_fitted(paper):
    before = {name: value.clone() for name, value in paper.state_dict().items()}
    with torch.inference_mode():
        paper(ellipsoid(100)[0][None])
    assert all(torch.equal(before[name], value) for name, value in paper.state_dict().items())
    assert all(parameter.grad is None or parameter.requires_grad for parameter in paper.parameters())


def test_padding_counts_neither_in_training_nor_in_the_fit(paper):
    image, _ = ellipsoid(100)
    padded = torch.nn.functional.pad(image, (3, 2, 0, 5, 4, 4))
    assert field_of_view(padded) == (slice(4, 4 + SIDE), slice(0, SIDE), slice(3, 3 + SIDE))
    assert field_of_view(padded * 0) == tuple(slice(0, side) for side in padded.shape[1:])
    alone, within = paper.segment(image), paper.segment(padded)
    torch.testing.assert_close(within[:, 4 : 4 + SIDE, :SIDE, 3 : 3 + SIDE], alone, atol=1e-4, rtol=1e-4)
    outside = torch.ones(padded.shape[1:], dtype=torch.bool)
    outside[field_of_view(padded)] = False
    assert (within.argmax(0)[outside] == 0).all()
    objective = make("autodecoder", {})
    losses = []
    for pad in (0, 3):
        network = NISF(cases=4, width=16, layers=2, encoder=True).train()
        network.load_state_dict(losses[0][1] if losses else network.state_dict())
        losses.append((objective(network, batch_of([1, 2], pad=pad)), network.state_dict()))
    torch.testing.assert_close(losses[0][0], losses[1][0])


def test_the_engine_runs_it_whatever_the_precision(descendant):
    image, _ = ellipsoid(102)
    with torch.no_grad():
        expected = descendant(image[None])[0].argmax(0).numpy()
    for precision in ("float32", "bfloat16"):
        options = WindowOptions((20, 20, 20), precision=precision)
        found = predict_labels(descendant, image.numpy(), options, "cpu").labels
        assert expected.any() and (found == expected).mean() > 0.999


def test_the_loss_is_the_papers_sum_written_out():
    torch.manual_seed(1)
    network = NISF(cases=4, classes=2, width=16, layers=2, encoder=False).train()
    torch.nn.init.normal_(network.latents.weight)
    batch = batch_of([2, 3])
    expected = 0.0
    for number, case in enumerate(batch.cases):
        everywhere = torch.cartesian_prod(*(torch.arange(SIDE),) * 3).float()
        coordinates = (everywhere - 0.5 * (SIDE - 1)) / 32.0
        latent = network.latents.weight[case]
        features = network.features(latent, coordinates)
        probability = network.classify(features).softmax(1)
        intensity = network.intensity(features).sigmoid()[:, 0]
        truth = torch.stack((batch.target[number] == 0, batch.target[number] == 1)).flatten(1).t().float()
        seen = batch.image[number].flatten()
        seg = -(truth * probability.log() + (1 - truth) * (1 - probability).log()).mean()
        overlap = 2 * (probability * truth).sum(0) / (probability.sum(0) + truth.sum(0))
        img = -(seen * intensity.log() + (1 - seen) * (1 - intensity).log()).mean()
        expected += (seg + (1 - overlap).mean() + 10 * img + 1e-4 * latent.square().mean()) / 2
    expected += 1e-4 * sum(p.square().sum() for p in network.layers.parameters())
    torch.testing.assert_close(make("autodecoder", {})(network, batch), expected, rtol=1e-4, atol=1e-4)


def test_the_first_layer_takes_coordinate_and_latent_vector_together():
    """Computing the latent vector's share once changes nothing; it is the residual of the first layer as well."""
    torch.manual_seed(0)
    network = NISF(width=16, layers=3)
    latent, coordinates = torch.randn(16), torch.randn(9, 3)
    x = torch.cat((coordinates, latent.expand(9, 16)), 1)
    before = latent.expand(9, 16)
    for layer in network.layers:
        a, b = torch.nn.functional.linear(x, layer.project.weight, layer.project.bias).chunk(2, 1)
        x = torch.cos(10.0 * a) * torch.exp(-((1.0 * b) ** 2)) + before
        before = x
    torch.testing.assert_close(network.features(latent, coordinates), x)


def test_the_published_size_is_eight_layers_of_128_and_learns_from_its_start():
    network = NISF()
    assert len(network.layers) == 8 and network.latents.weight.shape[1] == 128
    per_layer = 2 * 128 * (128 + 1)
    assert sum(p.numel() for p in network.layers.parameters()) == 8 * per_layer + 2 * 128 * 3
    features = network.features(torch.zeros(128), torch.rand(500, 3) - 0.5)
    assert 0.2 < float(features.detach().std()) < 5.0
    network.classify(features).square().sum().backward()
    sizes = [float(layer.project.weight.grad.norm()) for layer in network.layers]
    assert min(sizes) > 0.01 * max(sizes)
    assert isinstance(network.layers[0], Gabor)


def test_more_cases_than_latent_vectors_and_other_networks_are_refused():
    with pytest.raises(UsageError, match="latent vectors for 2 cases"):
        make("autodecoder", {})(NISF(cases=2, width=8, layers=1), batch_of([1, 2]))
    with pytest.raises(UsageError, match='network "nisf" alone'):
        make("autodecoder", {})(torch.nn.Identity(), batch_of([1]))
    with pytest.raises(UsageError, match="0 or more"):
        make("autodecoder", {"image": -1.0})


def test_a_class_that_is_absent_does_not_break_the_loss():
    logits, truth = torch.randn(50, 3, requires_grad=True), torch.zeros(50, 3)
    truth[:, 0] = 1.0
    segmentation_loss(logits, truth).backward()
    assert logits.grad.isfinite().all()


def test_the_recipes_network_can_be_built():
    recipe = json.loads((RECIPES / "nisf.json").read_text())
    network = build(recipe["network"]["name"], recipe["network"]["arguments"] | {"inputs": 1, "classes": 3, "cases": 5})
    assert network.latents.num_embeddings == 5
    make(recipe["objective"]["name"], recipe["objective"]["arguments"])
