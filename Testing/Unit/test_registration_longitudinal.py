from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from MedAILib.errors import Cancelled, UsageError
from MedAILib.networks.warping import positions, warp
from MedAILib.registration.longitudinal import (
    align_labels,
    consistency_loss,
    focal_loss,
    groupwise_loss,
    pairwise_loss,
    registration_loss,
    segmentation_loss,
)
from MedAILib.registration.losses import folds, soft_dice
from Unit.registration_tools import single_thread

SIDE = 20
STILL = torch.zeros(1, 3, SIDE, SIDE, SIDE)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


def ellipsoids(center: tuple[float, float, float], size: float) -> torch.Tensor:
    """(2, k, j, i): an ellipsoid, and the shell around it."""
    middle = torch.tensor(center).view(3, 1, 1, 1)
    away = (
        (positions((SIDE,) * 3, torch.device("cpu")) - middle) / torch.tensor([1.0, 1.2, 0.9]).view(3, 1, 1, 1)
    ).norm(dim=0)
    inner, outer = (away < size).float(), (away < size + 2.5).float()
    return torch.stack([inner, outer - inner])


@pytest.fixture
def times() -> tuple[torch.Tensor, list[torch.Tensor]]:
    return ellipsoids((9.5, 9.5, 9.5), 4.0), [ellipsoids((10.5, 9.0, 9.5), 5.0), ellipsoids((9.0, 10.5, 9.0), 3.2)]


def test_equal_label_maps_reach_the_lowest_loss() -> None:
    labels = ellipsoids((9.5, 9.5, 9.5), 4.0)[None]
    assert float(pairwise_loss([labels, labels], labels, [STILL, STILL])) == pytest.approx(-2.0, abs=1e-4)
    assert float(groupwise_loss([labels, labels])) == pytest.approx(-2.0, abs=1e-4)
    assert float(registration_loss([labels, labels], labels, [STILL, STILL])) == pytest.approx(-3.0, abs=1e-4)
    assert float(groupwise_loss([labels])) == 0.0


def test_unsmooth_displacements_cost() -> None:
    labels = ellipsoids((9.5, 9.5, 9.5), 4.0)[None]
    rough = torch.randn(STILL.shape, generator=torch.Generator().manual_seed(0))
    assert float(pairwise_loss([labels], labels, [rough])) > float(pairwise_loss([labels], labels, [STILL]))


def test_label_maps_of_several_times_are_aligned_without_folds(
    times: tuple[torch.Tensor, list[torch.Tensor]],
) -> None:
    fixed, moving = times
    seen: list[float] = []
    found = align_labels(fixed, moving, 25, progress=seen.append)
    assert seen[-1] == 1.0
    for labels, displacement in zip(moving, found, strict=True):
        before, after = (
            float(soft_dice(part[None], fixed[None])) for part in (labels, warp(labels[None], displacement[None])[0])
        )
        assert before < 0.75
        assert after > before + 0.1
        assert folds(displacement[None]) == 0


def test_the_groupwise_term_aligns_what_the_fixed_time_does_not_show(
    times: tuple[torch.Tensor, list[torch.Tensor]],
) -> None:
    fixed, moving = times

    def agreement(group_weight: float) -> float:
        found = align_labels(torch.zeros_like(fixed), moving, 20, group_weight)
        first, second = (warp(m[None], d[None]) for m, d in zip(moving, found, strict=True))
        return float(soft_dice(first, second))

    assert agreement(2.0) > agreement(0.0) + 0.1


def test_the_segmentation_is_drawn_toward_the_other_times() -> None:
    truth = ellipsoids((9.5, 9.5, 9.5), 4.0)
    target = (truth[0] + 2 * truth[1]).long()[None]
    logits = torch.zeros(1, 3, SIDE, SIDE, SIDE, requires_grad=True)
    alone, led = segmentation_loss(logits, target), segmentation_loss(logits, target, [truth[None]])
    expected = 0.5 * float(consistency_loss(logits.detach().softmax(1)[:, 1:], [truth[None]]))
    assert float((led - alone).detach()) == pytest.approx(expected, abs=1e-5)
    led.backward()
    assert logits.grad is not None
    inside = truth[0] > 0
    assert float(logits.grad[0, 1][inside].mean()) < 0 < float(logits.grad[0, 0][inside].mean())


def test_a_good_prediction_has_a_low_loss() -> None:
    truth = ellipsoids((9.5, 9.5, 9.5), 4.0)
    target = (truth[0] + 2 * truth[1]).long()[None]
    logits = 20 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    assert float(segmentation_loss(logits, target, [truth[None], truth[None]])) == pytest.approx(-2.0, abs=1e-3)


def test_the_focal_loss_weighs_what_is_known_less_than_cross_entropy_does() -> None:
    logits = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1, 1)
    right, wrong = (torch.full((1, 1, 1, 1), n) for n in (0, 1))
    entropy = [float(torch.nn.functional.cross_entropy(logits, t)) for t in (right, wrong)]
    focal = [float(focal_loss(logits, t)) for t in (right, wrong)]
    assert focal[0] / focal[1] < 0.2 * entropy[0] / entropy[1]
    assert float(focal_loss(logits, right, 0.0)) == pytest.approx(entropy[0])


def test_what_does_not_fit_is_refused_and_a_run_can_be_cancelled(
    times: tuple[torch.Tensor, list[torch.Tensor]],
) -> None:
    fixed, moving = times
    with pytest.raises(UsageError, match="one shape"):
        align_labels(fixed, [moving[0][:, :4]])
    with pytest.raises(UsageError, match="one shape"):
        align_labels(fixed, [])

    def cancel(fraction: float) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        align_labels(fixed, moving, progress=cancel)
