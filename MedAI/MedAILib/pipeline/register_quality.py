"""Figures before and after a registration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..geometry import Spacing, centre_shift
from ..image import Image
from ..registration.request import Pair
from ..registration.summary import MEASURES, MUTUAL_INFORMATION, Change, StructureOverlap
from ..transforms import (
    IDENTITY,
    LabelOverlap,
    Similarity,
    Transform,
    inverse_consistency,
    jacobian_map,
    jacobian_statistics,
    landmark_errors,
    overlap,
    similarity,
    warp_image,
    warp_labels,
)

_JUDGED_VOXELS = 1_000_000


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares the images under any transform, on a grid that is coarse enough to be quick.

    Attributes:
        pair: checked.
        contrast: "same" or "different", which says what similarity decides.
    """

    pair: Pair
    contrast: str

    @cached_property
    def _spacing(self) -> Spacing:
        """Of the comparison: the fixed image's, made coarser until there are at most about a million voxels."""
        fixed, spacing = self.pair.fixed, self.pair.fixed.spacing
        while np.prod(fixed.shape) * np.prod(fixed.spacing) / np.prod(spacing) > _JUDGED_VOXELS:
            least = 2 * min(spacing)
            spacing = (max(spacing[0], least), max(spacing[1], least), max(spacing[2], least))
        return spacing

    @cached_property
    def _fixed(self) -> Image:
        return _coarse(self.pair.fixed, self._spacing)

    @cached_property
    def _moving(self) -> Image:
        return _coarse(self.pair.moving, self._spacing)

    @cached_property
    def _mask(self) -> np.ndarray | None:
        mask = self.pair.fixed_mask
        return None if mask is None else warp_labels(mask, self._fixed, IDENTITY).array != 0

    def similarity(self, transform: Transform) -> Similarity:
        """What the fixed image and the warped moving image have in common, within the masks."""
        warped = warp_image(self._moving, self._fixed, transform)
        mask = self._mask
        if self.pair.moving_mask is not None:
            seen = warp_labels(self.pair.moving_mask, self._fixed, transform).array != 0
            mask = seen if mask is None else mask & seen
        return similarity(self._fixed, warped, mask)

    @property
    def measure(self) -> str:
        """Name of the figure that decides."""
        return MEASURES[self.contrast]

    def score(self, found: Similarity) -> float:
        """That figure; the lowest of all where it cannot be taken."""
        value = found.mutual_information if self.measure == MUTUAL_INFORMATION else found.local_correlation
        return value if np.isfinite(value) else -np.inf


def _coarse(image: Image, spacing: Spacing) -> Image:
    """Means over blocks of voxels, as many along each axis as fit into the spacing; the image's range becomes 0 to 1.

    A last incomplete block is left out.
    """
    counts = [max(1, int(wanted / own + 0.01)) for own, wanted in zip(image.spacing, spacing, strict=True)]
    counts = [min(count, n) for count, n in zip(counts, image.shape, strict=True)]
    low, high = float(image.array.min()), float(image.array.max())
    scale = max(abs(low), abs(high))  # first, because the difference of the largest numbers is none
    array = image.array.astype(np.float32) / np.float32(scale)
    array -= np.float32(low / scale)
    array /= np.float32(high / scale - low / scale)
    for axis, count in enumerate(counts):
        if count > 1:
            lines = np.moveaxis(array, axis, 0)
            lines = lines[: len(lines) // count * count]
            total = lines[::count].copy()
            for first in range(1, count):
                total += lines[first::count]
            total /= count
            array = np.moveaxis(total, 0, axis)
    k, j, i = ((count - 1) / 2 for count in counts)
    affine = centre_shift(image.affine, (k, j, i))
    affine[:3, :3] *= counts[::-1]
    return Image(np.ascontiguousarray(array), affine, image.name)


def overlap_figures(pair: Pair, before: Transform, warped_labels: Image | None) -> dict[str, Any]:
    """Dice and HD95 of the labels that both label maps hold, as attributes of a summary; nothing without labels.

    Args:
        pair: with labels on any grids; they are compared on that of the fixed image.
        before: the start.
        warped_labels: the moving labels under the result, on the fixed image's grid.
    """
    if pair.fixed_labels is None or pair.moving_labels is None or warped_labels is None:
        return {}
    common = np.intersect1d(np.unique(pair.fixed_labels.array), np.unique(pair.moving_labels.array))
    values = [int(value) for value in common if value > 0]
    if not values:
        return {}
    fixed = warp_labels(pair.fixed_labels, pair.fixed, IDENTITY)
    first = overlap(fixed, warp_labels(pair.moving_labels, pair.fixed, before), values)
    last = overlap(fixed, warped_labels, values)
    structures = tuple(
        StructureOverlap(
            one.value,
            pair.label_names.get(one.value, f"Label {one.value}"),
            Change(one.dice, other.dice),
            Change(one.hd95_mm, other.hd95_mm),
        )
        for one, other in zip(first, last, strict=True)
    )
    return {
        "structures": structures,
        "dice": Change(_mean(first, "dice"), _mean(last, "dice")),
        "hd95_mm": Change(_mean(first, "hd95_mm"), _mean(last, "hd95_mm")),
    }


def _mean(rows: Sequence[LabelOverlap], name: str) -> float:
    """Over the structures that have the figure."""
    values = np.array([getattr(row, name) for row in rows], float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def landmark_figures(pair: Pair, before: Transform, after: Transform) -> dict[str, Any]:
    """Landmark errors as attributes of a summary; nothing without landmarks."""
    if pair.points is None:
        return {}
    first, last = landmark_errors(*pair.points, before), landmark_errors(*pair.points, after)
    each = tuple(Change(float(one), float(other)) for one, other in zip(first, last, strict=True))
    return {"landmarks_mm": each, "landmark_mm": Change(float(first.mean()), float(last.mean()))}


def deformation_figures(
    pair: Pair, transform: Transform, inverse: Transform, jacobian: Image | None
) -> dict[str, float]:
    """Folds, volume changes and inverse consistency as attributes of a summary.

    Args:
        pair: with the fixed image whose grid counts.
        transform, inverse: the result.
        jacobian: the determinant's map if it is there already.
    """
    linear = transform.linear
    if linear is not None:
        factor = abs(float(np.linalg.det(linear[:3, :3])))
        return {"jacobian_min": factor, "jacobian_max": factor}
    found = jacobian_statistics(jacobian or jacobian_map(transform, pair.fixed))
    mean, greatest = inverse_consistency(transform, inverse, pair.fixed)
    return {
        "folds_percent": found.folds_percent,
        "sd_log_jacobian": found.sd_log,
        "jacobian_min": found.minimum,
        "jacobian_max": found.maximum,
        "inverse_mean_mm": mean,
        "inverse_max_mm": greatest,
    }
