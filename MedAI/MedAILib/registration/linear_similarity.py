"""How alike two samplings of one grid are, with the derivative by hand.

Each measure takes a fixed (k, j, i) and several warped samplings (b, k, j, i) with weights (b, k, j, i), and gives per
warped sampling a loss (smaller is more alike), the derivative of the loss by each warped value (*force*), and the
expected second derivative (*curvature*, never negative) for Gauss-Newton steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

_EMPTY = 1e-6


@dataclass(frozen=True)
class Likeness:
    """Loss (b,), and, where asked for, force and curvature (b, k, j, i)."""

    loss: torch.Tensor
    force: torch.Tensor | None = None
    curvature: torch.Tensor | None = None


class Correlation:
    """1 - Pearson's correlation over all voxels."""

    def __call__(self, fixed: torch.Tensor, warped: torch.Tensor, weight: torch.Tensor, slopes: bool) -> Likeness:
        share = weight / (weight.sum((1, 2, 3), keepdim=True) + _EMPTY)

        def mean(values: torch.Tensor) -> torch.Tensor:
            return (values * share).sum((1, 2, 3), keepdim=True)

        first, second = fixed - mean(fixed.expand_as(share)), warped - mean(warped)
        power_first, power_second = mean(first * first) + 1e-6, mean(second * second) + 1e-6
        scale = torch.rsqrt(power_first * power_second)
        correlation = mean(first * second) * scale
        loss = 1.0 - correlation.flatten()
        if not slopes:
            return Likeness(loss)
        force = share * (second * (correlation / power_second) - first * scale)
        return Likeness(loss, force, share / power_second)


class LocalCorrelation:
    """1 - the mean correlation in blocks, on two lattices of blocks that are half a block apart.

    Args:
        block: voxels along each side.
        floor: variance (intensities are 0..1) that is added to both sides, so that blocks without structure weigh
            little.
    """

    def __init__(self, block: int = 4, floor: float = 0.03, structure: float = 0.003, signed: bool = True) -> None:
        self.block, self.floor, self.structure, self.signed = block, floor, structure, signed

    def __call__(self, fixed: torch.Tensor, warped: torch.Tensor, weight: torch.Tensor, slopes: bool) -> Likeness:
        shape = warped.shape[1:]
        sides = [min(self.block, length) for length in shape]
        halves = []
        for shift in (0, 1):
            # functional.pad counts from the last axis.
            padding: list[int] = []
            for side, length in zip(sides[::-1], list(shape)[::-1], strict=True):
                before = shift * (side // 2)
                padding += [before, -(length + before) % side]
            padded = [functional.pad(each, padding) for each in (fixed[None], warped, weight)]
            likeness = self._blocks(padded[0], padded[1], padded[2], sides, slopes)
            inside = (
                slice(None),
                *(slice(s // 2 * shift, s // 2 * shift + n) for s, n in zip(sides, shape, strict=True)),
            )
            halves.append((likeness, inside))
        loss = 0.5 * (halves[0][0].loss + halves[1][0].loss)
        if not slopes:
            return Likeness(loss)
        forces = [each.force[inside] for each, inside in halves if each.force is not None]
        curvatures = [each.curvature[inside] for each, inside in halves if each.curvature is not None]
        return Likeness(loss, 0.5 * (forces[0] + forces[1]), 0.5 * (curvatures[0] + curvatures[1]))

    def _blocks(
        self, fixed: torch.Tensor, warped: torch.Tensor, weight: torch.Tensor, sides: list[int], slopes: bool
    ) -> Likeness:
        def mean(values: torch.Tensor) -> torch.Tensor:
            return functional.avg_pool3d(values[:, None], sides, sides)[:, 0]

        def spread(values: torch.Tensor) -> torch.Tensor:
            for axis, side in enumerate(sides):
                values = values.repeat_interleave(side, axis + 1)
            return values

        count = mean(weight)
        inverse = 1.0 / (count + _EMPTY)
        first, second = weight * fixed, weight * warped
        mean_first, mean_second = mean(first) * inverse, mean(second) * inverse
        power_first = (mean(first * fixed) * inverse - mean_first**2).clamp(min=0.0) + 1e-4
        power_second = (mean(second * warped) * inverse - mean_second**2).clamp(min=0.0) + self.floor
        scale = torch.rsqrt(power_first * power_second)
        correlation = (mean(first * warped) * inverse - mean_first * mean_second) * scale
        share = count * self._structure(fixed, mean)
        share = share / (share.sum((1, 2, 3), keepdim=True) + _EMPTY)
        alike = correlation if self.signed else correlation * correlation
        loss = 1.0 - (share * alike).sum((1, 2, 3))
        if not slopes:
            return Likeness(loss)
        if not self.signed:
            share = 2.0 * correlation * share
        per_voxel = share * inverse / math.prod(sides)
        by_first, by_second = per_voxel * scale, per_voxel * correlation / power_second
        offset = spread(by_first * mean_first - by_second * mean_second)
        force = weight * (spread(by_second) * warped - spread(by_first) * fixed + offset)
        stiffness = per_voxel if self.signed else per_voxel * correlation
        return Likeness(loss, force, weight * spread(stiffness / power_second))

    def _structure(self, fixed: torch.Tensor, mean: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        power = (mean(fixed * fixed) - mean(fixed) ** 2).clamp(min=0.0)
        return power / (power + self.structure)


class MutualInformation:
    """1 - 2 I / (H1 + H2): mutual information that does not grow because the overlap shrinks.

    Studholme et al. 1999 (Pattern Recognition 32) normalize by the joint entropy; this form (Maes et al. 1997, IEEE
    TMI 16, entropy correlation coefficient) is a monotonic function of theirs. Counts are integers, so
    the result is the same on every run, also on a GPU; Parzen's smoothing comes after counting.

    Args:
        fixed_bins: intensity steps of the fixed image.
        warped_bins: steps of the warped image; finer, because the derivative is taken along them.
        width: standard deviation of the smoothing, in units of the intensity range.
    """

    def __init__(self, fixed_bins: int = 32, warped_bins: int = 128, width: float = 0.025) -> None:
        self.fixed_bins, self.warped_bins, self.width = fixed_bins, warped_bins, width

    def __call__(self, fixed: torch.Tensor, warped: torch.Tensor, weight: torch.Tensor, slopes: bool) -> Likeness:
        batch, rows, columns = len(warped), self.fixed_bins, self.warped_bins
        position = (fixed * (rows - 1)).round().long()[None] * columns + (warped * (columns - 1)).round().long()
        used = weight > 0.5
        first = torch.arange(batch, device=warped.device).reshape(-1, 1, 1, 1) * (rows * columns)
        # What is not used is counted in one more bin, which keeps the shapes the same on every call.
        cells = torch.where(used, position + first, batch * rows * columns)
        counts = torch.bincount(cells.flatten(), minlength=batch * rows * columns + 1)[:-1]
        total = used.sum((1, 2, 3)).float().clamp(min=1.0).reshape(-1, 1, 1)
        smooth_rows = _smoothing(rows, self.width, warped.device)
        smooth_columns = _smoothing(columns, self.width, warped.device)
        joint = smooth_rows @ (counts.reshape(batch, rows, columns).float() / total) @ smooth_columns.T + 1e-9
        log_joint, by_row, by_column = joint.log(), joint.sum(2, keepdim=True), joint.sum(1, keepdim=True)
        entropy_row = -(by_row * by_row.log()).sum((1, 2), keepdim=True)
        entropy_column = -(by_column * by_column.log()).sum((1, 2), keepdim=True)
        entropies = entropy_row + entropy_column + 1e-6
        shared = entropies + (joint * log_joint).sum((1, 2), keepdim=True)
        loss = 1.0 - (2.0 * shared / entropies).flatten()
        if not slopes:
            return Likeness(loss)
        # The loss changes by d(loss)/d(joint cell); a sample moves between cells along the columns.
        change_shared, change_entropies = log_joint - by_column.log(), -by_column.log()
        by_cell = -2.0 * (change_shared / entropies - shared * change_entropies / entropies**2)
        table = smooth_rows.T @ by_cell @ smooth_columns
        slope = torch.zeros_like(table)
        slope[:, :, 1:-1] = (table[:, :, 2:] - table[:, :, :-2]) * (0.5 * (columns - 1))
        share = used / total[..., None]
        force = slope.flatten()[cells.clamp(max=batch * rows * columns - 1)] * share
        stiffness = _stiffness(joint, by_row) * (2.0 / entropies.flatten(1))
        curvature = share * stiffness.gather(1, (position // columns).flatten(1)).reshape(share.shape)
        return Likeness(loss, force, curvature)


def _stiffness(joint: torch.Tensor, by_row: torch.Tensor) -> torch.Tensor:
    """(b, rows): one over the variance of the warped value where the fixed value is in the row."""
    level = torch.linspace(0.0, 1.0, joint.shape[2], device=joint.device)
    mean = (joint * level).sum(2) / by_row[..., 0]
    variance = (joint * level**2).sum(2) / by_row[..., 0] - mean**2
    return 1.0 / (variance + 2e-3)


def _smoothing(bins: int, width: float, device: torch.device) -> torch.Tensor:
    """(bins, bins) matrix that smooths a histogram; every sample keeps its weight of 1."""
    place = torch.arange(bins, dtype=torch.float32, device=device) / (bins - 1)
    kernel = torch.exp(-0.5 * ((place[:, None] - place[None, :]) / width) ** 2)
    return kernel / kernel.sum(0, keepdim=True)


Similarity = Correlation | LocalCorrelation | MutualInformation
