from __future__ import annotations

import pytest
import torch

from MedAILib.networks.warping import (
    halve,
    integrate,
    positions,
    rescale_displacement,
    warp,
)
from MedAILib.registration.losses import folds
from Unit.registration_tools import bend, texture

CPU = torch.device("cpu")


def test_no_displacement_changes_nothing() -> None:
    image = texture(9)
    assert torch.allclose(warp(image, torch.zeros(1, 3, 9, 9, 9)), image, atol=1e-6)


def test_components_follow_the_axes_and_point_into_the_moving_image() -> None:
    image = torch.rand(1, 2, 5, 6, 7)
    shift = torch.tensor([1.0, 2.0, -3.0]).view(1, 3, 1, 1, 1).expand(1, 3, 5, 6, 7)
    warped = warp(image, shift)
    assert torch.allclose(warped[..., :4, :4, 3:], image[..., 1:, 2:, :4], atol=1e-5)


def test_outside_the_image_its_border_or_zero_is_seen() -> None:
    image = torch.ones(1, 1, 4, 4, 4)
    away = torch.full((1, 3, 4, 4, 4), 50.0)
    assert float(warp(image, away).min()) == 1.0
    assert float(warp(image, away, padding="zeros").max()) == 0.0


@pytest.mark.parametrize("shape", [(8, 12, 6), (5, 7, 20)])
def test_a_displacement_on_another_grid_means_the_same_place(shape: tuple[int, int, int]) -> None:
    """A linear displacement a·(x + ½) in units of the extent is the same function on every grid."""
    before = (10, 6, 8)
    slope = torch.tensor([0.1, -0.2, 0.3]).view(3, 1, 1, 1)
    displacement = (slope * (positions(before, CPU) + 0.5))[None]
    other = rescale_displacement(displacement, shape)
    expected = slope * (positions(shape, CPU) + 0.5)
    inner = (slice(None), *(slice(3, n - 3) if n > 10 else slice(n // 2 - 1, n // 2 + 1) for n in shape))
    assert torch.allclose(other[0][inner], expected[inner], atol=1e-4)


def test_half_the_resolution_is_the_mean_of_eight_voxels() -> None:
    image = torch.rand(1, 1, 8, 4, 6)
    expected = image.reshape(1, 1, 4, 2, 2, 2, 3, 2).mean((3, 5, 7))
    assert torch.allclose(halve(image), expected)
    assert halve(torch.rand(1, 1, 8, 4, 8), 2).shape == (1, 1, 2, 1, 2)


def test_a_velocity_gives_a_displacement_without_folds_that_minus_it_undoes() -> None:
    velocity = bend(20, 3.0)
    there, back = integrate(velocity), integrate(-velocity)
    assert folds(there) == 0
    inner = (..., *(slice(5, -5),) * 3)
    assert float((there + warp(back, there))[inner].abs().max()) < 0.1 * float(there[inner].abs().max())
