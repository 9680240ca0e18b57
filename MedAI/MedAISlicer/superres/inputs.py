"""From nodes to what the super-resolution is asked with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from MedAILib.errors import UsageError
from MedAILib.superres.request import Scans
from MedAILib.superres.target import Target

from .. import mrml
from ..results import check_in_scene
from ..sequences import frame_count, is_sequence
from .slices import scan_of

Node = Any


@dataclass(frozen=True)
class Inputs:
    """The nodes of a run.

    Attributes:
        volume: scalar volume with thick slices, or a sequence of such volumes.
        others: further stacks, or a second contrast; scalar volumes.
        like: volume whose voxels the result gets.
    """

    volume: Node
    others: tuple[Node, ...] = ()
    like: Node | None = None

    @property
    def sequence(self) -> bool:
        """Whether the volume is a sequence."""
        return is_sequence(self.volume)

    @property
    def count(self) -> int:
        """How many volumes are sharpened."""
        return frame_count(self.volume)

    def nodes(self) -> list[Node]:
        """All nodes, without which the run cannot be brought to its end or began with something else."""
        return [self.volume, *self.others, *(() if self.like is None else (self.like,))]

    def check(self) -> None:
        """Notice what can be noticed without the voxels.

        Raises:
            UsageError: a node is not in the scene, or is there twice.
        """
        for node in self.nodes():
            check_in_scene(node, "input")
        for node in self.others:
            if node is self.volume:
                raise UsageError(f"{node.GetName()} is the input and a further volume. Choose another one, or none.")
        if len({node.GetID() for node in self.others}) < len(self.others):
            raise UsageError(f"{self.others[0].GetName()} is there twice. Choose another further volume, or none.")

    def scans(self, frame: int = 0) -> Scans:
        """Read everything, in world RAS.

        Args:
            frame: which item of a sequence, from 0.

        Raises:
            ContentError, GeometryError, UsageError: as :mod:`MedAISlicer.mrml` says for each node.
        """
        like: Target | None = None
        if self.like is not None:
            grid = mrml.image_from_node(self.like)
            like = Target(grid.shape, grid.affine)
        main = scan_of(self.volume, frame if self.sequence else None)
        return Scans(main, tuple(scan_of(node) for node in self.others), like)
