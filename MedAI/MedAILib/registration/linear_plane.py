"""Two single slices: the plane of each, in which they are registered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image import Image

_UPRIGHT = 1e-3
"""Determinant in the plane below which the planes stand upright on each other."""
_PARALLEL = 0.9
"""Cosine between the normals from which on both planes share their axes."""


@dataclass(frozen=True)
class Plane:
    """Rigid (4, 4) matrices from plane coordinates (x and y in the slice, z along its normal, mm) to RAS mm."""

    fixed: np.ndarray
    moving: np.ndarray

    def inside(self, transform: np.ndarray) -> np.ndarray:
        """A transform of the world (4, 4) as one of plane coordinates, without what leads out of the plane."""
        result = np.linalg.inv(self.moving) @ transform @ self.fixed
        result[2] = [0, 0, 1, 0]
        result[:2, 2] = 0
        if abs(np.linalg.det(result[:2, :2])) < _UPRIGHT:
            result[:2, :2] = np.eye(2)
        return result

    def outside(self, transform: np.ndarray) -> np.ndarray:
        """A transform of plane coordinates (4, 4) as one of the world."""
        return self.moving @ transform @ np.linalg.inv(self.fixed)


def plane_of(fixed: Image, moving: Image) -> Plane | None:
    """The planes of two images of one slice each (k of length 1); None for volumes."""
    if fixed.shape[0] > 1 or moving.shape[0] > 1:
        return None
    one, two = _axes(fixed), _axes(moving)
    if abs(float(one[:, 2] @ two[:, 2])) > _PARALLEL:
        two = one  # a flipped slice lies in the plane as the world has it, not mirrored
    return Plane(_placed(one, fixed), _placed(two, moving))


def _axes(image: Image) -> np.ndarray:
    """(3, 3) rotation: columns along i, nearly along j, and the normal."""
    first = image.affine[:3, 0] / np.linalg.norm(image.affine[:3, 0])
    normal = np.cross(first, image.affine[:3, 1])
    normal /= np.linalg.norm(normal)
    return np.column_stack([first, np.cross(normal, first), normal])


def _placed(axes: np.ndarray, image: Image) -> np.ndarray:
    """The rotation about the middle of the slice."""
    result = np.eye(4)
    result[:3, :3] = axes
    middle = (np.array([*image.shape[::-1], 1.0]) - [1, 1, 1, 0]) / [2, 2, 2, 1]
    result[:3, 3] = (image.affine @ middle)[:3]
    return result
