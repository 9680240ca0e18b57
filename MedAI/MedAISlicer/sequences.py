"""Sequence nodes: their items, and the browser that plays them."""

from __future__ import annotations

from typing import Any

from MedAILib.errors import UsageError

Node = Any


def is_sequence(node: Node) -> bool:
    """Whether the node holds several images instead of being one."""
    return bool(node.IsA("vtkMRMLSequenceNode"))


def frame_count(node: Node) -> int:
    """How many images a node holds: the items of a sequence, else 1."""
    return int(node.GetNumberOfDataNodes()) if is_sequence(node) else 1


def browser_of(sequence: Node) -> Node | None:
    """The browser that plays the sequence, if there is one."""
    scene = sequence.GetScene()
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(number, "vtkMRMLSequenceBrowserNode")
        if browser.IsSynchronizedSequenceNode(sequence, True):
            return browser
    return None


def proxy_of(sequence: Node) -> Node | None:
    """The node that shows the sequence's current item in the scene, if there is one."""
    browser = browser_of(sequence)
    return None if browser is None else browser.GetProxyNode(sequence)


def item_of(sequence: Node, frame: int) -> tuple[Node, str]:
    """An item of a sequence and a name for it.

    Raises:
        UsageError: there is no such frame.
    """
    name, count = sequence.GetName() or "sequence", frame_count(sequence)
    if not 0 <= frame < count:
        raise UsageError(f"{name} has {count} frames; there is no frame {frame + 1}.")
    return sequence.GetNthDataNode(frame), f"{name}, frame {frame + 1}"
