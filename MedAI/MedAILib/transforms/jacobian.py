"""How a transform changes local volume, and where it folds space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image import Image
from .chain import PositionSampler, Transform
from .grid import Like, grid_of
from .sampling import in_pieces

BORDER = 2
"""Voxels at each face that the figures leave out, on axes with more than 8 voxels (Learn2Reg's definition)."""


@dataclass(frozen=True)
class JacobianStatistics:
    """Figures of a determinant map, without its border.

    Attributes:
        folds_percent: voxels where space is folded (determinant not above zero), in percent.
        sd_log: standard deviation of the logarithm of the determinant where it is above zero; 0 means that volume
            changes by the same factor everywhere.
        minimum, maximum: of the determinant.
    """

    folds_percent: float
    sd_log: float
    minimum: float
    maximum: float


def jacobian_determinant(positions: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Determinant of the derivative of a mapping that is sampled on a grid.

    Central differences over one voxel to either side, one-sided at the faces; along an axis with a single voxel the
    mapping is taken as unchanged.

    Args:
        positions: (3, k, j, i), where each voxel goes, RAS mm.
        affine: IJK to RAS of the grid.

    Returns:
        (k, j, i) float32.
    """
    step = np.asarray(affine, np.float64)[:3, :3]
    slopes = []
    for axis in range(3):
        if positions.shape[axis + 1] > 1:
            slopes.append(_differences(positions, axis + 1))
        else:
            slopes.append(np.broadcast_to(step[:, 2 - axis, None, None, None].astype(np.float32), positions.shape))
    (a, b, c), (d, e, f), (g, h, i) = slopes
    result = a * (e * i - f * h)
    result -= b * (d * i - f * g)
    result += c * (d * h - e * g)
    # The slopes stand in the order k, j, i; the columns of the affine in the order i, j, k.
    result *= np.float32(-1 / np.linalg.det(step))
    return result


def _differences(array: np.ndarray, axis: int) -> np.ndarray:
    """``np.gradient`` along one axis, without its temporary arrays."""
    array = np.moveaxis(array, axis, 0)
    result = np.empty_like(array)
    np.subtract(array[2:], array[:-2], out=result[1:-1])
    result[1:-1] *= 0.5
    np.subtract(array[1], array[0], out=result[0])
    np.subtract(array[-1], array[-2], out=result[-1])
    return np.moveaxis(result, 0, axis)


def jacobian_map(transform: Transform, like: Like) -> Image:
    """Determinant of the transform's derivative at each voxel of a grid: 2 means that volume doubles on the way to the
    moving image, 0 or less that space is folded there.

    Args:
        transform: fixed to moving.
        like: the grid, usually the fixed image's.

    Returns:
        (k, j, i) float32. Under a mirroring affine part the sign is turned, so that folds are still the voxels at or
        below zero.
    """
    grid = grid_of(like)
    sampler = PositionSampler(transform, grid)
    result = np.empty(grid.shape, np.float32)

    def fill(start: int, stop: int) -> None:
        first, last = max(0, start - 1), min(grid.shape[0], stop + 1)
        determinant = jacobian_determinant(sampler.layers(first, last), grid.affine)
        result[start:stop] = determinant[start - first : stop - first]

    # Thick pieces, as each needs another layer on either side.
    in_pieces(fill, grid.shape[0], grid.shape[1] * grid.shape[2] // 8)
    if transform.is_mirroring:
        result *= -1
    return Image(result, grid.affine, "Jacobian determinant")


def jacobian_statistics(determinant: Image, mask: Image | None = None) -> JacobianStatistics:
    """Folds and evenness of a map from :func:`jacobian_map`.

    Args:
        determinant: (k, j, i).
        mask: only voxels above 0 in it are counted; on the same grid.
    """
    inner = tuple(slice(BORDER, -BORDER) if n > 8 else slice(None) for n in determinant.shape)
    values = determinant.array[inner]
    if mask is not None:
        values = values[mask.array[inner] > 0]
    if values.size == 0:
        return JacobianStatistics(0.0, 0.0, float("nan"), float("nan"))
    good = values[values > 0]
    spread = np.log(np.clip(good, 1e-9, 1e9)).std(dtype=np.float64) if good.size else 0.0
    folds = 100.0 * (values.size - good.size) / values.size
    return JacobianStatistics(folds, float(spread), float(values.min()), float(values.max()))
