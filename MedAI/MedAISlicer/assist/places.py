"""From where the user points, in the world, to the volume's own RAS in which prompts are kept, and back.

Kept there, a prompt moves along with the volume when its parent transform is changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from MedAILib.geometry import Shape
from MedAILib.interactive.prompts import Prompt

from .. import mrml

Node = Any

DIGITS = 3
"""Of a millimeter that are kept: the tags of a segment are text."""


def own_points(volume: Node, points: Iterable[Iterable[float]]) -> np.ndarray:
    """World points (n, 3) in the volume's own RAS; its parent transforms may be of any kind."""
    return np.round(_through(volume.TransformPointFromWorld, points), DIGITS)


def world_points(volume: Node, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) of the volume's own RAS in the world."""
    return _through(volume.TransformPointToWorld, points)


def _through(transform: Any, points: Iterable[Iterable[float]]) -> np.ndarray:
    result = [[0.0, 0.0, 0.0] for _ in points]
    for point, moved in zip(points, result, strict=True):
        transform([float(number) for number in point], moved)
    return np.array(result).reshape(-1, 3)


def own_length(volume: Node, near: np.ndarray, length: float) -> float:
    """A length of the world in the volume's own millimeters, on average over the directions.

    Args:
        volume: which may stand under a transform that scales.
        near: (3,) world point around which that is looked at.
        length: mm.
    """
    if volume.GetParentTransformNode() is None or length == 0.0:
        return length
    steps = own_directions(volume, near, np.eye(3))
    return round(length * abs(float(np.linalg.det(steps))) ** (1.0 / 3.0), DIGITS)


def own_directions(volume: Node, near: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Directions (n, 3) of the world in the volume's own RAS, around a world point (3,)."""
    moved = _through(volume.TransformPointFromWorld, [near, *(near + directions)])
    return np.asarray(moved[1:] - moved[0])


def between(volume: Node, segmentation: Node) -> np.ndarray:
    """The volume's own RAS to the segmentation's own RAS, (4, 4).

    Raises:
        GeometryError: they stand under different transforms, of which one is not linear.
    """
    if volume.GetParentTransformNode() is segmentation.GetParentTransformNode():
        return np.eye(4)
    return np.asarray(np.linalg.inv(mrml.world_from_local(segmentation)) @ mrml.world_from_local(volume))


def reaches(prompt: Prompt, shape: Shape, affine: np.ndarray) -> bool:
    """Whether something of a prompt may lie in a volume; the segmenter has the last word.

    Args:
        prompt: in the volume's own RAS.
        shape: (k, j, i).
        affine: voxels to the volume's own RAS.
    """
    voxels = ((prompt.points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T)[:, ::-1]
    beyond = prompt.radius / np.linalg.norm(affine[:3, :3], axis=0)[::-1] + 0.5
    low, high = voxels.min(0) - beyond, voxels.max(0) + beyond
    return bool(((high > 0.0) & (low < np.array(shape) - 1.0 + 1e-9)).all())
