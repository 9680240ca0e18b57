"""Masks to contours and back."""

from __future__ import annotations

import numpy as np
import torch

from ...errors import ContentError
from .fourier import encoded, points_of, resampled

_SAMPLES = 256
_HOLE = 0.1
"""Share of a filled object that may be a hole; an object with more is a ring."""
_SMALLEST = 6
"""Pixels of an object that can have a contour."""


def contour_of(mask: np.ndarray, orders: int, name: str = "the object") -> torch.Tensor | None:
    """The series (2 + 4 * orders) of the outline of a mask's largest part.

    Args:
        mask: (j, i) bool.
        orders: of the series.
        name: for the error.

    Returns:
        None where there is no part of at least six pixels.

    Raises:
        ContentError: the part is a ring: one contour cannot describe it.
    """
    from skimage.measure import find_contours, label, regionprops

    parts = regionprops(label(mask, connectivity=1))
    if not parts or (largest := max(parts, key=lambda part: part.area)).area < _SMALLEST:
        return None
    if largest.area < (1.0 - _HOLE) * largest.area_filled:
        raise ContentError(
            f"{name} is a ring: {100 - 100 * largest.area / largest.area_filled:.0f} % of it is a hole. A network that "
            "draws one closed contour cannot learn it; choose another network, or a class that includes what is inside."
        )
    top, left, _, _ = largest.bbox
    outline = max(find_contours(np.pad(largest.image_filled, 1).astype(float), 0.5), key=len)[:-1]
    polygon = torch.from_numpy(outline[:, ::-1] + (left - 1, top - 1)).float()
    return encoded(resampled(polygon, _SAMPLES), orders)


def signed_distance(contour: torch.Tensor, height: int, width: int, most: float) -> torch.Tensor:
    """Pixels to a contour (2 + 4 N), positive inside, not beyond ``most``: (height, width)."""
    found = contour.new_full((height, width), -most)
    points = points_of(contour, 128)
    low, high = points.amin(0) - most, points.amax(0) + most
    left, top = (int(each) for each in low.ceil().clamp_min(0))
    right, bottom = min(width, int(high[0].floor()) + 1), min(height, int(high[1].floor()) + 1)
    if right <= left or bottom <= top:
        return found
    y, x = torch.meshgrid(
        torch.arange(top, bottom, device=contour.device),
        torch.arange(left, right, device=contour.device),
        indexing="ij",
    )
    found[top:bottom, left:right] = _to_polygon(torch.stack([x, y], -1).to(contour), points).clamp(-most, most)
    return found


def _to_polygon(places: torch.Tensor, polygon: torch.Tensor) -> torch.Tensor:
    """Signed distance of places (..., 2) to a closed polygon (n, 2)."""
    start, edge = polygon, polygon.roll(-1, 0) - polygon
    to = places[..., None, :] - start
    share = ((to * edge).sum(-1) / edge.square().sum(-1).clamp_min(1e-9)).clamp(0, 1)
    distance = (to - share[..., None] * edge).square().sum(-1).amin(-1).sqrt()
    # Even-odd rule: how many edges does a ray to the right cross?
    above, next_above = to[..., 1] < 0, places[..., None, 1] < (start + edge)[:, 1]
    side = edge[:, 0] * to[..., 1] - edge[:, 1] * to[..., 0]
    crossed = (above != next_above) & ((side > 0) == (edge[:, 1] > 0))
    return torch.where(crossed.sum(-1) % 2 == 1, distance, -distance)
