"""Rigid, similarity and affine registration that does not need the volumes to lie near each other.

Many candidate poses are compared on a very coarse grid, the better ones are refined there by Gauss-Newton steps, and
the survivors go up a pyramid of finer grids. The coarse comparison normalizes by the overlap and charges for overlap
and outlines that are lost, so that a pose in which the volumes hardly meet cannot win.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..image import Image
from ..geometry import spacing_of
from .linear_grids import Grid, box_of, factors_for, factors_to, prepare
from .linear_levels import Frame, Level
from .linear_similarity import Correlation, LocalCorrelation, MutualInformation, Similarity
from .linear_solver import Kind, refine
from .linear_starts import Body, body_of, candidates

Contrast = Literal["same", "different"]

_COARSE, _FINE = 4_500, 400_000
"""Voxels around the subject on the coarsest and the finest grid."""
_KEPT = (24, 6, 2)
"""Candidates that are refined on the coarsest, the second and the later levels."""
MODE=(MutualInformation(),MutualInformation())
DIVERSE = True
_STEPS = (8, 12, 12, 8)


@dataclass(frozen=True)
class LinearResult:
    """What the registration found.

    Attributes:
        matrix: (4, 4), fixed RAS mm to moving RAS mm.
        similarity_start: 0..1 or so, larger is more alike, at the volumes' own positions (or the given start).
        similarity: the same measure at the result.
    """

    matrix: np.ndarray
    similarity_start: float
    similarity: float


def register_linear(
    fixed: Image,
    moving: Image,
    kind: Kind = "affine",
    contrast: Contrast = "same",
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
    start: np.ndarray | None = None,
    landmarks: tuple[np.ndarray, np.ndarray] | None = None,
    device: torch.device | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> LinearResult:
    device = device or torch.device("cpu")
    with torch.inference_mode():
        first, second = prepare(fixed, fixed_mask, device), prepare(moving, moving_mask, device)
        pair = _Pair(first, second, contrast)
        progress(0.1)
        return pair.solve(kind, start, progress)


class _Pair:
    def __init__(self, fixed: Grid, moving: Grid, contrast: Contrast) -> None:
        self.fixed, self.moving, self.contrast = fixed, moving, contrast
        self.boxes = [[side.stop - side.start for side in box_of(grid.subject)] for grid in (fixed, moving)]
        sizes = spacing_of(fixed.affine)
        self.factors = []
        voxels = _COARSE
        while not self.factors or (voxels < 2 * _FINE and max(self.factors[-1]) > 1):
            f = factors_to(sizes, self.boxes[0], min(voxels, _FINE))
            if not self.factors or f != self.factors[-1]:
                self.factors.append(f)
            voxels *= 8
        grids = [self.at(0, 0, 1.0), self.at(1, 0, 1.0)]
        self.bodies = [body_of(grid) for grid in grids]
        self.frame = Frame(self.bodies[0].center, self.bodies[0].radius)

    def at(self, which, n, scale):
        if which == 0:
            return self.fixed.thinned(self.factors[n])
        wanted = float(np.prod(spacing_of(self.fixed.affine)) * np.prod(self.factors[n])) ** (1 / 3)
        return self.moving.thinned(factors_for(spacing_of(self.moving.affine), self.boxes[1], 0.7 * wanted * scale))

    def level(self, n, scale):
        grids = [self.at(0, n, 1.0), self.at(1, n, scale)]
        sim: Similarity
        if self.contrast == "same":
            sim = Correlation() if n == 0 else LocalCorrelation()
        else:
            sim = (MutualInformation(16, 64, 0.04), *MODE)[n]
        return Level(*grids, self.frame, sim)

    def score(self, level, T):
        loss, share, outline = level.fits(T)
        inv = np.linalg.inv(T)
        pts = self.bodies[1].points[::6]
        p = np.einsum("bij,nj->bni", (np.linalg.inv(self.fixed.affine) @ inv)[:, :3], np.c_[pts, np.ones(len(pts))])
        n = np.array(self.fixed.shape[::-1])
        back = ((p > -0.5) & (p < n - 0.5)).all(-1).mean(1)
        w = (0.5, 0.5) if self.contrast == "same" else (0.25, 0.25)
        return loss + w[0] * (1 - np.maximum(share, back)) + w[1] * (1 - outline)

    def solve(self, kind, start, progress):
        self.trace = []
        level = self.level(0, self.bodies[1].radius / self.bodies[0].radius)
        T = candidates(self.bodies[0], self.bodies[1], kind != "rigid", False)
        for n in range(len(self.factors)):
            if n:
                level = self.level(n, float(np.cbrt(np.linalg.det(T[int(loss.argmin()), :3, :3]))))
            s = self.score(level, T)
            kept = self.distinct(T, s, _KEPT[min(n, 2)] if n < len(self.factors) - 1 or n == 0 else 1)
            T = T[kept]
            k = kind if n or kind == "rigid" else "similarity"
            raw = T
            T, loss = refine(level, T, k, _STEPS[min(n, 3)])
            if n == 0 and DIVERSE:
                T = np.concatenate([T, raw])
            self.trace.append((n, level.shape, len(T), float(loss.min())))
            progress(0.1 + 0.9 * (n + 1) / len(self.factors))
        s = self.score(level, T)
        b = int(s.argmin())
        return LinearResult(T[b], 0.0, 1 - float(loss[b]))

    def distinct(self, T, s, count):
        box = self.bodies[0].points[:: max(1, len(self.bodies[0].points) // 50)]
        h = np.c_[box, np.ones(len(box))]
        moved = np.einsum("bij,nj->bni", T[:, :3], h)
        kept = []
        for n in np.argsort(s):
            if all(np.linalg.norm(moved[n] - moved[m], axis=1).mean() > 0.07 * self.bodies[0].radius for m in kept):
                kept.append(int(n))
                if len(kept) == count:
                    break
        return kept
