from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from MedAILib.registration.losses import box_mean, folds, local_correlation, memberships, soft_dice, unevenness
from Unit.registration_tools import texture


def test_an_image_correlates_fully_with_itself_brighter_darker_or_inverted() -> None:
    image = texture()
    for other in (image, 3 * image + 1, 1 - image):
        assert float(local_correlation(image, other, 7)) > 0.98
    assert float(local_correlation(image, texture(seed=5), 7)) < 0.5


def test_an_empty_image_correlates_with_nothing_and_has_a_finite_gradient() -> None:
    empty = torch.zeros(1, 1, 8, 8, 8, requires_grad=True)
    score = local_correlation(texture(8), empty, 5)
    score.backward()
    assert float(score.detach()) < 0.01
    assert empty.grad is not None
    assert torch.isfinite(empty.grad).all()


def test_the_gradient_written_out_is_that_of_the_formula() -> None:
    fixed, mask = texture(9)[:, :, :6, :8], torch.rand(1, 1, 6, 8, 9)
    ours = texture(9, 3)[:, :, :6, :8].requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    both = torch.cat([fixed, theirs, fixed**2, theirs**2, fixed * theirs], 1)
    f, w, ff, ww, fw = box_mean(both, 5).split(1, 1)
    flat = 1e-5
    expected = (fw - f * w) ** 2 / ((ff - f * f).clamp_min(0) + flat) / ((ww - w * w).clamp_min(0) + flat)
    expected = (expected * mask).sum() / mask.sum()
    found = local_correlation(fixed, ours, 5, mask)
    (3 * found).backward()
    (3 * expected).backward()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5 + 1e-3 * float(theirs.grad.abs().max()))


def test_the_window_s_mean_counts_only_what_lies_inside() -> None:
    image = torch.rand(1, 1, 6, 5, 7)
    kernel = torch.ones(1, 1, 3, 3, 3)
    expected = functional.conv3d(image, kernel, padding=1) / functional.conv3d(
        torch.ones_like(image), kernel, padding=1
    )
    assert torch.allclose(box_mean(image, 3), expected, atol=1e-6)
    whole = box_mean(image, 15)
    assert torch.allclose(whole, image.mean((2, 3, 4), keepdim=True).expand_as(image), atol=1e-6)


def test_unevenness_is_zero_for_a_shift_and_grows_as_the_square() -> None:
    generator = torch.Generator().manual_seed(0)
    displacement = torch.randn(1, 3, 6, 6, 6, generator=generator)
    assert float(unevenness(torch.ones_like(displacement))) == 0.0
    assert float(unevenness(3 * displacement)) == pytest.approx(9 * float(unevenness(displacement)), rel=1e-5)
    assert float(unevenness(torch.ones(1, 3, 1, 1, 1))) == 0.0


def test_overlap_is_one_for_equal_labels_and_ignores_absent_classes() -> None:
    labels = torch.zeros(1, 4, 4, 4)
    labels[:, :2] = 1
    ones = memberships(labels, 9)
    assert ones.shape == (1, 8, 4, 4, 4)
    assert float(soft_dice(ones, ones)) == pytest.approx(1.0)
    assert float(soft_dice(ones, ones.flip(2))) == pytest.approx(0.0)
    half = torch.zeros_like(labels)
    half[:, 1:3] = 1
    assert float(soft_dice(ones, memberships(half, 9))) == pytest.approx(0.5)


def test_folds_are_counted_away_from_the_border() -> None:
    displacement = torch.zeros(1, 3, 10, 10, 10)
    assert folds(displacement) == 0
    displacement[0, 2, :, :, 5] = 6.0
    assert folds(displacement) == 36
    border = torch.zeros(1, 3, 10, 10, 10)
    border[0, 2, :, :, 9] = -6.0
    assert folds(border) == 0
