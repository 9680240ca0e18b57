"""A matrix that hides in a displacement field, taken out of it."""

from __future__ import annotations

import numpy as np

from ..errors import GeometryError
from ..image import Image
from .affine import AffineTransform
from .chain import Transform
from .field import DisplacementField, world_layers
from .grid import Grid

_FITTED = 100_000
"""About how many nodes the matrix is fitted to."""

_WORTH = 0.5
"""The rest must be smaller than the whole by this factor (root mean square), else the field is left as it is."""

_NOTHING_MM = 0.01
"""A rest below this is rounding."""


def split_affine(field: DisplacementField) -> Transform:
    """The same mapping as a smaller field followed by a matrix, where that fits the field much better than none.

    Files often hold a whole registration, matrix and all, as one field. Apart, the rest is small, so it can be inverted
    well; and outside the lattice the matrix goes on, where a field of large displacements would fade to zero. Inside
    the lattice nothing changes, as a matrix and linear interpolation can be exchanged.

    Args:
        field: from fixed to moving.

    Returns:
        (field, matrix), only a matrix if nothing is left, or (field,) as it was.
    """
    points, moved = _nodes(field)
    center = points.mean(axis=0)
    slope, *_ = np.linalg.lstsq(points - center, moved - moved.mean(axis=0), rcond=1e-6)
    if min(field.image.shape) == 1:  # nothing is known about the direction across a single slice
        slope = slope + np.eye(3) - np.linalg.pinv(points - center, rcond=1e-6) @ (points - center)
    matrix = np.eye(4)
    matrix[:3, :3] = slope.T
    matrix[:3, 3] = moved.mean(axis=0) - slope.T @ center
    try:
        affine = AffineTransform(matrix)
    except GeometryError:
        return Transform((field,))
    back = affine.inverse()
    before, after = moved - points, back.points(moved) - points
    if np.linalg.norm(after) > _WORTH * np.linalg.norm(before):
        return Transform((field,))
    rest = _rest(field, back)
    return Transform((affine,) if rest.largest_mm < _NOTHING_MM else (rest, affine))


def _nodes(field: DisplacementField) -> tuple[np.ndarray, np.ndarray]:
    """World points (n, 3) of evenly spread nodes, and where the field takes them."""
    step = max(1, round((np.prod(field.image.shape, dtype=float) / _FITTED) ** (1 / 3)))
    # Steps that keep at least two nodes along each axis that has two.
    steps = [max(1, min(step, n - 1)) for n in field.image.shape]
    chosen = field.image.array[:, :: steps[0], :: steps[1], :: steps[2]]
    affine = field.image.affine @ np.diag([steps[2], steps[1], steps[0], 1.0])
    k, j, i = chosen.shape[1:]
    points = world_layers(Grid((k, j, i), affine), 0, k).reshape(3, -1).T.astype(np.float64)
    return points, points + chosen.reshape(3, -1).T


def _rest(field: DisplacementField, back: AffineTransform) -> DisplacementField:
    """back(x + d(x)) - x at every node."""
    array = np.empty_like(field.image.array)
    matrix = back.matrix.astype(np.float32)
    for k in range(array.shape[1]):
        points = world_layers(field.grid, k, k + 1)
        moved = points + field.image.array[:, k : k + 1]
        array[:, k] = ((matrix[:3, :3] @ moved.reshape(3, -1) + matrix[:3, 3:]).reshape(moved.shape) - points)[:, 0]
    return DisplacementField(Image(array, field.image.affine, field.image.name))
