"""The results of a sequence: sequences of transforms and volumes that play with the moving one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from MedAILib.image import Image
from MedAILib.registration.request import Registration
from MedAILib.transforms import Transform

from .. import mrml, provenance
from ..results import place_beside
from ..sequence_results import Items, new_browser, play, show_item
from ..sequences import browser_of
from . import quality
from .carrying import registered_image
from .inputs import Inputs, title
from .outputs import Outputs

Node = Any
LINEAR, GRID = "vtkMRMLLinearTransformNode", "vtkMRMLGridTransformNode"
VOLUME = "vtkMRMLScalarVolumeNode"


def write_frames(inputs: Inputs, outputs: Outputs, answers: Sequence[Registration | None]) -> dict[str, Node]:
    """Write a sequence for each wanted output. A frame without a result has an empty item.

    Args:
        inputs: the moving volume is a sequence.
        outputs: all into new nodes.
        answers: one per frame.

    Returns:
        Role in the quality table to the node that shows the current frame.
    """
    sequence, fixed = inputs.moving, inputs.fixed
    frames = _Frames(inputs, outputs, answers)
    browser = browser_of(sequence)
    selected = browser.GetSelectedItemNumber() if browser is not None else 0
    browser = browser or new_browser(sequence)
    wanted = {
        quality.TRANSFORM: (outputs.transform, title(sequence, fixed), frames.transforms, frames.transform_class),
        quality.INVERSE: (outputs.inverse, title(fixed, sequence), frames.inverses, frames.transform_class),
        quality.VOLUME: (outputs.volume, f"{sequence.GetName()} registered", frames.volumes, VOLUME),
        quality.JACOBIAN: (outputs.jacobian, f"{title(sequence, fixed)} Jacobian", frames.jacobians, VOLUME),
    }
    facts = provenance.complete(next(answer for answer in answers if answer is not None).summary.provenance)
    nodes = {
        role: play(browser, sequence, name, items(), class_name, facts)
        for role, (target, name, items, class_name) in wanted.items()
        if target.wanted
    }
    for role, node in nodes.items():
        if role in (quality.VOLUME, quality.JACOBIAN):
            node.CreateDefaultDisplayNodes()
            node.SetAndObserveTransformNodeID(fixed.GetTransformNodeID())
        place_beside(node, fixed)
    show_item(browser, selected)
    return nodes


class _Frames:
    """The items of the sequences. They hold local coordinates: what shows them stands under the fixed's transform."""

    def __init__(self, inputs: Inputs, outputs: Outputs, answers: Sequence[Registration | None]) -> None:
        self._sequence, self._own_voxels, self._answers = inputs.moving, outputs.own_voxels, answers
        self._fixed = mrml.image_from_node(inputs.fixed)
        self._local = np.linalg.inv(mrml.world_from_local(inputs.fixed))
        # One class for all frames, whatever became of each.
        linear = all(answer is None or answer.transform.linear is not None for answer in answers)
        self.transform_class = LINEAR if linear else GRID

    def transforms(self) -> Items:
        for answer in self._answers:
            yield None if answer is None else self._transform(answer.transform, self._fixed)

    def inverses(self) -> Items:
        for number, answer in enumerate(self._answers):
            yield None if answer is None else self._transform(answer.inverse, self._moving(number))

    def volumes(self) -> Items:
        for number, answer in enumerate(self._answers):
            if answer is None:
                yield None
            else:
                yield self._volume(registered_image(self._moving(number), self._fixed, answer, self._own_voxels))

    def jacobians(self) -> Items:
        for answer in self._answers:
            yield None if answer is None or answer.jacobian is None else self._volume(answer.jacobian)

    def _moving(self, number: int) -> Image:
        return mrml.image_from_node(self._sequence, number)

    def _transform(self, transform: Transform, like: Image) -> Node:
        node = getattr(slicer, self.transform_class)()
        mrml.transform_to_node(node, transform, like)
        return node

    def _volume(self, image: Image) -> Node:
        node = slicer.vtkMRMLScalarVolumeNode()
        mrml.image_to_volume(node, Image(image.array, self._local @ image.affine, image.name))
        return node
