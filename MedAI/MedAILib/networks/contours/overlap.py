"""How much of each other two contours cover: ``IoU = PolarIoU * BoxIoU`` (Chen et al. 2023, FFPN, section 2.1)."""

from __future__ import annotations

import math

import torch

from .fourier import points_of

RAYS = 36
"""Directions in which distances from the center are compared, as in PolarMask (Xie et al. 2020)."""
_POINTS = 72


def rays(contours: torch.Tensor) -> torch.Tensor:
    """Distance from the contour's own center in :data:`RAYS` directions, (..., rays), of contours (..., 2 + 4 N): that
    of the sampled point whose direction is nearest."""
    spokes = points_of(contours, _POINTS) - contours[..., None, :2]
    angles = torch.arange(RAYS, dtype=contours.dtype, device=contours.device) * (2 * math.pi / RAYS)
    directions = torch.stack([angles.cos(), angles.sin()], 1)
    lengths = spokes.square().sum(-1).clamp_min(1e-12).sqrt()
    with torch.no_grad():
        nearest = (directions @ (spokes / lengths[..., None]).transpose(-2, -1)).argmax(-1)
    return lengths.gather(-1, nearest)


def polar_iou(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Sum of the smaller over sum of the larger distances of two sets of rays (..., rays)."""
    return torch.minimum(one, other).sum(-1) / torch.maximum(one, other).sum(-1).clamp_min(1e-6)


def boxes(contours: torch.Tensor) -> torch.Tensor:
    """Smallest x, smallest y, largest x, largest y, (..., 4), of contours (..., 2 + 4 N)."""
    points = points_of(contours, _POINTS)
    return torch.cat([points.amin(-2), points.amax(-2)], -1)


def box_iou(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes (..., 4)."""
    sides = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])
    both = sides.clamp_min(0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (one, other)]
    return both / (areas[0] + areas[1] - both).clamp_min(1e-6)


def overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """PolarIoU * BoxIoU of contours (..., 2 + 4 N)."""
    return polar_iou(rays(one), rays(other)) * box_iou(boxes(one), boxes(other))
