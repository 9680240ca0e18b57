"""How volumes are shown: window, level, colors."""

from __future__ import annotations

from typing import Any

Node = Any


def same_display(copy: Node, node: Node) -> None:
    """Show a volume with the colors and the window of another one."""
    new, old = copy.GetDisplayNode(), node.GetDisplayNode()
    if new is None or old is None:
        return
    new.SetAndObserveColorNodeID(old.GetColorNodeID())
    if old.IsA("vtkMRMLScalarVolumeDisplayNode") and new.IsA("vtkMRMLScalarVolumeDisplayNode"):
        new.SetAutoWindowLevel(False)
        new.SetWindowLevel(old.GetWindow(), old.GetLevel())


def colored(node: Node, colors: str, window: float, level: float) -> None:
    """Show a map in colors.

    Args:
        node: scalar volume.
        colors: ID of a color node.
        window: from the first to the last color.
        level: the middle of the colors.
    """
    display = node.GetDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(window, level)
        display.SetAndObserveColorNodeID(colors)
