"""Views without windows: a real slice node, a real renderer, and the events of a mouse."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import slicer
import vtk

SIZE = 200
"""Pixels of each side of a view; a slice view shows half a millimeter in each."""

AXES = {"Axial": ((-1, 0, 0), (0, 1, 0), (0, 0, 1)), "Coronal": ((-1, 0, 0), (0, 0, 1), (0, 1, 0))}
"""To the right, upwards, towards the viewer's back; RAS."""


class View:
    """Base of the views."""

    def __init__(self, node: Any) -> None:
        self.node, self.renderer = node, vtk.vtkRenderer()
        self.renders = 0

    def scheduleRender(self) -> None:
        self.renders += 1


class SliceView(View):
    """A qMRMLSliceWidget.

    Args:
        orientation: a key of :data:`AXES`.
        center: RAS mm.
    """

    def __init__(self, orientation: str = "Axial", center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        node = slicer.vtkMRMLSliceNode()
        node.SetName(orientation)
        for column, direction in enumerate(AXES[orientation]):
            for row, number in enumerate(direction):
                node.GetSliceToRAS().SetElement(row, column, number)
        node.SetDimensions(SIZE, SIZE, 1)
        node.SetFieldOfView(0.5 * SIZE, 0.5 * SIZE, 1.0)
        node.JumpSliceByCentering(*center)
        node.UpdateMatrices()
        super().__init__(node)

    def className(self) -> str:
        return "qMRMLSliceWidget"

    def sliceLogic(self) -> Any:
        return SimpleNamespace(GetSliceNode=lambda: self.node)

    def sliceView(self) -> Any:
        return self

    def pixel(self, ras: Any) -> tuple[int, int]:
        """The pixel over a world point."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), inverse)
        x, y = inverse.MultiplyPoint((*ras, 1.0))[:2]
        return round(x), round(y)


class SpaceView(View):
    """A qMRMLThreeDWidget that is looked into from the front."""

    def __init__(self) -> None:
        super().__init__(slicer.vtkMRMLViewNode())
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetSize(SIZE, SIZE)
        self.window.AddRenderer(self.renderer)

    def className(self) -> str:
        return "qMRMLThreeDWidget"

    def threeDView(self) -> Any:
        return self


class LayoutManager:
    """The views that are open."""

    def __init__(self, slices: list[SliceView], spaces: list[SpaceView] | None = None) -> None:
        self._slices, self._spaces = slices, spaces or []

    def sliceViewNames(self) -> list[str]:
        return [view.node.GetName() for view in self._slices]

    def sliceWidget(self, name: str) -> SliceView:
        return next(view for view in self._slices if view.node.GetName() == name)

    @property
    def threeDViewCount(self) -> int:
        return len(self._spaces)

    def threeDWidget(self, number: int) -> SpaceView:
        return self._spaces[number]


class Interactor:
    """The vtkRenderWindowInteractor of an event."""

    def __init__(self, at: tuple[int, int] = (0, 0), key: str = "", shift: bool = False, control: bool = False) -> None:
        self._at, self._key, self._shift, self._control = at, key, shift, control

    def GetEventPosition(self) -> tuple[int, int]:
        return self._at

    def GetKeySym(self) -> str:
        return self._key

    def GetShiftKey(self) -> int:
        return int(self._shift)

    def GetControlKey(self) -> int:
        return int(self._control)

    def GetAltKey(self) -> int:
        return 0
