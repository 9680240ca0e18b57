"""What a registration leaves in the scene, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import vtk

from MedAILib.errors import UsageError

from ..results import check_in_scene
from .inputs import Inputs, parents_of

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


@dataclass(frozen=True)
class Outputs:
    """All outputs.

    Attributes:
        transform: linear or grid transform node; the moving volume, put under it, is shown where the fixed one is.
        inverse: the same for the fixed volume.
        volume: the moving volume in the place of the fixed one.
        jacobian: the local change of volume as a scalar volume on the fixed volume's voxels.
        own_voxels: registered volumes keep the voxels that they have; otherwise they get the fixed volume's.
        carried: nodes of which copies are brought into the place of the fixed volume.
    """

    transform: Target = Target(True)
    inverse: Target = Target()
    volume: Target = Target(True)
    jacobian: Target = Target()
    own_voxels: bool = False
    carried: tuple[Node, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.transform, self.inverse, self.volume, self.jacobian

    def nodes(self) -> Iterator[Node]:
        """The nodes that receive something, and those that are carried along."""
        yield from self.replaced()
        yield from self.carried

    def replaced(self) -> list[Node]:
        """The nodes whose content will be another one."""
        return [target.node for target in self.targets if target.wanted and target.node is not None]

    def lost(self) -> list[str]:
        """Names of the nodes whose present content will be lost; the user has to be asked."""
        return [node.GetName() for node in self.replaced() if _holds_something(node)]

    def check(self, inputs: Inputs, deformable: bool) -> None:
        """Notice what cannot go together.

        Args:
            inputs: what is registered.
            deformable: whether the transform may be no matrix.

        Raises:
            UsageError: nothing is wanted, a node is not in the scene or is an input, two outputs share a node, a linear
                node is to hold a warp, or a sequence is to go into a single node.
        """
        if not (any(target.wanted for target in self.targets) or self.carried):
            raise UsageError("No output is chosen. Choose at least one of them.")
        replaced = self.replaced()
        for node in self.nodes():
            check_in_scene(node, "output")
        if len({node.GetID() for node in replaced}) < len(replaced):
            raise UsageError("Two outputs go into the same node. Choose different nodes.")
        above = [*parents_of(inputs.fixed), *parents_of(inputs.moving), *parents_of(inputs.initial)]
        for node in replaced:
            if node in inputs.nodes():
                raise UsageError(f"{node.GetName()} is an input and would be replaced. Choose another output.")
            if node in above or any(node in parents_of(carried) for carried in self.carried):
                raise UsageError(f"An input stands under {node.GetName()}, which would change. Choose another output.")
        if inputs.sequence and (replaced or self.carried):
            raise UsageError(
                "The results of a sequence are new sequences, and nothing can be carried along. "
                "Choose new nodes as outputs, and nothing to move along."
            )
        if deformable:
            for target in (self.transform, self.inverse):
                if target.wanted and target.node is not None and not _takes_grid(target.node):
                    raise UsageError(
                        f"{target.node.GetName()} cannot hold a warp. Choose a grid transform or a new transform as "
                        "the output."
                    )


def _takes_grid(node: Node) -> bool:
    return node.GetClassName() in ("vtkMRMLTransformNode", "vtkMRMLGridTransformNode")


def _holds_something(node: Node) -> bool:
    if node.IsA("vtkMRMLVolumeNode"):
        return node.GetImageData() is not None
    matrix = vtk.vtkMatrix4x4()
    return not (node.IsLinear() and node.GetMatrixTransformToParent(matrix) and matrix.IsIdentity())
