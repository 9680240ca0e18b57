"""Looks at a registration in the slice views: two volumes over each other, mixed into one, or how the space moved."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import slicer

from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAILib.transforms import IDENTITY, warp_image

from .. import mrml
from . import quality

Node = Any

COMPARED, MIXED, SUBTRACTED = "MedAI.Compared", "MedAI.Checkerboard", "MedAI.Difference"
"""References of the quality table to the volumes that the views need; they are renewed instead of piled up."""

FULL = 100.0
"""The range of gray values to which both volumes are brought: percent."""

_SQUARES = 8
"""Along the longest side of the volume."""
_LINES = 24
"""Of the deformed grid along the longest side."""


class View(Enum):
    """Ways to compare."""

    FADE = "fade"
    FLICKER = "flicker"
    CHECKERBOARD = "checkerboard"
    DIFFERENCE = "difference"
    GRID = "grid"
    JACOBIAN = "jacobian"


class Comparison:
    """Shows a result in all slice views, and afterwards what they showed before.

    Args:
        fit: called when the views show other volumes than before, to bring these into sight.
    """

    def __init__(self, fit: Callable[[], None]) -> None:
        self._fit = fit
        self._before: dict[str, tuple[str | None, str | None, float]] = {}
        self._grid: Node | None = None
        self.view: View | None = None

    def show(self, table: Node, view: View) -> None:
        """Show a result.

        Args:
            table: of the result.
            view: how.

        Raises:
            UsageError: a node of the result that the view needs is not there; the message says which.
        """
        fixed = quality.referred(table, quality.FIXED)
        if fixed is None:
            raise UsageError("The fixed volume is no longer in the scene.")
        if view is View.GRID:
            background, foreground = fixed, _registered(table, fixed)
            self._hide_grid()
            self._show_grid(_needed(table, quality.TRANSFORM, "Transform"), fixed)
            opacity = 0.5
        else:
            background, foreground, opacity = _layers(table, fixed, view)
            self._hide_grid()
        self._remember()
        changed = any(composite.GetBackgroundVolumeID() != background.GetID() for composite in _composites())
        slicer.util.setSliceViewerLayers(
            background=background, foreground=foreground, foregroundOpacity=opacity if foreground is not None else 0.0
        )
        self.view = view
        if changed:
            self._fit()

    def set_opacity(self, opacity: float) -> None:
        """How much of the registered volume is seen, 0 to 1."""
        slicer.util.setSliceViewerLayers(foregroundOpacity=opacity)

    def stop(self) -> None:
        """Bring back what the views showed before the comparison."""
        self._hide_grid()
        for composite in _composites():
            if composite.GetID() in self._before:
                background, foreground, opacity = self._before[composite.GetID()]
                composite.SetBackgroundVolumeID(background)
                composite.SetForegroundVolumeID(foreground)
                composite.SetForegroundOpacity(opacity)
        self.forget()

    def forget(self) -> None:
        """Leave the views as they are, e.g. because the scene goes away."""
        self._before, self._grid, self.view = {}, None, None

    def _remember(self) -> None:
        if self.view is None:
            self._before = {
                composite.GetID(): (
                    composite.GetBackgroundVolumeID(),
                    composite.GetForegroundVolumeID(),
                    composite.GetForegroundOpacity(),
                )
                for composite in _composites()
            }

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


def drop_helpers(table: Node) -> None:
    """Remove the volumes that were made only to compare this result."""
    for role in (COMPARED, MIXED, SUBTRACTED):
        node = quality.referred(table, role)
        if node is not None:
            table.GetScene().RemoveNode(node)


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


def _layers(table: Node, fixed: Node, view: View) -> tuple[Node, Node | None, float]:
    """Background, foreground and its opacity."""
    if view is View.JACOBIAN:
        return fixed, _needed(table, quality.JACOBIAN, "Jacobian map"), 0.5
    registered = _registered(table, fixed)
    if view in (View.FADE, View.FLICKER):
        return fixed, registered, 0.5
    one = mrml.image_from_node(fixed)
    two = warp_image(mrml.image_from_node(registered), one, IDENTITY)
    if view is View.CHECKERBOARD:
        mixed = checkerboard(one, two)
        return _helper(table, MIXED, mixed, "checkerboard", fixed, (FULL, FULL / 2)), None, 0.0
    return _helper(table, SUBTRACTED, difference(one, two), "difference", fixed, (2 * FULL, 0.0)), None, 0.0


def _registered(table: Node, fixed: Node) -> Node:
    """The registered volume; made from the transform where it was no output."""
    node = quality.referred(table, quality.VOLUME)
    if node is not None:
        return node
    transform = _needed(table, quality.TRANSFORM, "Transform")
    moving = _needed(table, quality.MOVING, "Moving volume")
    if moving.IsA("vtkMRMLSequenceNode"):
        raise UsageError("Choose the registered volume as an output to compare the frames of a sequence.")
    fixed_image = mrml.image_from_node(fixed)
    image = mrml.image_from_node(moving)
    warped = warp_image(image, fixed_image, mrml.transform_from_node(transform, fixed_image))
    low, high = gray_range(warped.array)
    return _helper(table, COMPARED, warped, "registered", fixed, (high - low, (high + low) / 2))


def _needed(table: Node, role: str, what: str) -> Node:
    node = quality.referred(table, role)
    if node is None:
        raise UsageError(f"{what} of this result: no longer in the scene.")
    return node


def _helper(table: Node, role: str, image: Image, what: str, fixed: Node, window: tuple[float, float]) -> Node:
    """A volume that only the comparison needs, renewed in place."""
    node = quality.referred(table, role)
    if node is None:
        node = mrml.volume_from_image(table.GetScene(), image, like=fixed)
        node.SetName(table.GetScene().GenerateUniqueName(f"{table.GetName()} {what}"))
        quality.refer(table, role, node)
    else:
        mrml.image_to_volume(node, image, like=fixed)
    display = node.GetDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(*window)
    return node


def _composites() -> list[Node]:
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def gray_range(array: np.ndarray) -> tuple[float, float]:
    """From where to where most of the values of what is not background lie."""
    values = array.ravel()[:: max(1, array.size // 200_000)]
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    content = values[values > values.min()]
    low, high = np.percentile(content if content.size else values, (1, 99))
    return float(low), float(max(high, low + 1e-6))


def _percent(array: np.ndarray) -> np.ndarray:
    low, high = gray_range(array)
    return np.clip((np.nan_to_num(array) - low) * (FULL / (high - low)), 0, FULL).astype(np.float32)


def checkerboard(fixed: Image, registered: Image) -> Image:
    """Squares of both volumes in turn, each brought to 0 to 100 percent.

    Args:
        fixed, registered: on the same grid.
    """
    size_mm = max(n * s for n, s in zip(fixed.shape, fixed.spacing, strict=True)) / _SQUARES
    k, j, i = (
        np.floor(np.arange(n) * spacing / size_mm).astype(int)
        for n, spacing in zip(fixed.shape, fixed.spacing, strict=True)
    )
    first = (k[:, None, None] + j[:, None] + i) % 2 == 0
    return fixed.with_array(np.where(first, _percent(fixed.array), _percent(registered.array)))


def difference(fixed: Image, registered: Image) -> Image:
    """Fixed minus registered, each brought to 0 to 100 percent before; -100 to 100.

    Args:
        fixed, registered: on the same grid.
    """
    return fixed.with_array(_percent(fixed.array) - _percent(registered.array))
