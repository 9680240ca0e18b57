"""What a super-resolution leaves in the scene, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from MedAILib.errors import UsageError

from .. import targets
from ..targets import LEFT_OUT, MADE, Target, check_targets, parents_of
from .inputs import Inputs

Node = Any


@dataclass(frozen=True)
class Outputs:
    """All outputs; each is a scalar volume.

    Attributes:
        volume: the computed volume.
        uncertainty: half the width of the 90 % interval of each of its voxels.
        residual: what the computed volume does not explain of the measured slices, on their voxels.
        cubic: the cubic interpolation on the computed volume's voxels, to compare with.
    """

    volume: Target = MADE
    uncertainty: Target = LEFT_OUT
    residual: Target = LEFT_OUT
    cubic: Target = LEFT_OUT

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.volume, self.uncertainty, self.residual, self.cubic

    @property
    def names(self) -> tuple[str, ...]:
        """What the worker has to send besides the volume."""
        wanted = {"uncertainty": self.uncertainty, "residual": self.residual, "cubic": self.cubic}
        return tuple(name for name, target in wanted.items() if target.wanted)

    def replaced(self) -> list[Node]:
        """The nodes whose content will be another one."""
        return targets.replaced(self.targets)

    def lost(self) -> list[str]:
        """Names of the nodes whose present content will be lost; the user has to be asked."""
        return targets.lost(self.targets)

    def check(self, inputs: Inputs) -> None:
        """Notice what cannot go together.

        Raises:
            UsageError: nothing is wanted, a node is not in the scene or is an input, two outputs share a node, or a
                sequence is to go into a single node.
        """
        if not any(target.wanted for target in self.targets):
            raise UsageError("No output is chosen. Choose at least one of them.")
        above = [parent for node in inputs.nodes() for parent in parents_of(node)]
        check_targets(self.targets, inputs.nodes(), above)
        if inputs.sequence and self.replaced():
            raise UsageError("The results of a sequence are new sequences. Choose new volumes as outputs.")
