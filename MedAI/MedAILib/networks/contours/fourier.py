"""Elliptic Fourier descriptors (Kuhl and Giardina 1982), in the convention of Chen et al. 2023 (FFPN), Eq. 1:

``x(t) = Lx + sum a_n sin(2 pi n t / T) + b_n cos(2 pi n t / T)``, ``y(t)`` likewise with Ly, c_n and d_n.

The same contour has many series, one for each point that it may begin at and for each direction. Here it begins where
the first order's ellipse is straight to the right of the center (d_1 = 0, b_1 > 0), and goes from there down the
picture (c_1 > 0), so that series of different contours can be compared number by number. The paper does not say how it
does that.
"""

from __future__ import annotations

import math

import torch

_LEAST = 0.05
"""Smallest size of an order's ellipse that offsets are divided by, as a share of the first one's: a mean of contours
may have next to nothing of a high order."""


def resampled(polygon: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` points (count, 2) at equal distances along a closed polygon (n, 2)."""
    closed = torch.cat([polygon, polygon[:1]])
    lengths = (closed[1:] - closed[:-1]).norm(dim=1)
    along = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    wanted = torch.arange(count, dtype=polygon.dtype, device=polygon.device) * (along[-1] / count)
    edge = (torch.searchsorted(along, wanted, right=True) - 1).clamp(0, len(lengths) - 1)
    share = (wanted - along[edge]) / lengths[edge].clamp_min(1e-9)
    return closed[edge] + share[:, None] * (closed[edge + 1] - closed[edge])


def encoded(points: torch.Tensor, orders: int) -> torch.Tensor:
    """The series (2 + 4 * orders) of points (T, 2) at equal distances along a contour, whichever way they go around."""
    count = len(points)
    x, y = points.unbind(1)
    if float((x * y.roll(-1) - x.roll(-1) * y).sum()) < 0:
        points = points.flip(0)
    angles = _angles(orders, count, points)
    # Projection on sines and cosines; rows (sin, cos), columns (x, y).
    parts = 2 / count * torch.stack([angles.sin(), angles.cos()], 1) @ points
    a, b, c, d = parts[:, 0, 0], parts[:, 1, 0], parts[:, 0, 1], parts[:, 1, 1]
    # Beginning later by the phase phi, where c_1 sin(phi) + d_1 cos(phi) = 0.
    phase = torch.atan2(-d[0], c[0])
    if float(a[0] * phase.sin() + b[0] * phase.cos()) < 0:
        phase = phase + math.pi
    shift = phase * torch.arange(1, orders + 1, dtype=points.dtype, device=points.device)
    sine, cosine = shift.sin(), shift.cos()
    series = [a * cosine - b * sine, a * sine + b * cosine, c * cosine - d * sine, c * sine + d * cosine]
    return torch.cat([points.mean(0), torch.stack(series, 1).flatten()])


def points_of(contours: torch.Tensor, count: int = 64) -> torch.Tensor:
    """Points (..., count, 2), x and y, of contours (..., 2 + 4 N)."""
    location, orders = contours[..., :2], contours[..., 2:].unflatten(-1, (-1, 4))
    angles = _angles(orders.shape[-2], count, contours)
    matrix = orders.unflatten(-1, (2, 2))  # (..., N, (x, y), (sin, cos))
    waves = torch.stack([angles.sin(), angles.cos()], 1).flatten(0, 1)  # (2 N, count)
    return location[..., None, :] + (matrix.transpose(-3, -2).flatten(-2) @ waves).transpose(-2, -1)


def scales(contours: torch.Tensor) -> torch.Tensor:
    """What offsets from contours (..., 2 + 4 N) are divided by: E_x1, E_y1, and for each order its ellipse's width E_x
    twice and height E_y twice."""
    orders = contours[..., 2:].unflatten(-1, (-1, 2, 2))
    sizes = 2 * orders.square().sum(-1).clamp_min(1e-12).sqrt()  # (..., N, (x, y))
    sizes = torch.maximum(sizes, _LEAST * sizes[..., :1, :]).clamp_min(1e-3)
    return torch.cat([sizes[..., 0, :], sizes.repeat_interleave(2, -1).flatten(-2)], -1)


def offsets(contours: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Eq. 2: how contours differ from anchors, both (..., 2 + 4 N), in units of the anchors' ellipses."""
    return (contours - anchors) / scales(anchors)


def moved(anchors: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """The contours that differ from anchors by these :func:`offsets`."""
    return anchors + by * scales(anchors)


def _angles(orders: int, count: int, like: torch.Tensor) -> torch.Tensor:
    """2 pi n t / T, (orders, count)."""
    n = torch.arange(1, orders + 1, dtype=like.dtype, device=like.device)
    return n[:, None] * torch.arange(count, dtype=like.dtype, device=like.device) * (2 * math.pi / count)
