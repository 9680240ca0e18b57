"""The prompts as the views show them: green for what belongs to the object, red for what does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk

from .gestures import BOX, LASSO, POINT, STROKE, Gesture
from .views import Frame, View, is_slice, slice_node

GREEN, RED = (90, 220, 90), (240, 80, 70)
_POINT_PIXELS = 6.0
_SPACE_PIXELS = 9.0
_CIRCLE = 48
_WIDTH = 2.0


@dataclass(frozen=True, eq=False)
class Mark:
    """A prompt where it is in the world now.

    Attributes:
        kind: of the prompt.
        points: (n, 3) world RAS.
        positive: what it says.
    """

    kind: str
    points: np.ndarray
    positive: bool


class Lines:
    """Colored lines that VTK draws.

    Attributes:
        data: the vtkPolyData.
    """

    def __init__(self) -> None:
        self.data = vtk.vtkPolyData()
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._points, self._lines, self._dots = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkCellArray()
        self._line_colors: list[tuple[int, int, int]] = []
        self._dot_colors: list[tuple[int, int, int]] = []

    def line(self, points: np.ndarray, color: tuple[int, int, int], closed: bool = False) -> None:
        """A line through points (n, 2) or (n, 3)."""
        if len(points) < 2:
            return
        first = self._insert(points)
        numbers = [*range(first, first + len(points)), *([first] if closed else [])]
        self._lines.InsertNextCell(len(numbers))
        for number in numbers:
            self._lines.InsertCellPoint(number)
        self._line_colors.append(color)

    def dots(self, points: np.ndarray, color: tuple[int, int, int]) -> None:
        """Dots at points (n, 2) or (n, 3)."""
        first = self._insert(points)
        for number in range(first, first + len(points)):
            self._dots.InsertNextCell(1)
            self._dots.InsertCellPoint(number)
            self._dot_colors.append(color)

    def show(self) -> None:
        """Draw what was added since :meth:`clear`."""
        colors = vtk.vtkUnsignedCharArray()
        colors.SetNumberOfComponents(3)
        # The cells of a vtkPolyData are counted dots first.
        for color in (*self._dot_colors, *self._line_colors):
            colors.InsertNextTuple3(*color)
        self.data.Initialize()
        self.data.SetPoints(self._points)
        self.data.SetVerts(self._dots)
        self.data.SetLines(self._lines)
        self.data.GetCellData().SetScalars(colors)

    def _insert(self, points: np.ndarray) -> int:
        first = int(self._points.GetNumberOfPoints())
        for point in points:
            self._points.InsertNextPoint(float(point[0]), float(point[1]), float(point[2]) if len(point) > 2 else 0.0)
        return first


class SliceMarks:
    """What one slice view shows.

    Attributes:
        actor: to be added to the view's renderer.
    """

    def __init__(self, view: View) -> None:
        self._view, self.lines = view, Lines()
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self.lines.data)
        self.actor = vtk.vtkActor2D()
        self.actor.SetMapper(mapper)
        self.actor.PickableOff()
        self.actor.GetProperty().SetLineWidth(_WIDTH)

    def draw(
        self, marks: Iterable[Mark], half: float, gesture: Gesture | None, brush: tuple[np.ndarray, float, bool] | None
    ) -> None:
        """Show what lies in the slice.

        Args:
            marks: all prompts.
            half: how far from the slice a prompt may lie, mm.
            gesture: what is being drawn in this view.
            brush: where the mouse is (3,), the radius of the brush in mm, and its sign.
        """
        frame = Frame(slice_node(self._view))
        if not frame.usable:
            return
        self.lines.clear()
        for mark in marks:
            self._mark(mark, frame, half)
        if gesture is not None:
            points, closed = gesture.outline()
            self.lines.line(frame.pixels(points), _color(gesture.positive), closed)
        if brush is not None:
            middle, radius, positive = brush
            self.lines.line(_circle(frame.pixels(middle[np.newaxis])[0], radius / frame.pixel), _color(positive), True)
        self.lines.show()
        self.render()

    def render(self) -> None:
        """Have the view drawn."""
        self._view.sliceView().scheduleRender()

    def _mark(self, mark: Mark, frame: Frame, half: float) -> None:
        heights = frame.heights(mark.points)
        if heights.min() > half or heights.max() < -half:
            return
        at, color = frame.pixels(mark.points), _color(mark.positive)
        if mark.kind == BOX:
            low, high = at.min(0), at.max(0)
            at = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
        elif mark.kind == POINT or len(at) == 1:
            for arm in _arms(at[0], mark.positive):
                self.lines.line(arm, color)
            return
        elif mark.kind == STROKE:
            at = at[np.abs(heights) <= half]
        self.lines.line(at, color, mark.kind in (BOX, LASSO))


class SpaceMarks:
    """What one 3D view shows: a dot for each point that was clicked."""

    def __init__(self, view: View) -> None:
        self._view, self.lines = view, Lines()
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputData(self.lines.data)
        self.actor = vtk.vtkActor()
        self.actor.SetMapper(mapper)
        self.actor.PickableOff()
        self.actor.GetProperty().SetPointSize(_SPACE_PIXELS)

    def draw(self, marks: Iterable[Mark], half: float, gesture: Any = None, brush: Any = None) -> None:
        """Show the points."""
        self.lines.clear()
        for mark in marks:
            if mark.kind == POINT:
                self.lines.dots(mark.points, _color(mark.positive))
        self.lines.show()
        self.render()

    def render(self) -> None:
        """Have the view drawn."""
        self._view.threeDView().scheduleRender()


class Marks:
    """The marks of all views of an editor.

    Args:
        effect: qSlicerSegmentEditorScriptedEffect, which knows the renderers of the views.
    """

    def __init__(self, effect: Any) -> None:
        self._effect = effect
        self._views: dict[View, SliceMarks | SpaceMarks] = {}
        self.marks: list[Mark] = []
        self.half = 0.5

    def of(self, view: View) -> SliceMarks | SpaceMarks | None:
        """Those of a view, made when it is seen for the first time; None for a view that is going away."""
        if view not in self._views:
            renderer = self._effect.renderer(view)
            if renderer is None:
                return None
            fresh = SliceMarks(view) if is_slice(view) else SpaceMarks(view)
            renderer.AddViewProp(fresh.actor)
            self._views[view] = fresh
        return self._views[view]

    def show(
        self, view: View, gesture: Gesture | None = None, brush: tuple[np.ndarray, float, bool] | None = None
    ) -> None:
        """Draw a view."""
        drawn = self.of(view)
        if drawn is not None:
            drawn.draw(self.marks, self.half, gesture, brush)

    @property
    def views(self) -> list[View]:
        """All that are known."""
        return list(self._views)

    def remove(self) -> None:
        """Take everything out of the views."""
        for view, drawn in self._views.items():
            renderer = self._effect.renderer(view)
            if renderer is not None:
                renderer.RemoveViewProp(drawn.actor)
                drawn.render()
        self._views.clear()


def _color(positive: bool) -> tuple[int, int, int]:
    return GREEN if positive else RED


def _arms(at: np.ndarray, positive: bool) -> list[np.ndarray]:
    """The lines of a plus, or of a minus."""
    across = np.array([[-_POINT_PIXELS, 0.0], [_POINT_PIXELS, 0.0]]) + at
    up = np.array([[0.0, -_POINT_PIXELS], [0.0, _POINT_PIXELS]]) + at
    return [across, up] if positive else [across]


def _circle(middle: np.ndarray, radius: float) -> np.ndarray:
    angles = np.linspace(0.0, 2.0 * np.pi, _CIRCLE, endpoint=False)
    return np.asarray(middle + radius * np.stack([np.cos(angles), np.sin(angles)], 1))
