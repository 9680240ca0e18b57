"""A linear transform of world points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import GeometryError

_SINGULAR = 1e-6
"""Smallest singular value, absolute and as a part of the largest one."""


def check_matrix(matrix: np.ndarray, name: str = "The transform") -> np.ndarray:
    """Return the matrix as float64 (4, 4), or say what is wrong with it. Reflections and shears are allowed.

    Raises:
        GeometryError: not 4x4, not finite, last row not (0, 0, 0, 1), or singular (it flattens space).
    """
    result = np.array(matrix, dtype=np.float64)
    if result.shape != (4, 4) or not np.isfinite(result).all():
        raise GeometryError(f"{name} is not a finite 4x4 matrix.")
    if not np.allclose(result[3], [0, 0, 0, 1], rtol=0, atol=1e-6):
        raise GeometryError(
            f"{name} is no affine matrix: its last row is {result[3].tolist()} instead of [0, 0, 0, 1]."
        )
    sizes = np.linalg.svd(result[:3, :3], compute_uv=False)
    if sizes[2] < _SINGULAR * max(1.0, sizes[0]):
        raise GeometryError(
            f"{name} is singular: it presses space flat and so cannot be inverted. Choose another transform."
        )
    result[3] = [0, 0, 0, 1]
    return result


@dataclass(frozen=True, eq=False)
class AffineTransform:
    """A matrix that takes fixed world points to moving world points.

    Attributes:
        matrix: float64 (4, 4), fixed RAS mm to moving RAS mm.

    Raises:
        GeometryError: see :func:`check_matrix`.
    """

    matrix: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", check_matrix(self.matrix))

    @property
    def is_identity(self) -> bool:
        """Whether no point within a meter moves by more than a micrometer."""
        return bool(np.allclose(self.matrix, np.eye(4), rtol=0, atol=1e-9))

    @property
    def is_mirroring(self) -> bool:
        """Whether it turns a left hand into a right hand (negative determinant)."""
        return bool(np.linalg.det(self.matrix[:3, :3]) < 0)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Moving RAS mm (n, 3), float64, of fixed points (n, 3)."""
        return np.asarray(points, np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def inverse(self) -> AffineTransform:
        """Moving to fixed."""
        return AffineTransform(np.linalg.inv(self.matrix))
