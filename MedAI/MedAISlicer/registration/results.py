"""Brings a registration into the scene. All is one step that can be taken back; if it fails, nothing is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from MedAILib.image import Image
from MedAILib.registration.request import Registration
from MedAILib.registration.summary import RegistrationSummary

from .. import mrml, provenance
from ..displays import colored, same_display
from ..results import check_in_scene, place_beside
from ..scene_undo import one_step, remember
from . import quality
from .carrying import carry, registered_image, registered_name
from .frames import write_frames
from .inputs import Inputs, title
from .outputs import Outputs

Node = Any

JACOBIAN_COLORS = "vtkMRMLColorTableNodeColdToHotRainbow"
JACOBIAN_WINDOW, JACOBIAN_LEVEL = 1.0, 1.0
"""Half the volume to one and a half times; 1, unchanged, is the middle of the colors."""


@dataclass(frozen=True)
class Result:
    """What a run left in the scene.

    Attributes:
        table: the quality table; it refers to everything else.
        summaries: one per frame that was registered.
        of_sequence: whether the nodes are those that show the current frame of a sequence.
    """

    table: Node
    summaries: tuple[RegistrationSummary, ...]
    of_sequence: bool

    @property
    def transform(self) -> Node | None:
        return quality.referred(self.table, quality.TRANSFORM)

    @property
    def inverse(self) -> Node | None:
        return quality.referred(self.table, quality.INVERSE)

    @property
    def volume(self) -> Node | None:
        return quality.referred(self.table, quality.VOLUME)

    @property
    def jacobian(self) -> Node | None:
        return quality.referred(self.table, quality.JACOBIAN)

    @property
    def carried(self) -> list[Node]:
        count = self.table.GetNumberOfNodeReferences(quality.CARRIED)
        return [self.table.GetNthNodeReference(quality.CARRIED, number) for number in range(count)]


def write(inputs: Inputs, outputs: Outputs, answers: Sequence[Registration | None]) -> Result:
    """Write what is wanted.

    Args:
        inputs: what was registered.
        outputs: what is wanted, and where.
        answers: one per frame of a moving sequence, None where a frame has no result; else one.

    Raises:
        UsageError: a node has left the scene.
        ContentError, GeometryError: something that is to be carried along cannot be read.
    """
    for node in (*inputs.nodes(), *outputs.nodes()):
        check_in_scene(node, "node")
    scene = inputs.fixed.GetScene()
    first = next(answer for answer in answers if answer is not None)
    with one_step(scene, outputs.replaced()) as step:
        summaries = [None if answer is None else answer.summary for answer in answers]
        nodes = write_frames(inputs, outputs, answers) if inputs.sequence else _write_single(inputs, outputs, first)
        nodes |= {quality.FIXED: inputs.fixed, quality.MOVING: inputs.moving}
        table = quality.write_quality(scene, title(inputs.moving, inputs.fixed), summaries, nodes)
        for node in outputs.carried:
            copy = carry(node, inputs.fixed, first, outputs.own_voxels)
            provenance.to_node(copy, provenance.complete(first.summary.provenance))
            table.AddNodeReferenceID(quality.CARRIED, copy.GetID())
    remember(table, step)
    return Result(table, tuple(summary for summary in summaries if summary is not None), inputs.sequence)


def _write_single(inputs: Inputs, outputs: Outputs, answer: Registration) -> dict[str, Node]:
    scene, fixed, moving = inputs.fixed.GetScene(), inputs.fixed, inputs.moving
    facts = provenance.complete(answer.summary.provenance)
    fixed_image = mrml.image_from_node(fixed)
    nodes: dict[str, Node] = {}
    if outputs.transform.wanted:
        node = outputs.transform.node or _new_transform(scene, answer, title(moving, fixed))
        mrml.transform_to_node(node, answer.transform, fixed_image)
        nodes[quality.TRANSFORM] = node
    if outputs.inverse.wanted:
        node = outputs.inverse.node or _new_transform(scene, answer, title(fixed, moving))
        mrml.transform_to_node(node, answer.inverse, mrml.image_from_node(moving))
        nodes[quality.INVERSE] = node
    if outputs.volume.wanted:
        image = registered_image(mrml.image_from_node(moving), fixed_image, answer, outputs.own_voxels)
        node = _put_volume(outputs.volume.node, image, fixed, registered_name(moving))
        same_display(node, moving)
        nodes[quality.VOLUME] = node
    if outputs.jacobian.wanted and answer.jacobian is not None:
        name = scene.GenerateUniqueName(f"{title(moving, fixed)} Jacobian")
        node = _put_volume(outputs.jacobian.node, answer.jacobian, fixed, name)
        colored(node, JACOBIAN_COLORS, JACOBIAN_WINDOW, JACOBIAN_LEVEL)
        nodes[quality.JACOBIAN] = node
    for made in nodes.values():
        provenance.to_node(made, facts)
        place_beside(made, fixed)
    return nodes


def _new_transform(scene: Node, answer: Registration, name: str) -> Node:
    linear = answer.transform.linear is not None
    class_name = "vtkMRMLLinearTransformNode" if linear else "vtkMRMLGridTransformNode"
    return scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name))


def _put_volume(node: Node | None, image: Image, fixed: Node, name: str) -> Node:
    if node is None:
        node = mrml.volume_from_image(fixed.GetScene(), image, like=fixed)
        node.SetName(name)
    else:
        mrml.image_to_volume(node, image, like=fixed)
    return node
