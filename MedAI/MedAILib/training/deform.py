"""Where each voxel of a training patch looks into a label map: affine and elastic, in one coarse field.

Billot et al. 2023 (SynthSeg, Medical Image Analysis 86): an affine transform with uniform parameters, then a
diffeomorphism that integrates a smooth random stationary velocity field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from ..geometry import Shape, Spacing
from .draw import Draw

STEP = 6  # voxels between the points where the field is computed; between them it is interpolated


@dataclass(frozen=True)
class DeformSettings:
    """Ranges of the spatial augmentation.

    Attributes:
        rotation: largest rotation about each axis, degrees.
        scaling: largest deviation of each axis' scale from 1.
        shearing: largest shear.
        translation: largest shift of the patch from the brain's middle, mm.
        elastic: largest standard deviation of the velocity field, mm.
        flip: probability of a left-right mirror image.
    """

    rotation: float = 20.0
    scaling: float = 0.18
    shearing: float = 0.012
    translation: float = 25.0
    elastic: float = 4.0
    flip: float = 0.5


def rotation_matrix(angles: list[float]) -> torch.Tensor:
    """(3, 3) product of the rotations about the k, j and i axes by ``angles`` radians."""
    result = torch.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [other for other in range(3) if other != axis]
        turn = torch.eye(3)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        result = result @ turn
    return result


def random_affine(draw: Draw, settings: DeformSettings) -> torch.Tensor:
    """(3, 3) matrix over (k, j, i) millimeters: rotation, shear and scale, without a mirror."""
    limit = math.radians(settings.rotation)
    rotation = rotation_matrix([draw.uniform(-limit, limit) for _ in range(3)])
    shear = torch.eye(3) + (1 - torch.eye(3)) * draw.vector(9, -settings.shearing, settings.shearing).reshape(3, 3)
    scale = 1.0 + draw.vector(3, -settings.scaling, settings.scaling)
    return rotation @ shear @ torch.diag(scale)


def integrate(velocity: torch.Tensor, extent: torch.Tensor, squarings: int = 4) -> torch.Tensor:
    """Displacement of a stationary velocity field by scaling and squaring (Arsigny et al. 2006).

    Args:
        velocity: (1, 3, k, j, i), mm, components in (k, j, i) order.
        extent: (3,) half the field's side, mm, from its center to the center of its outermost points.

    Returns:
        Displacement, same shape and unit.
    """
    shape = velocity.shape[2:]
    axes = [torch.linspace(-1, 1, n, device=velocity.device) for n in shape]
    identity = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flip(-1)[None]
    scale = (1.0 / extent.to(velocity.device)).flip(0)
    field = velocity / 2**squarings
    for _ in range(squarings):
        grid = identity + field.permute(0, 2, 3, 4, 1).flip(-1) * scale
        field = field + functional.grid_sample(field, grid, padding_mode="border", align_corners=True)
    return field


def coordinates(
    draw: Draw, settings: DeformSettings, shape: Shape, spacing: Spacing, center: torch.Tensor, flip: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions in the label map, in mm from its voxel 0, of the voxels of a patch.

    Args:
        shape: of the patch.
        spacing: of the patch, mm.
        center: (3,) mm, where the middle of the patch lies before translation and deformation.
        flip: mirror left and right; the caller swaps the labels.

    Returns:
        (3, k, j, i) positions, and the (3, 3) linear part around the patch's middle.
    """
    linear = random_affine(draw, settings)
    if flip:
        linear = torch.diag(torch.tensor([1.0, 1.0, -1.0])) @ linear
    shift = draw.vector(3, -settings.translation, settings.translation)
    coarse = [max(2, math.ceil(n / STEP)) for n in shape]
    extent = torch.tensor([(n - 1) / 2 * mm for n, mm in zip(shape, spacing, strict=True)])
    axes = [torch.linspace(-float(e), float(e), n) for e, n in zip(extent, coarse, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")).to(draw.device)
    device_linear = linear.to(draw.device)
    knots = draw.integer(3, 7)
    velocity = draw.field((1, 3, knots, knots, knots)) * draw.uniform(0.0, settings.elastic)
    velocity = functional.interpolate(velocity, coarse, mode="trilinear", align_corners=True)
    moved = points + integrate(velocity, extent)[0]
    positions = torch.einsum("ab,bkji->akji", device_linear, moved)
    positions += (center + shift).to(draw.device)[:, None, None, None]
    full = functional.interpolate(positions[None], tuple(shape), mode="trilinear", align_corners=True)[0]
    return full, linear
