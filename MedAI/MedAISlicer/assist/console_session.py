"""Interactive segmentation of a volume node from Slicer's Python console; prompts are kept as by the effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAILib.interactive.drawing import Drawing
from MedAILib.interactive.prompts import Prompt
from MedAILib.interactive.request import Reply

from .. import mrml, results
from . import prompt_tags
from .assistants import AUTO, Assistants
from .editors import LogicEditor, forget, hidden_logic
from .places import own_length, own_points, world_points
from .target import Target
from .writing import Written, write

Node = Any


class NodeSession(Drawing):
    """What :func:`MedAISlicer.console.interact` returns. All places are RAS mm of the world, as the views show them.

    Args:
        volume: scalar volume node.
        segmentation: node that is drawn in; None for a new one beside the volume.
        segment: name or ID of the segment that label 1 stands for; None for the first one without prompts and voxels,
            or a new one.
        make: an :class:`MedAILib.interactive.remote.Assistant` for an image in its volume's own RAS.
        overwrite: voxels of other segments may be taken.

    Attributes:
        segmentation: the node.
        answer: the last one; None before the first.

    Raises:
        UsageError: a node is not in the scene, or the segmentation is not edited as voxels.
    """

    def __init__(
        self,
        volume: Node,
        segmentation: Node | None,
        segment: str | None,
        make: Callable[[Image], Any],
        overwrite: bool = False,
    ) -> None:
        results.check_in_scene(volume)
        if segmentation is not None:
            results.check_output(segmentation)
        self._volume, self._overwrite = volume, overwrite
        self._assistants = Assistants(lambda image, engine: make(image))
        image = mrml.own_image_from_node(volume)
        self.segmentation = _new_segmentation(volume, image.name) if segmentation is None else segmentation
        self._segments: dict[int, str] = {1: self._find(segment)}
        self._logic = hidden_logic(volume, self.segmentation)
        self._logic.GetSegmentEditorNode().SetSelectedSegmentID(self._segments[1])
        self._editor = LogicEditor(self._logic)
        self.answer: Reply | None = None

    def add(self, prompt: Prompt) -> Written:
        """Obey a prompt; what was undone before is forgotten.

        Args:
            prompt: in world RAS mm. Its label chooses the segment; a new label adds a segment.

        Returns:
            How much changed.

        Raises:
            ContentError: the prompt lies outside of the volume. The segmentation is as before.
        """
        target = self._target(prompt.label)
        points = own_points(self._volume, prompt.points)
        radius = own_length(self._volume, prompt.points[0], prompt.radius)
        own = replace(prompt, points=points, radius=radius, label=1)
        prompts, label, _elsewhere = self._assistants.question(target, [own])
        self.answer = self._assistants.of(target, AUTO).respond(prompts, label, target.current())
        return self._write(target, [*prompt_tags.read(target.segment, self._volume), own])

    def refine(self, label: int = 1, width: float = 3.0) -> Written:
        """Move the boundary of a segment to the edges in the image nearby.

        Args:
            label: of the segment.
            width: mm that the boundary may move.

        Raises:
            UsageError: the segment has no voxels.
        """
        target = self._target(label)
        mask = target.current()
        if not mask.any():
            raise UsageError(f"{target.segment.GetName()} has no voxels whose boundary could be refined.")
        self.answer = self._assistants.of(target, AUTO).refine(mask, width)
        return self._write(target, None)

    def mask(self, label: int = 1) -> np.ndarray:
        """The segment on the volume's voxels, (k, j, i) bool."""
        return self._target(label).current()

    def prompts(self, label: int = 1) -> list[Prompt]:
        """The prompts of the segment, in world RAS mm."""
        found = prompt_tags.read(self._target(label).segment, self._volume)
        return [replace(one, points=world_points(self._volume, one.points), label=label) for one in found]

    def undo(self) -> bool:
        """Take the last step back, with its prompt; False where there is none of this session."""
        possible = bool(self._logic.CanUndo())
        if possible:
            self._logic.Undo()
        return possible

    def redo(self) -> bool:
        """Do the step again that was undone last; False where none was."""
        possible = bool(self._logic.CanRedo())
        if possible:
            self._logic.Redo()
        return possible

    def close(self) -> None:
        """Let go of the volume and of the undo states; the segmentation stays."""
        self._assistants.close()
        forget(self._logic)

    def _write(self, target: Target, prompts: list[Prompt] | None) -> Written:
        if reason := target.why_gone():  # the windows live while somebody computes
            raise UsageError(reason)
        assert self.answer is not None
        return write(self._editor, target, self.answer.box, self.answer.inside, prompts, self._overwrite)

    def _target(self, label: int) -> Target:
        if label not in self._segments:
            content = self.segmentation.GetSegmentation()
            self._segments[label] = content.AddEmptySegment("", f"Object {label}")
        target = Target(self._volume, self.segmentation, self._segments[label])
        if reason := target.why_gone():
            raise UsageError(f"{reason} Begin a new session.")
        return target

    def _find(self, wanted: str | None) -> str:
        content = self.segmentation.GetSegmentation()
        for segment_id in content.GetSegmentIDs():
            segment = content.GetSegment(segment_id)
            unused = mrml.layer_of(segment) is None and not prompt_tags.text_of(segment)
            if wanted in (segment_id, segment.GetName()) or (wanted is None and unused):
                return str(segment_id)
        return str(content.AddEmptySegment("", wanted or ""))


def _new_segmentation(volume: Node, name: str) -> Node:
    """An empty segmentation in the place of a volume."""
    scene = volume.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(f"{name} segmentation"))
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    results.place_beside(node, volume)
    return node
