"""Places and transforms that the tests share."""

from __future__ import annotations

from typing import Any

import numpy as np


def rotation(degrees: float, axis: tuple[float, float, float] = (0.3, 1.0, 0.2)) -> np.ndarray:
    """(4, 4) turn around an axis through the origin."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    result = np.eye(4)
    result[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return result


def place(
    spacing: tuple[float, float, float], degrees: float = 0, flips: tuple[int, int, int] = (1, 1, 1)
) -> np.ndarray:
    """IJK-to-RAS with (i, j, k) spacing in mm, flipped axes, turned, and off the origin."""
    affine = rotation(degrees) @ np.diag([*(np.array(spacing) * flips), 1.0])
    affine[:3, 3] = 12.5, -30.25, 41.0
    return affine


PLACES = {
    "plain": np.eye(4),
    "anisotropic": place((0.7, 0.9, 5.0)),
    "flipped": place((1.0, 1.0, 2.0), 0, (-1, -1, 1)),
    "mirrored": place((1.0, 1.0, 2.0), 0, (-1, 1, 1)),
    "oblique": place((0.7, 0.9, 3.0), 25),
    "oblique and flipped": place((1.1, 0.8, 2.0), 40, (1, -1, -1)),
}


def add_transform(scene: Any, matrix: np.ndarray, name: str = "moved") -> Any:
    """A linear transform node."""
    from slicer.util import vtkMatrixFromArray

    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(vtkMatrixFromArray(matrix))
    return node


def add_warp(scene: Any, name: str = "warp") -> Any:
    """A non-linear transform node."""
    import vtk

    warp = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (30, 30, 30)):
        source.InsertNextPoint(*corner)
        target.InsertNextPoint(corner[0], corner[1] + (5 if sum(corner) > 80 else 0), corner[2])
    warp.SetSourceLandmarks(source)
    warp.SetTargetLandmarks(target)
    warp.SetBasisToR()
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    node.SetAndObserveTransformToParent(warp)
    return node
