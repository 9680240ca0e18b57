"""What a registration leaves in the scene, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from MedAILib.errors import UsageError

from .. import targets
from ..results import check_in_scene
from ..targets import LEFT_OUT, MADE, Target, check_targets, parents_of
from .inputs import Inputs

Node = Any


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

    transform: Target = MADE
    inverse: Target = LEFT_OUT
    volume: Target = MADE
    jacobian: Target = LEFT_OUT
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
        return targets.replaced(self.targets)

    def lost(self) -> list[str]:
        """Names of the nodes whose present content will be lost; the user has to be asked."""
        return targets.lost(self.targets)

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
        for node in self.carried:
            check_in_scene(node, "output")
        above = [*parents_of(inputs.fixed), *parents_of(inputs.moving), *parents_of(inputs.initial)]
        above += [node for carried in self.carried for node in parents_of(carried)]
        check_targets(self.targets, inputs.nodes(), above)
        if inputs.sequence and (self.replaced() or self.carried):
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
