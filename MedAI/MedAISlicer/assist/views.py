"""Where a mouse event happened: what the views of Slicer say, in world RAS."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from .gestures import Plane

View = Any
"""qMRMLSliceWidget or qMRMLThreeDWidget."""

_TOLERANCE = 0.005
"""Of a pick, part of the size of the window."""


def is_slice(view: View) -> bool:
    """Whether this is a slice view."""
    return bool(view.className() == "qMRMLSliceWidget")


def is_space(view: View) -> bool:
    """Whether this is a 3D view."""
    return bool(view.className() == "qMRMLThreeDWidget")


def slice_node(view: View) -> Any:
    """The vtkMRMLSliceNode of a slice view."""
    return view.sliceLogic().GetSliceNode()


def all_views() -> list[View]:
    """The slice and 3D views of the present layout; none while Slicer closes."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return []
    slices = [manager.sliceWidget(name) for name in manager.sliceViewNames()]
    return [*slices, *(manager.threeDWidget(number) for number in range(manager.threeDViewCount))]


class Frame:
    """The place of a slice view.

    Args:
        node: vtkMRMLSliceNode.

    Attributes:
        plane: directions of the view.
        usable: False while the view has no extent.
    """

    def __init__(self, node: Any) -> None:
        matrix = node.GetXYToRAS()
        self._world = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        lengths = np.linalg.norm(self._world[:3, :3], axis=0)
        self.usable = bool(lengths.min() > 1e-9)
        self._view = np.linalg.inv(self._world) if self.usable else np.eye(4)
        directions = self._world[:3, :3] / np.maximum(lengths, 1e-9)
        self.plane = Plane(directions[:, 0], directions[:, 1], directions[:, 2])

    def ras(self, x: float, y: float) -> np.ndarray:
        """The world point (3,) under a pixel."""
        return np.asarray((self._world @ [x, y, 0.0, 1.0])[:3])

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """World points (n, 3) as pixels (n, 2)."""
        return np.asarray((points @ self._view[:3, :3].T + self._view[:3, 3])[:, :2])

    def heights(self, points: np.ndarray) -> np.ndarray:
        """How many millimeters world points (n, 3) lie above the slice, (n,)."""
        return np.asarray((points - self._world[:3, 3]) @ self.plane.normal)

    @property
    def pixel(self) -> float:
        """Size of a pixel, mm."""
        return float(np.linalg.norm(self._world[:3, 0]))


def picked(renderer: Any, x: int, y: int, deeper: float) -> np.ndarray | None:
    """The nearest point (3,) of a surface under a pixel of a 3D view; None where there is none.

    Args:
        renderer: vtkRenderer of the view.
        x, y: pixel.
        deeper: mm that the point is moved away from the viewer, so that it lies in the voxel behind the surface.
    """
    picker = vtk.vtkCellPicker()
    picker.SetTolerance(_TOLERANCE)
    if not picker.Pick(x, y, 0, renderer):
        return None
    camera = renderer.GetActiveCamera()
    eye = np.array(camera.GetPosition())
    positions = picker.GetPickedPositions()
    points = [np.array(positions.GetPoint(number)) for number in range(positions.GetNumberOfPoints())]
    if not points:
        return None
    nearest = min(points, key=lambda point: float(np.linalg.norm(point - eye)))
    away = np.array(camera.GetDirectionOfProjection()) if camera.GetParallelProjection() else nearest - eye
    return np.asarray(nearest + deeper * away / np.linalg.norm(away))
