"""What a scanner does to an image: bias, blur, thick slices, noise, gamma, a cut field of view.

Billot et al. 2023 (SynthSeg), and Billot et al. 2020 for the slice thickness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from ..geometry import Spacing
from .draw import Draw


@dataclass(frozen=True)
class ArtefactSettings:
    """Ranges of the intensity augmentation.

    Attributes:
        bias: largest standard deviation of the logarithm of the bias field.
        blur: largest standard deviation of the isotropic blur, voxels.
        noise: largest standard deviation of the noise, in units of the image's range.
        gamma: standard deviation of the base-2 logarithm of the exponent.
        thick: probability of thick slices along one axis.
        coarse: probability of low resolution along all axes.
        slice_range: slice thickness in mm, from and to.
        cut: probability that the field of view ends inside the head.
    """

    bias: float = 0.5
    blur: float = 0.8
    noise: float = 0.07
    gamma: float = 0.3
    thick: float = 0.4
    coarse: float = 0.1
    slice_range: tuple[float, float] = (2.0, 9.0)
    cut: float = 0.15


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of a (k, j, i) image by ``sigma`` voxels, three taps along each axis."""
    side = math.exp(-0.5 / max(sigma, 1e-3) ** 2)
    middle, side = 1.0 / (1.0 + 2.0 * side), side / (1.0 + 2.0 * side)
    for axis in range(3):
        n = image.shape[axis]
        result = image * middle
        result.narrow(axis, 1, n - 1).add_(image.narrow(axis, 0, n - 1), alpha=side)
        result.narrow(axis, 0, n - 1).add_(image.narrow(axis, 1, n - 1), alpha=side)
        result.narrow(axis, 0, 1).add_(image.narrow(axis, 0, 1), alpha=side)
        result.narrow(axis, n - 1, 1).add_(image.narrow(axis, n - 1, 1), alpha=side)
        image = result
    return image


def thicken(image: torch.Tensor, factors: tuple[float, float, float], smooth: bool) -> torch.Tensor:
    """Average a (k, j, i) image to voxels ``factors`` times as large and bring it back to its grid."""
    size = [max(2, round(n / max(1.0, factor))) for n, factor in zip(image.shape, factors, strict=True)]
    small = functional.interpolate(image[None, None], size, mode="area")
    if smooth:
        return functional.interpolate(small, image.shape, mode="trilinear")[0, 0]
    return functional.interpolate(small, image.shape, mode="nearest")[0, 0]


def lose_resolution(draw: Draw, image: torch.Tensor, settings: ArtefactSettings, spacing: Spacing) -> torch.Tensor:
    """Blur, and sometimes thick slices or an overall low resolution; ``spacing`` (k, j, i) in mm."""
    if draw.chance(0.5):
        image = blur(image, draw.uniform(0.2, settings.blur))
    low, high = settings.slice_range
    if draw.chance(settings.thick):
        factors = [1.0, 1.0, 1.0]
        thickness, axis = draw.uniform(low, high), draw.integer(0, 2)
        factors[axis] = thickness / spacing[axis]
        image = thicken(image, (factors[0], factors[1], factors[2]), draw.chance(0.7))
    elif draw.chance(settings.coarse):
        factor = draw.uniform(1.0, 2.0)
        image = thicken(image, (factor, factor, factor), True)
    return image


def corrupt(draw: Draw, image: torch.Tensor, settings: ArtefactSettings, spacing: Spacing) -> torch.Tensor:
    """Bias field, loss of resolution and noise, in this order; the cut and the gamma are separate.

    Args:
        image: (k, j, i), about 0 to 1.
        spacing: (k, j, i) mm, of the patch.
    """
    if draw.chance(0.8):
        field = draw.smooth_field(image.shape, draw.integer(2, 5)) * draw.uniform(0.0, settings.bias)
        image = image * field.exp_()
    image = lose_resolution(draw, image, settings, spacing)
    if draw.chance(0.8):
        image = image + draw.field(image.shape) * draw.uniform(0.0, settings.noise)
    return image


def cut_box(draw: Draw, shape: tuple[int, ...], probability: float) -> tuple[slice, ...] | None:
    """What remains of the patch when the field of view ends inside it, or None."""
    if not draw.chance(probability):
        return None
    box = [slice(0, n) for n in shape]
    axis = draw.integer(0, 2)
    lost = int(shape[axis] * draw.uniform(0.05, 0.35))
    box[axis] = slice(lost, shape[axis]) if draw.chance(0.5) else slice(0, shape[axis] - lost)
    return tuple(box)
