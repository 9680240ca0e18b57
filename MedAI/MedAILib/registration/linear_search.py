"""From many coarse candidates to one fine transform.

The comparison of candidates normalizes by the overlap and charges for overlap and outlines that are lost, so that a
pose in which the volumes hardly meet cannot win.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ..geometry import spacing_of
from .linear_grids import Grid, box_of, factors_for, factors_to
from .linear_levels import Frame, Level
from .linear_similarity import Correlation, LocalCorrelation, MutualInformation, Similarity
from .linear_solver import Kind, refine
from .linear_starts import around, body_of, candidates, nearest_rotation, placed, sized

Contrast = Literal["same", "different"]

_VOXELS = (5_000, 45_000, 400_000)
"""About so many around the fixed subject on the coarse, the middle and the fine grid."""
_SHARPER = 0.7
"""Moving voxels per fixed voxel: the moving volume is read between its voxels, which blurs it."""
_NEAR = 0.07
"""Candidates that move the subject by less than this part of its radius from each other count as one."""
_EQUAL = 0.01
"""Candidates whose scores differ by less are equally likely."""


@dataclass(frozen=True)
class _Stage:
    """One grid.

    Attributes:
        factors: voxels of the fixed base grid per voxel, (k, j, i).
        similarity: the measure.
        kept: candidates that are refined.
        steps: comparisons at most for each.
    """

    factors: list[int]
    similarity: Similarity
    kept: int
    steps: int


class Search:
    """A pair of volumes and the grids on which they are compared.

    Args:
        fixed: from :func:`.linear_grids.prepare`.
        moving: likewise.
        contrast: same or different.
        flat: two slices in the plane z = 0.
    """

    def __init__(self, fixed: Grid, moving: Grid, contrast: Contrast, flat: bool = False) -> None:
        self.fixed, self.moving, self.flat = fixed, moving, flat
        self._lost = 0.5 if contrast == "same" else 0.25
        self._lengths = [[side.stop - side.start for side in box_of(grid.subject)] for grid in (fixed, moving)]
        self.stages = self._planned(contrast)
        coarse = self.stages[0].factors
        self.bodies = (body_of(fixed.thinned(coarse)), body_of(self._thinned_moving(coarse, 1.0)))
        self.frame = Frame(self.bodies[0].center, self.bodies[0].radius)
        self._finest: Level | None = None

    def _planned(self, contrast: Contrast) -> list[_Stage]:
        spacing = spacing_of(self.fixed.affine)
        grids = [factors_to(spacing, self._lengths[0], voxels) for voxels in _VOXELS]
        # A small volume has fewer grids, but always a coarse comparison and a fine one.
        grids = [grids[0], *(grid for before, grid in pairwise(grids) if grid != before)]
        if len(grids) == 1:
            grids = grids * 2
        same = contrast == "same"
        first: Similarity = Correlation() if same else MutualInformation(16, 64, 0.04)
        middle: Similarity = LocalCorrelation() if same else MutualInformation()
        # Blocks keep their size in mm from the middle to the fine grid: smaller ones leave affine steps ill determined.
        finest = LocalCorrelation(block=8 if len(grids) > 2 else 4, signed=same)
        measures = [first, *([middle] * (len(grids) - 2)), finest]
        kept = [24, *([6] * (len(grids) - 2)), 1 if len(grids) > 2 else 4]
        steps = [8, *([14] * (len(grids) - 1))]
        return [_Stage(*each) for each in zip(grids, measures, kept, steps, strict=True)]

    def _thinned_moving(self, factors: list[int], scale: float) -> Grid:
        """The moving volume with voxels that fit those of the fixed grid, once ``scale`` times as large."""
        size = float(np.prod(spacing_of(self.fixed.affine)) * np.prod(factors)) ** (1 / 3)
        wanted = _SHARPER * scale * size
        return self.moving.thinned(factors_for(spacing_of(self.moving.affine), self._lengths[1], wanted))

    def _level(self, stage: _Stage, scale: float) -> Level:
        moving = self._thinned_moving(stage.factors, scale)
        return Level(self.fixed.thinned(stage.factors), moving, self.frame, stage.similarity)

    def run(
        self,
        kind: Kind,
        start: np.ndarray | None = None,
        progress: Callable[[float], None] = lambda fraction: None,
        stages: int | None = None,
    ) -> np.ndarray:
        """The best transform, (4, 4).

        Args:
            kind: what may change.
            start: look around it only.
            progress: receives the done fraction at each step.
            stages: go through so many grids only, from the coarse end.
        """
        scaled = kind != "rigid"
        if start is None:
            poses = candidates(self.bodies[0], self.bodies[1], scaled, self.flat)
        else:
            poses = around(start, self.bodies[0], scaled, self.flat)
        scale = self.bodies[1].radius / self.bodies[0].radius if start is None else _size(start, self.flat)
        plan = self.stages[:stages]
        for number, stage in enumerate(plan):
            level = self._level(stage, scale)
            chosen = poses[self._best(poses, self.scores(level, poses), stage.kept)]
            # On the coarsest grid, twelve numbers follow the noise.
            allowed: Kind = "similarity" if scaled and number == 0 else kind

            def check(done: float = number / len(plan)) -> None:
                progress(done)

            poses, losses = refine(level, chosen, allowed, stage.steps, self.flat, check=check)
            scale = _size(poses[int(losses.argmin())], self.flat)
            if number == 0 and len(plan) > 1:
                # The coarse grid may mislead, so the next one sees the candidates as they were, too.
                poses = np.concatenate([poses, chosen])
            else:
                poses = self._settled(level, poses, kind)
            self._finest = level
        progress(1.0)
        return poses[0]

    def _settled(self, level: Level, poses: np.ndarray, kind: Kind) -> np.ndarray:
        """The best candidate (1, 4, 4), or the mean of those that are nearly as good where that is more alike.

        Breathing, say, leaves a flat valley of nearly equal transforms; its middle is a safer guess than one end.
        """
        scores = self.scores(level, poses)
        best = poses[int(scores.argmin())]
        # Relative to the best, as a start may be sheared, and all steps from it rigid.
        steps = np.linalg.inv(best) @ poses[scores < scores.min() + _EQUAL]
        choice = np.stack([best, best @ mean_of(steps, kind, self.frame.center, self.flat)])
        return choice[[int(level.losses(choice).argmin())]]

    def losses(self, transforms: np.ndarray) -> np.ndarray:
        """The losses (b,) of transforms on the grid that :meth:`run` ended with."""
        assert self._finest is not None
        return self._finest.losses(transforms)

    def scores(self, level: Level, poses: np.ndarray) -> np.ndarray:
        """What candidates (b, 4, 4) are compared by, smaller is better: loss, lost overlap, differing outlines."""
        loss, seen, outline = level.fits(poses)
        points = self.bodies[1].points
        back = (np.linalg.inv(self.fixed.affine) @ np.linalg.inv(poses))[:, :3]
        places = back[:, :, :3] @ points.T + back[:, :, 3:]
        sizes = np.array(self.fixed.shape[::-1], float)[:, None]
        inside = ((places > -0.5) & (places < sizes - 0.5)) | (sizes == 1)
        met = inside.all(1).mean(1)
        return loss + self._lost * (1.0 - np.maximum(seen, met)) + self._lost * (1.0 - outline)

    def _best(self, poses: np.ndarray, scores: np.ndarray, count: int) -> list[int]:
        """The ``count`` best that differ from each other."""
        points = self.bodies[0].points
        points = points[:: max(1, len(points) // 50)]
        moved = poses[:, :3, :3] @ points.T + poses[:, :3, 3:]
        kept: list[int] = []
        for number in np.argsort(scores, kind="stable"):
            far = np.linalg.norm(moved[kept] - moved[number], axis=1).mean(1) > _NEAR * self.bodies[1].radius
            if far.all():
                kept.append(int(number))
                if len(kept) == count:
                    break
        return kept


def mean_of(steps: np.ndarray, kind: Kind, center: np.ndarray, flat: bool) -> np.ndarray:
    """The mean (4, 4) of transforms (n, 4, 4) that lie near each other, of their kind again.

    Args:
        steps: all of the kind.
        kind: rigid ones have a rigid mean, similarities a similarity.
        center: (3,) the point that goes where it goes in the mean.
        flat: see :class:`Search`.
    """
    mean = steps.mean(0)
    if kind == "affine":
        return mean
    scale = 1.0 if kind == "rigid" else _size(mean, flat)
    linear = sized(nearest_rotation(mean[:3, :3]), scale, flat)
    return placed(linear, center, mean[:3, :3] @ center + mean[:3, 3])


def _size(transform: np.ndarray, flat: bool) -> float:
    """How much larger the transform makes things."""
    axes = 2 if flat else 3
    return abs(float(np.linalg.det(transform[:axes, :axes]))) ** (1.0 / axes)
