"""Looks at a registration in the slice views: two volumes over each other, mixed into one, or how the space moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MedAILib.errors import UsageError
from MedAILib.transforms import warp_image

from .. import mrml
from ..compare import COMPARED, Layers, SliceViews, View, gray_range, helper, mixed, needed
from . import quality

Node = Any

_LINES = 24
"""Of the deformed grid along the longest side."""


class Comparison(SliceViews):
    """Shows a registration in all slice views, and afterwards what they showed before.

    Args:
        fit: called when the views show other volumes than before, to bring these into sight.
    """

    def __init__(self, fit: Callable[[], None]) -> None:
        super().__init__(fit)
        self._grid: Node | None = None

    def layers(self, table: Node, view: View) -> Layers:
        """What a view of a result consists of; the deformed grid is a part of the scene besides."""
        fixed = quality.referred(table, quality.FIXED)
        if fixed is None:
            raise UsageError("The fixed volume is no longer in the scene.")
        if view is View.GRID:
            found: Layers = fixed, _registered(table, fixed), 0.5
            transform = needed(table, quality.TRANSFORM, "Transform")
            self._hide_grid()
            self._show_grid(transform, fixed)
        else:
            found = _layers(table, fixed, view)
            self._hide_grid()
        return found

    def stop(self) -> None:
        """Bring back what the views showed before the comparison."""
        self._hide_grid()
        super().stop()

    def forget(self) -> None:
        """Leave the views as they are, e.g. because the scene goes away."""
        self._grid = None
        super().forget()

    def _show_grid(self, transform: Node, fixed: Node) -> None:
        transform.CreateDefaultDisplayNodes()
        display = transform.GetDisplayNode()
        image = mrml.image_from_node(fixed)
        longest = max(n * s for n, s in zip(image.shape, image.spacing, strict=True))
        display.SetVisualizationMode(display.VIS_MODE_GRID)
        display.SetGridSpacingMm(longest / _LINES)
        display.SetGridScalePercent(100)
        display.SetVisibility(True)
        display.SetVisibility2D(True)
        self._grid = display

    def _hide_grid(self) -> None:
        if self._grid is not None:
            self._grid.SetVisibility2D(False)
            self._grid = None


def possible(table: Node | None, view: View) -> str:
    """Why a result cannot be shown in a way, as a sentence; empty if it can."""
    if table is None:
        return "There is no result to look at."
    if quality.referred(table, quality.FIXED) is None:
        return "The fixed volume is no longer in the scene."
    has_transform = quality.referred(table, quality.TRANSFORM) is not None
    if view is View.GRID and not has_transform:
        return "The result has no transform in the scene."
    if view is View.JACOBIAN:
        there = quality.referred(table, quality.JACOBIAN) is not None
        return "" if there else "The result has no Jacobian map in the scene. Choose it as an output."
    has_moving = has_transform and quality.referred(table, quality.MOVING) is not None
    if quality.referred(table, quality.VOLUME) is None and not has_moving:
        return "The result has neither a registered volume nor a transform in the scene."
    return ""


def _layers(table: Node, fixed: Node, view: View) -> Layers:
    if view is View.JACOBIAN:
        return fixed, needed(table, quality.JACOBIAN, "Jacobian map"), 0.5
    registered = _registered(table, fixed)
    if view in (View.FADE, View.FLICKER):
        return fixed, registered, 0.5
    return mixed(table, view, fixed, registered)


def _registered(table: Node, fixed: Node) -> Node:
    """The registered volume; made from the transform where it was no output."""
    node = quality.referred(table, quality.VOLUME)
    if node is not None:
        return node
    transform = needed(table, quality.TRANSFORM, "Transform")
    moving = needed(table, quality.MOVING, "Moving volume")
    if moving.IsA("vtkMRMLSequenceNode"):
        raise UsageError("Choose the registered volume as an output to compare the frames of a sequence.")
    fixed_image = mrml.image_from_node(fixed)
    image = mrml.image_from_node(moving)
    warped = warp_image(image, fixed_image, mrml.transform_from_node(transform, fixed_image))
    low, high = gray_range(warped.array)
    return helper(table, COMPARED, warped, "registered", fixed, (high - low, (high + low) / 2))
