"""One undo step per run whose results are nodes: what it made is taken away, and what it replaced comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Node = Any

STATES = 5
"""How many runs back the undo goes; each holds a copy of the nodes that were replaced."""


class _Snapshot:
    """A node as it was. Voxels are not copied: who replaces them puts others in their place."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._copy = node.CreateNodeInstance()
        self._copy.CopyContent(node, not node.IsA("vtkMRMLVolumeNode"))
        self._parent = node.GetTransformNodeID()
        self._description = node.GetDescription()
        self._attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}

    def restore(self) -> None:
        """Make the node what it was, if it is there still."""
        if self.node.GetScene() is None:
            return
        modifying = self.node.StartModify()
        self.node.CopyContent(self._copy, False)
        self.node.SetAndObserveTransformNodeID(self._parent)
        self.node.SetDescription(self._description)
        for name in self.node.GetAttributeNames():
            if name not in self._attributes:
                self.node.RemoveAttribute(name)
        for name, value in self._attributes.items():
            self.node.SetAttribute(name, value)
        self.node.EndModify(modifying)


class Step:
    """What one run did to the scene.

    Args:
        scene: in which it works.
        replaced: nodes whose content it replaces.
    """

    def __init__(self, scene: Node, replaced: list[Node]) -> None:
        self._scene = scene
        self._before = set(_ids(scene))
        self._snapshots = [_Snapshot(node) for node in replaced]
        self._added: list[str] = []

    def close(self) -> None:
        """The run has written everything."""
        self._added = [node_id for node_id in _ids(self._scene) if node_id not in self._before]

    def take_back(self) -> None:
        """Bring the scene back to before the run; what the user did elsewhere stays."""
        nodes = [self._scene.GetNodeByID(node_id) for node_id in reversed(self._added)]
        # What plays goes first: it would make the nodes anew that show its current item.
        for node in sorted((node for node in nodes if node is not None), key=_goes):
            if node.GetScene() is self._scene:
                self._scene.RemoveNode(node)
        for snapshot in self._snapshots:
            snapshot.restore()
        self._added, self._snapshots = [], []


_steps: dict[str, tuple[Node, Step]] = {}
"""ID of the result's table to that table and the step that made it."""


@contextmanager
def one_step(scene: Node, replaced: list[Node]) -> Iterator[Step]:
    """What happens inside is one step; if it fails, the scene is as it was before."""
    if scene.GetUndoFlag():
        scene.SaveStateForUndo()
    step = Step(scene, replaced)
    try:
        yield step
    except BaseException:
        step.close()
        step.take_back()
        raise
    step.close()


def remember(result: Node, step: Step) -> None:
    """Keep a step under the table of its result."""
    _steps[result.GetID()] = (result, step)
    while len(_steps) > STATES:
        del _steps[next(iter(_steps))]


def can_undo(result: Node | None) -> bool:
    """Whether the run that made this table can be taken back."""
    return result is not None and _steps.get(result.GetID() or "", (None,))[0] is result


def undo(result: Node) -> bool:
    """Take the run that made this table back, the table included; False if it is not known any more."""
    if not can_undo(result):
        return False
    _steps.pop(result.GetID())[1].take_back()
    return True


def forget() -> None:
    """Let go of all steps, because the scene or the module goes away."""
    _steps.clear()


def _goes(node: Node) -> int:
    """In which turn a node is removed."""
    classes = ("vtkMRMLSequenceBrowserNode", "vtkMRMLSequenceNode")
    return next((turn for turn, name in enumerate(classes) if node.IsA(name)), len(classes))


def _ids(scene: Node) -> list[str]:
    return [scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes())]
