"""How a patch is changed, so that a network learns from few cases (after nnU-Net, Isensee et al. 2021, suppl. note 4).

Everything follows from a :class:`~MedAILib.training.draw.Draw`. Elastic deformation is left out, as in nnU-Net.
"""

from __future__ import annotations

import math

import torch

from ...geometry import Spacing
from ..artefacts import blur, thicken
from ..deform import rotation_matrix
from ..draw import Draw
from .settings import AugmentationSettings

_FACTOR_SHARE = 0.15
"""Share of the patches with another brightness, and with another contrast."""


def random_matrix(draw: Draw, settings: AugmentationSettings, spacing: Spacing, flat: bool) -> torch.Tensor | None:
    """Where the voxels of a patch lie, as a matrix over voxel offsets (k, j, i) from its middle; None for as they are.

    Args:
        draw: decides.
        settings: ranges and shares.
        spacing: (k, j, i) mm; angles are true angles in space.
        flat: turn and scale within slices only, because they are few and thick.
    """
    turned, scaled = draw.chance(settings.rotated), draw.chance(settings.scaled)
    if not settings.spatial or not (turned or scaled):
        return None
    matrix = torch.eye(3)
    if turned:
        limit = math.radians(settings.rotation)
        angles = [draw.uniform(-limit, limit) for _ in range(3)]
        matrix = rotation_matrix([angles[0], 0.0, 0.0] if flat else angles)
    if scaled:
        low, high = settings.scaling
        # As often smaller as larger, whatever the range.
        size = draw.uniform(low, 1.0) if low < 1.0 and draw.chance(0.5) else draw.uniform(max(low, 1.0), max(high, 1.0))
        matrix = matrix @ torch.diag(torch.tensor([1.0 if flat else size, size, size]))
    mm = torch.diag(torch.tensor(spacing))
    return torch.linalg.inv(mm) @ matrix @ mm


def flipped_axes(draw: Draw, settings: AugmentationSettings, left_right: int) -> list[int]:
    """Axes (0 to 2) of the patch to mirror; ``left_right`` is the one that runs from left to right."""
    if settings.flip == "none":
        return []
    axes = [left_right] if settings.flip == "left-right" else [0, 1, 2]
    return [axis for axis in axes if draw.chance(0.5)]


def change_intensities(draw: Draw, image: torch.Tensor, settings: AugmentationSettings) -> torch.Tensor:
    """Noise, blur, brightness, contrast, low resolution and gamma of each channel for itself.

    Args:
        draw: decides.
        image: (c, k, j, i); a channel that is missing (NaN) stays so.
        settings: ranges and shares.
    """
    return torch.stack([channel if channel.isnan().any() else _changed(draw, channel, settings) for channel in image])


def _changed(draw: Draw, image: torch.Tensor, settings: AugmentationSettings) -> torch.Tensor:
    if draw.chance(settings.noisy):
        image = image + draw.field(image.shape) * (draw.uniform(0.0, settings.noise) * float(image.std()))
    if draw.chance(settings.blurred):
        image = blur(image, draw.uniform(0.5 * settings.blur, settings.blur))
    if draw.chance(_FACTOR_SHARE):
        image = image * (1.0 + draw.uniform(-settings.brightness, settings.brightness))
    if draw.chance(_FACTOR_SHARE):
        mean, low, high = image.mean(), image.min(), image.max()
        factor = 1.0 + draw.uniform(-settings.contrast, settings.contrast)
        image = ((image - mean) * factor + mean).clamp(low, high)
    if draw.chance(settings.coarse):
        zoom = 1.0 / draw.uniform(settings.coarsest, 1.0)
        # An axis of few voxels, such as that of thick slices, is left as it is.
        factors = [zoom if side >= 8 else 1.0 for side in image.shape]
        image = thicken(image, (factors[0], factors[1], factors[2]), True)
    if draw.chance(settings.bent):
        image = _bent(image, draw.uniform(*settings.gamma), draw.chance(0.25))
    return image


def _bent(image: torch.Tensor, exponent: float, inverted: bool) -> torch.Tensor:
    """Gamma within the patch's range, upside down if ``inverted``; mean and standard deviation stay."""
    sign = -1.0 if inverted else 1.0
    values = image * sign
    mean, sd, low = values.mean(), values.std(), values.min()
    extent = (values.max() - low).clamp_min(1e-6)
    values = ((values - low) / extent) ** exponent
    values = (values - values.mean()) / values.std().clamp_min(1e-6) * sd + mean
    return values * sign
