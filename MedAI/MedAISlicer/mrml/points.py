"""Points of markups."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

Node = Any


def points_from_markups(node: Node, along_curve: bool = False) -> np.ndarray:
    """Defined control points, or the drawn points of a curve, (n, 3) world RAS."""
    if along_curve:
        points = node.GetCurvePointsWorld()
        return vtk_to_numpy(points.GetData()).astype(float) if points is not None else np.zeros((0, 3))
    defined = slicer.vtkMRMLMarkupsNode.PositionDefined
    numbers = [n for n in range(node.GetNumberOfControlPoints()) if node.GetNthControlPointPositionStatus(n) == defined]
    result = np.zeros((len(numbers), 3))
    for row, number in zip(result, numbers, strict=True):
        row[:] = node.GetNthControlPointPositionWorld(number)
    return result


def points_to_markups(node: Node, points: np.ndarray) -> None:
    """Replace all control points by (n, 3) world RAS points; a parent transform of the node is taken into account."""
    values = vtk.vtkPoints()
    values.SetDataTypeToDouble()
    for point in np.asarray(points, float).reshape(-1, 3):
        values.InsertNextPoint(*point)
    node.SetControlPointPositionsWorld(values)
