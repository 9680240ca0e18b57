"""Looks at a result in the slice views: two volumes over each other, or mixed into one."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import slicer

from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAILib.transforms import IDENTITY, warp_image

from . import mrml
from .figures import refer, referred

Node = Any

FULL = 100.0
"""The range of gray values to which both volumes are brought: percent."""

COMPARED, MIXED, SUBTRACTED = HELPERS = ("MedAI.Compared", "MedAI.Checkerboard", "MedAI.Difference")
"""References of a result's table to the volumes that only views need; they are renewed instead of piled up."""

_SQUARES = 8
"""Along the longest side of the volume."""


class View(Enum):
    """Ways to look at a result; each module has some of them."""

    FADE = "fade"
    FLICKER = "flicker"
    CHECKERBOARD = "checkerboard"
    DIFFERENCE = "difference"
    GRID = "grid"
    JACOBIAN = "jacobian"
    UNCERTAINTY = "uncertainty"
    RESIDUAL = "residual"


Layers = tuple[Node, Node | None, float]
"""Background, foreground and the foreground's opacity."""


class SliceViews:
    """Shows volumes in all slice views, and afterwards what these showed before.

    Args:
        fit: called when the views show other volumes than before, to bring these into sight.
    """

    def __init__(self, fit: Callable[[], None]) -> None:
        self._fit = fit
        self._before: dict[str, tuple[str | None, str | None, float]] = {}
        self.view: View | None = None

    def show(self, table: Node, view: View) -> None:
        """Show a result.

        Args:
            table: of the result.
            view: how.

        Raises:
            UsageError: a node of the result that the view needs is not there; the message says which.
        """
        background, foreground, opacity = self.layers(table, view)
        if self.view is None:
            self._before = {
                composite.GetID(): (
                    composite.GetBackgroundVolumeID(),
                    composite.GetForegroundVolumeID(),
                    composite.GetForegroundOpacity(),
                )
                for composite in _composites()
            }
        changed = any(composite.GetBackgroundVolumeID() != background.GetID() for composite in _composites())
        slicer.util.setSliceViewerLayers(
            background=background, foreground=foreground, foregroundOpacity=opacity if foreground is not None else 0.0
        )
        self.view = view
        if changed:
            self._fit()

    def layers(self, table: Node, view: View) -> Layers:
        """What a view of a result consists of; raises what :meth:`show` raises."""
        raise UsageError(f"There is no view {view.value} of {table.GetName()}.")

    def set_opacity(self, opacity: float) -> None:
        """How much of the foreground is seen, 0 to 1."""
        slicer.util.setSliceViewerLayers(foregroundOpacity=opacity)

    def stop(self) -> None:
        """Bring back what the views showed before the comparison."""
        for composite in _composites():
            if composite.GetID() in self._before:
                background, foreground, opacity = self._before[composite.GetID()]
                composite.SetBackgroundVolumeID(background)
                composite.SetForegroundVolumeID(foreground)
                composite.SetForegroundOpacity(opacity)
        self.forget()

    def forget(self) -> None:
        """Leave the views as they are, e.g. because the scene goes away."""
        self._before, self.view = {}, None


def needed(table: Node, role: str, what: str) -> Node:
    """The node in a role of a result.

    Raises:
        UsageError: it is not in the scene.
    """
    node = referred(table, role)
    if node is None:
        raise UsageError(f"{what} of this result: no longer in the scene.")
    return node


def helper(table: Node, role: str, image: Image, what: str, like: Node, window: tuple[float, float]) -> Node:
    """A volume that only a view needs, renewed in place.

    Args:
        table: of the result, which refers to it.
        role: of that reference.
        image: what it shows.
        what: for its name.
        like: under whose parent transform it stands.
        window: and level.
    """
    node = referred(table, role)
    if node is None:
        node = mrml.volume_from_image(table.GetScene(), image, like=like)
        node.SetName(table.GetScene().GenerateUniqueName(f"{table.GetName()} {what}"))
        refer(table, role, node)
    else:
        mrml.image_to_volume(node, image, like=like)
    display = node.GetDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(*window)
    return node


def drop_helpers(table: Node) -> None:
    """Remove the volumes that were made only to look at this result."""
    for role in HELPERS:
        node = referred(table, role)
        if node is not None:
            display = node.GetDisplayNode()
            table.GetScene().RemoveNode(node)
            if display is not None:
                table.GetScene().RemoveNode(display)


def mixed(table: Node, view: View, background: Node, foreground: Node) -> Layers:
    """Checkerboard or difference of two volumes, on the voxels of the first.

    Args:
        table: of the result.
        view: which of both.
        background: the first volume.
        foreground: the second one, on any grid.
    """
    one = mrml.image_from_node(background)
    two = warp_image(mrml.image_from_node(foreground), one, IDENTITY)
    if view is View.CHECKERBOARD:
        image = checkerboard(one, two)
        return helper(table, MIXED, image, "checkerboard", background, (FULL, FULL / 2)), None, 0.0
    return helper(table, SUBTRACTED, difference(one, two), "difference", background, (2 * FULL, 0.0)), None, 0.0


def gray_range(array: np.ndarray) -> tuple[float, float]:
    """From where to where most of the values of what is not background lie."""
    values = array.ravel()[:: max(1, array.size // 200_000)]
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    content = values[values > values.min()]
    low, high = np.percentile(content if content.size else values, (1, 99))
    return float(low), float(max(high, low + 1e-6))


def checkerboard(fixed: Image, other: Image) -> Image:
    """Squares of both volumes in turn, each brought to 0 to 100 percent.

    Args:
        fixed, other: on the same grid.
    """
    size_mm = max(n * s for n, s in zip(fixed.shape, fixed.spacing, strict=True)) / _SQUARES
    k, j, i = (
        np.floor(np.arange(n) * spacing / size_mm).astype(int)
        for n, spacing in zip(fixed.shape, fixed.spacing, strict=True)
    )
    first = (k[:, None, None] + j[:, None] + i) % 2 == 0
    return fixed.with_array(np.where(first, _percent(fixed.array), _percent(other.array)))


def difference(fixed: Image, other: Image) -> Image:
    """First minus other volume, each brought to 0 to 100 percent before; -100 to 100.

    Args:
        fixed, other: on the same grid.
    """
    return fixed.with_array(_percent(fixed.array) - _percent(other.array))


def _percent(array: np.ndarray) -> np.ndarray:
    low, high = gray_range(array)
    return np.clip((np.nan_to_num(array) - low) * (FULL / (high - low)), 0, FULL).astype(np.float32)


def _composites() -> list[Node]:
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
