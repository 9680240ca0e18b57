"""Rigid, similarity and affine registration that does not need the volumes to lie near each other.

Many candidate poses are compared on a very coarse grid, the better ones are refined there by Gauss-Newton steps, and
the survivors go up a pyramid of finer grids. The coarse comparison normalizes by the overlap and charges for overlap
and outlines that are lost, so that a pose in which the volumes hardly meet cannot win.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..image import Image
from ..spatial import resample
from .linear_grids import prepare
from .linear_landmarks import fit_points
from .linear_plane import plane_of
from .linear_search import Contrast, Search
from .linear_solver import Kind

_PREPARED = 0.1
"""Share of the time until both volumes are ready."""


@dataclass(frozen=True)
class LinearResult:
    """What the registration found.

    Attributes:
        matrix: (4, 4), fixed RAS mm to moving RAS mm.
        similarity_start: at the given start, or where the headers put the volumes; at most 1, larger is more alike.
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
    rough: bool = False,
    device: torch.device | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> LinearResult:
    """Find the linear transform that lays the moving volume over the fixed one.

    Args:
        fixed, moving: (k, j, i), finite, not constant; any grids. Two single slices are registered in their plane.
        kind: "rigid", "similarity" or "affine".
        contrast: "same" compares by correlation, "different" by mutual information.
        fixed_mask, moving_mask: label maps on any grid; only what lies where they are not 0 is compared.
        start: (4, 4), fixed RAS mm to moving RAS mm; the search stays around it. None: everywhere.
        landmarks: fixed and moving points (n, 3), RAS mm, n of 3 or more; the search begins around their fit.
        rough: leave out the finest grid, which a deformable registration that follows makes up for.
        device: where it runs; the CPU by default.
        progress: gets the fraction done, 0 to 1; may raise Cancelled.

    Raises:
        ContentError: a mask marks nothing.
    """
    device = device or torch.device("cpu")
    with torch.inference_mode():
        first = prepare(fixed, _on_grid_of(fixed, fixed_mask), device)
        second = prepare(moving, _on_grid_of(moving, moving_mask), device)
        progress(_PREPARED)
        here = np.eye(4) if start is None else np.asarray(start, float)
        known = start if landmarks is None else fit_points(*landmarks, kind)
        plane = plane_of(fixed, moving)
        if plane is not None:
            first = replace(first, affine=np.linalg.inv(plane.fixed) @ first.affine)
            second = replace(second, affine=np.linalg.inv(plane.moving) @ second.affine)
            here = plane.inside(here)
            known = None if known is None else plane.inside(known)
        search = Search(first, second, contrast, plane is not None)
        # A small volume has two grids, of which the first one allows no shear.
        stages = max(2, len(search.stages) - 1) if rough else None
        found = search.run(kind, known, lambda fraction: progress(_PREPARED + (1 - _PREPARED) * fraction), stages)
        before, after = search.losses(np.stack([here, found]))
        matrix = found if plane is None else plane.outside(found)
        return LinearResult(matrix, 1 - float(before), 1 - float(after))


def _on_grid_of(image: Image, mask: Image | None) -> Image | None:
    if mask is None or (mask.shape == image.shape and np.allclose(mask.affine, image.affine, atol=1e-6)):
        return mask
    return resample(mask, image.shape, image.affine)
