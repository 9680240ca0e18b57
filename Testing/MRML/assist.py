"""A Segment Editor without windows, what it edits, and somebody who answers as the test says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from MedAILib.errors import MedAIError
from MedAILib.image import Image
from MedAILib.interactive.prompts import Prompt, marked
from MedAILib.interactive.request import Reply
from MedAILib.worker.events import Failed, Finished
from MedAILib.worker.job import Job
from MedAISlicer import mrml
from MedAISlicer.assist.target import Target

SHAPE = (12, 14, 16)
Box = tuple[slice, slice, slice]


def box(*sides: tuple[int, int]) -> Box:
    k, j, i = (slice(*side) for side in sides)
    return k, j, i


def add_volume(scene: Any, affine: np.ndarray, name: str = "scan") -> Any:
    """Values rise along i, so that an intensity range is a slab."""
    array = np.broadcast_to(np.arange(SHAPE[2], dtype=np.int16) * 10, SHAPE).copy()
    return mrml.volume_from_image(scene, Image(array, affine, name))


class Edited:
    """A volume, a segmentation with the segments "Liver" (empty) and "Spleen" (a block), and their editor."""

    def __init__(self, scene: Any, affine: np.ndarray, parent: Any = None) -> None:
        import slicer

        self.scene, self.volume = scene, add_volume(scene, affine)
        self.segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
        self.segmentation.CreateDefaultDisplayNodes()
        for node in (self.volume, self.segmentation):
            node.SetAndObserveTransformNodeID(None if parent is None else parent.GetID())
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        content = self.segmentation.GetSegmentation()
        self.liver, self.spleen = content.AddEmptySegment("liver", "Liver"), content.AddEmptySegment("spleen", "Spleen")
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(scene)
        self.node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.logic.SetSegmentEditorNode(self.node)
        self.logic.SetSegmentationNode(self.segmentation)
        self.logic.SetSourceVolumeNode(self.volume)
        self.node.SetSelectedSegmentID(self.liver)
        self.put(self.spleen, SPLEEN)

    @property
    def target(self) -> Target:
        return Target(self.volume, self.segmentation, self.liver)

    def put(self, segment_id: str, where: Box) -> None:
        """What a brush does."""
        patch = mrml.layer_from_array(
            np.ones([side.stop - side.start for side in where], np.uint8),
            mrml.local_affine(self.volume),
            (where[0].start, where[1].start, where[2].start),
        )
        self.logic.ModifySegmentByLabelmap(
            self.segmentation, segment_id, patch, self.logic.ModificationModeAdd, True, True
        )

    def voxels(self, segment_id: str) -> np.ndarray:
        return Target(self.volume, self.segmentation, segment_id).current()


SPLEEN = box((2, 5), (2, 5), (2, 5))


class Answerer:
    """Takes the place of :class:`MedAILib.interactive.remote.Assistant`: everything around what was marked is inside.

    Args:
        image: in the volume's own RAS.
    """

    made: ClassVar[list[Answerer]] = []

    def __init__(self, image: Image, engine: Any = None) -> None:
        self.image, self.engine = image, engine
        self.jobs: list[Job] = []
        self.questions: list[tuple[Sequence[Prompt], int, np.ndarray]] = []
        self.widths: list[float] = []
        self.closed = False
        Answerer.made.append(self)

    def ask(self, prompts: Sequence[Prompt], label: int, current: np.ndarray) -> Job:
        self.questions.append((list(prompts), label, current.copy()))
        return self._job("interact")

    def ask_refine(self, mask: np.ndarray, width: float) -> Job:
        self.questions.append(([], 1, mask.copy()))
        self.widths.append(width)
        return self._job("refine")

    def respond(self, prompts: Sequence[Prompt], label: int, current: np.ndarray) -> Reply:
        self.questions.append((list(prompts), label, current.copy()))
        return self.reply()

    def read(self, finished: Finished) -> Reply:
        return finished.parameters["reply"]

    def close(self) -> None:
        self.closed = True

    def _job(self, task: str) -> Job:
        self.jobs.append(Job(task, lambda job: job.push(Failed("cancelled", "The run was cancelled."))))
        return self.jobs[-1]

    def reply(self, notes: tuple[str, ...] = ()) -> Reply:
        """One voxel around each positive mark, without the negative ones."""
        prompts, label, current = self.questions[-1]
        inside = current.copy()
        for prompt in prompts:
            if prompt.label != label:
                continue
            for k, j, i in marked(prompt, self.image.shape, self.image.affine):
                if prompt.positive:
                    inside[max(k - 1, 0) : k + 2, max(j - 1, 0) : j + 2, max(i - 1, 0) : i + 2] = True
                else:
                    inside[k, j, i] = False
        whole = box(*((0, size) for size in self.image.shape))
        return Reply(whole, inside, notes, "online", 0.12, "cpu")

    def finish(self, reply: Reply | None = None, notes: tuple[str, ...] = ()) -> None:
        """Answer the newest job."""
        self.jobs[-1].push(Finished({"reply": reply or self.reply(notes)}, {}))

    def fail(self, error: MedAIError) -> None:
        self.jobs[-1].push(Failed(error.code, str(error)))
