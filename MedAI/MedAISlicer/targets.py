"""Where the outputs of a run go: into new nodes, or into nodes that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import vtk

from MedAILib.errors import UsageError

from .results import check_in_scene
from .sequences import is_sequence, proxy_of

Node = Any


@dataclass(frozen=True)
class Target:
    """One output.

    Attributes:
        wanted: whether it is to be made.
        node: the node that receives it; None for a new one.
    """

    wanted: bool = False
    node: Node | None = None

    @classmethod
    def of(cls, value: Node | bool | None, usual: bool) -> Target:
        """From a script's argument: a node, True for a new one, False for none, None for what is usual."""
        if value is None or isinstance(value, bool):
            return cls(usual if value is None else value)
        if not hasattr(value, "IsA"):
            raise UsageError(f"An output of volume nodes is a node, True or False, not {value!r}.")
        return cls(True, value)


MADE, LEFT_OUT = Target(True), Target()
"""Into a new node; not at all."""


def replaced(targets: Sequence[Target]) -> list[Node]:
    """The nodes whose content will be another one."""
    return [target.node for target in targets if target.wanted and target.node is not None]


def lost(targets: Sequence[Target]) -> list[str]:
    """Names of the nodes whose present content will be lost; the user has to be asked."""
    return [node.GetName() for node in replaced(targets) if _holds_something(node)]


def check_targets(targets: Sequence[Target], inputs: Sequence[Node], above: Sequence[Node] = ()) -> None:
    """Notice what cannot receive a result.

    Args:
        targets: all outputs.
        inputs: the nodes that the run reads.
        above: the transforms under which these stand.

    Raises:
        UsageError: a node is not in the scene or is an input, an input stands under it, or two outputs share it.
    """
    nodes = replaced(targets)
    for node in nodes:
        check_in_scene(node, "output")
    if len({node.GetID() for node in nodes}) < len(nodes):
        raise UsageError("Two outputs go into the same node. Choose different nodes.")
    for node in nodes:
        if node in inputs:
            raise UsageError(f"{node.GetName()} is an input and would be replaced. Choose another output.")
        if node in above:
            raise UsageError(f"An input stands under {node.GetName()}, which would change. Choose another output.")


def parents_of(node: Node | None) -> list[Node]:
    """The transforms above a node, nearest first; of a sequence those above the node that shows its current item."""
    if node is not None and is_sequence(node):
        node = proxy_of(node)
    above = []
    while node is not None:
        node = node.GetParentTransformNode()
        if node is not None:
            above.append(node)
    return above


def _holds_something(node: Node) -> bool:
    if node.IsA("vtkMRMLVolumeNode"):
        return node.GetImageData() is not None
    matrix = vtk.vtkMatrix4x4()
    return not (node.IsLinear() and node.GetMatrixTransformToParent(matrix) and matrix.IsIdentity())
