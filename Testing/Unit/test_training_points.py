"""Training by points: half of them near the boundaries of the labels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from MedAILib.errors import UsageError
from MedAILib.training.cases.batch import Batch
from MedAILib.training.cases.objectives import make
from MedAILib.training.losses import DiceCrossEntropy


class Remembering(nn.Module):
    """Says the same at every voxel, and keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(torch.tensor([0.3, -0.2, 0.1]))

    def forward(self, x, voxels):
        self.asked = voxels
        return self.scores[None, :, None].expand(len(x), -1, voxels.shape[1])


def batch(target, seed=0):
    shape = tuple(target.shape[1:])
    return Batch(torch.zeros(len(target), 1, *shape), target, (0,) * len(target), (shape,) * len(target), 0.0, (seed,))


def halves():
    target = torch.zeros(2, 24, 30, 40, dtype=torch.uint8)
    target[:, :, :, 20:] = 2
    return target


def test_half_the_points_lie_near_the_boundary_as_a_normal_distribution():
    points = make("points", {"points": 20000}).draw(halves(), torch.Generator().manual_seed(0))
    assert points.shape == (2, 20000)
    off = (points % 40).float() - 19.5
    near, rest = off[:, :10000], off[:, 10000:]
    assert near.std() == pytest.approx(5.0, rel=0.1) and near.mean().abs() < 0.2
    assert rest.std() == pytest.approx(40 / 12**0.5, rel=0.05)
    assert points.min() >= 0 and points.max() < 24 * 30 * 40


def test_without_a_spread_they_lie_on_the_boundary():
    points = make("points", {"points": 500, "near": 1.0, "spread": 0.0}).draw(halves(), torch.Generator())
    assert set((points % 40).flatten().tolist()) == {19, 20}


def test_a_patch_without_a_boundary_has_its_points_anywhere():
    target = torch.cat([torch.zeros(1, 24, 30, 40, dtype=torch.uint8), halves()[:1]])
    points = make("points", {"points": 5000}).draw(target, torch.Generator().manual_seed(0))
    assert (points[0] % 40).float().std() == pytest.approx(40 / 12**0.5, rel=0.05)


def test_the_loss_is_that_of_the_labels_at_the_points():
    model, target = Remembering(), torch.randint(0, 3, (2, 8, 9, 10), dtype=torch.uint8)
    loss = make("points", {"points": 300})(model, batch(target))
    truth = torch.stack([each.flatten()[asked] for each, asked in zip(target, model.asked, strict=True)])
    logits = model.scores[None, :, None].expand(2, -1, 300)
    assert torch.allclose(loss, DiceCrossEntropy()(logits, truth))
    loss.backward()
    assert model.scores.grad.abs().max() > 0


def test_the_same_step_has_the_same_points():
    objective, model = make("points", {"points": 100}), Remembering()
    asked = []
    for seed in (1, 1, 2):
        objective(model, batch(halves(), seed))
        asked.append(model.asked)
    assert torch.equal(asked[0], asked[1]) and not torch.equal(asked[0], asked[2])


@pytest.mark.parametrize("arguments", [{"points": 0}, {"near": 1.5}, {"spread": -1.0}, {"count": 3}])
def test_settings_without_sense_are_refused(arguments):
    with pytest.raises(UsageError, match='objective "points"'):
        make("points", arguments)
