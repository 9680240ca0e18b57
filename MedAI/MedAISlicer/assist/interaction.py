"""From the mouse and the keyboard over a view to prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import vtk

from .chosen import Chosen
from .gestures import BOX, LASSO, POINT, STROKE, Gesture
from .marks import Marks
from .views import Frame, View, is_slice, is_space, picked, slice_node

KEYS = {
    "p": POINT,
    "s": STROKE,
    "x": BOX,
    "l": LASSO,
    "n": "sign",
    "plus": "larger",
    "equal": "larger",
    "minus": "smaller",
    "underscore": "smaller",
    "Return": "accept",
    "BackSpace": "discard",
}
"""Key symbol to what it does; those of the Segment Editor and of Slicer's views are others."""

_ZOOM = 1.2
_CLICK_PIXELS = 3
_DEEPER = 0.5
"""Of a voxel: how far behind a surface a click in a 3D view marks."""

Drawn = Callable[[str, np.ndarray, bool, float], None]
"""Receives kind, world points (n, 3), sign and radius of what was drawn."""


class Interaction:
    """Follows the events of all views.

    Args:
        effect: qSlicerSegmentEditorScriptedEffect.
        chosen: tool, sign and brush.
        marks: shows what is being drawn.
        drawn: is told each prompt.
        actions: what the keys do that are about no tool: "sign", "accept", "discard"; False if there was nothing to do.
        voxel: size of a voxel of the volume, mm.
    """

    def __init__(
        self,
        effect: Any,
        chosen: Chosen,
        marks: Marks,
        drawn: Drawn,
        actions: Mapping[str, Callable[[], bool]],
        voxel: Callable[[], float],
    ) -> None:
        self._effect, self._chosen, self._marks = effect, chosen, marks
        self._drawn, self._actions, self._voxel = drawn, actions, voxel
        self._gesture: Gesture | None = None
        self._view: View = None
        self._pressed: tuple[int, int] | None = None

    def process(self, interactor: Any, event: int, view: View) -> bool:
        """Take an event of a view; True if nobody else shall get it."""
        commands = vtk.vtkCommand
        if not is_slice(view) and not is_space(view):
            return False
        if event == commands.KeyPressEvent:
            return self._key(interactor)
        if event in (commands.MouseWheelForwardEvent, commands.MouseWheelBackwardEvent):
            if not interactor.GetShiftKey() or self._chosen.tool != STROKE:
                return False
            self._chosen.scale_radius(_ZOOM if event == commands.MouseWheelForwardEvent else 1.0 / _ZOOM)
            return True
        if is_space(view):
            return self._in_space(interactor, event, view)
        if event == commands.LeftButtonPressEvent:
            return self._press(interactor, view)
        if event == commands.LeftButtonDoubleClickEvent:
            # The second of two quick points; Slicer would make the view larger.
            return not _passes(interactor)
        if event == commands.MouseMoveEvent:
            return self._move(interactor, view)
        if event == commands.LeftButtonReleaseEvent and self._gesture is not None:
            self._release(interactor)
            return True
        if event == commands.LeaveEvent and self._gesture is None:
            self._marks.show(view)
        return False

    def stop(self) -> None:
        """Forget what is being drawn."""
        view, self._gesture, self._view = self._view, None, None
        if view is not None:
            self._marks.show(view)

    def refresh(self, view: View) -> None:
        """Draw a view, with what is being drawn in it."""
        self._marks.show(view, self._gesture if view == self._view else None)

    def _press(self, interactor: Any, view: View) -> bool:
        if _passes(interactor):
            return False
        self._gesture = None
        if not self._allowed():
            # The button came up over the dialog: without a release, no drawing may begin.
            return True
        frame, at = Frame(slice_node(view)), interactor.GetEventPosition()
        self._gesture = Gesture(
            self._chosen.tool, self._positive(interactor), frame.plane, self._radius(), self._chosen.depth
        )
        self._view = view
        self._gesture.move(frame.ras(*at))
        self._show(view, frame.ras(*at))
        return True

    def _in_space(self, interactor: Any, event: int, view: View) -> bool:
        """A click without a drag marks a point on a surface; everything else is left to the camera."""
        if event == vtk.vtkCommand.LeftButtonPressEvent:
            wanted = self._chosen.tool == POINT and not _passes(interactor)
            self._pressed = tuple(interactor.GetEventPosition()) if wanted else None
        elif event == vtk.vtkCommand.LeftButtonReleaseEvent and self._pressed is not None:
            (x, y), pressed, self._pressed = interactor.GetEventPosition(), self._pressed, None
            if max(abs(x - pressed[0]), abs(y - pressed[1])) <= _CLICK_PIXELS:
                at = picked(self._effect.renderer(view), x, y, _DEEPER * self._voxel())
                if at is not None and self._allowed():
                    self._drawn(POINT, at[np.newaxis], self._positive(interactor), 0.0)
        return False

    def _allowed(self) -> bool:
        """Whether the segment is seen, or the user wants to draw on it all the same, without having been asked."""
        return bool(self._effect.confirmCurrentSegmentVisible() == self._effect.ConfirmedWithoutDialog)

    def _positive(self, interactor: Any) -> bool:
        return self._chosen.positive != bool(interactor.GetControlKey())

    def _move(self, interactor: Any, view: View) -> bool:
        at = Frame(slice_node(view)).ras(*interactor.GetEventPosition())
        if self._gesture is not None and view == self._view:
            # A point stays where the button went down.
            if self._gesture.tool != POINT:
                self._gesture.move(at)
            self._show(view, at)
            return True
        if self._chosen.tool == STROKE:
            self._show(view, at)
        return False

    def _release(self, interactor: Any) -> None:
        gesture, view = self._gesture, self._view
        self._gesture, self._view = None, None
        assert gesture is not None
        if gesture.tool != POINT:
            gesture.move(Frame(slice_node(view)).ras(*interactor.GetEventPosition()))
        self._marks.show(view)
        drawn = gesture.drawn()
        if drawn is not None:
            self._drawn(*drawn, gesture.positive, gesture.radius)

    def _show(self, view: View, at: np.ndarray) -> None:
        gesture = self._gesture
        stroke = self._chosen.tool == STROKE if gesture is None else gesture.tool == STROKE
        positive = self._chosen.positive if gesture is None else gesture.positive
        self._marks.show(view, gesture, (at, self._chosen.radius, positive) if stroke else None)

    def _radius(self) -> float:
        return self._chosen.radius if self._chosen.tool == STROKE else 0.0

    def _key(self, interactor: Any) -> bool:
        key = interactor.GetKeySym() or ""
        meaning = KEYS.get(key) or KEYS.get(key.lower())
        if meaning is None or interactor.GetControlKey() or interactor.GetAltKey():
            return False
        if meaning in (POINT, STROKE, BOX, LASSO):
            self._chosen.set("Tool", meaning)
        elif meaning in ("larger", "smaller"):
            if self._chosen.tool != STROKE:
                return False
            self._chosen.scale_radius(_ZOOM if meaning == "larger" else 1.0 / _ZOOM)
        else:
            return self._actions[meaning]()
        return True


def _passes(interactor: Any) -> bool:
    """Whether the user wants something of the view itself: Shift drags it."""
    return bool(interactor.GetShiftKey() or interactor.GetAltKey())
