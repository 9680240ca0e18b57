"""One run of the panel: a volume node, or all frames of a sequence node, through the worker and into the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from MedAILib.image import Image
from MedAILib.pipeline.request import TASK, Request, read_answer
from MedAILib.summary import Segmentation, Summary
from MedAILib.worker import client
from MedAILib.worker.events import Finished

from . import mrml, results, tables
from .run import FrameRun, Job
from .sequence_results import write_sequence
from .sequences import frame_count, is_sequence

Node = Any


@dataclass(frozen=True)
class Result:
    """What a run left in the scene.

    Attributes:
        segmentation: the node with the segments, for a sequence the one that shows the current frame.
        table: the statistics table node.
        summaries: one per frame that was segmented.
        of_sequence: whether the segmentation is one that plays.
    """

    segmentation: Node
    table: Node
    summaries: tuple[Summary, ...]
    of_sequence: bool


class SegmentationRun(FrameRun):
    """A :class:`MedAISlicer.run.Run`.

    Args:
        volume: scalar volume, picture in colors, or sequence node.
        segmentation: where to; None for a new one.
        request: model and mode.
        device: the worker's device.
        others: for a model that sees several volumes, the further volume nodes by the names of its inputs.

    Raises:
        UsageError: a node is not in the scene, or the segmentation cannot take results.
    """

    def __init__(
        self,
        volume: Node,
        segmentation: Node | None,
        request: Request,
        device: str,
        others: Mapping[str, Node] | None = None,
    ) -> None:
        self._others = dict(others or {})
        for node in (volume, *self._others.values()):
            results.check_in_scene(node)
        if segmentation is not None:
            results.check_output(segmentation)
        self.name = volume.GetName() or ""
        self.request = request
        self.count = frame_count(volume)
        self._volume, self._segmentation = volume, segmentation
        self._device = device
        self._places: dict[int, Image] = {}

    def forced(self) -> SegmentationRun:
        """The same run, but whatever the modality of the volume; raises what the constructor raises."""
        request = replace(self.request, force=True)
        return SegmentationRun(self._volume, self._segmentation, request, self._device, self._others)

    def uses(self, node: Node) -> bool:
        """Whether the run cannot be brought to its end without this node."""
        needed = (self._volume, self._segmentation, *self._others.values())
        return any(node is one for one in needed if one is not None)

    def submit(self, index: int) -> Job:
        """Copy the voxels to the worker; raises what :func:`mrml.image_from_node` raises."""
        frame = index if is_sequence(self._volume) else None
        image = mrml.image_from_node(self._volume, frame, colors=True)
        # Only the place is kept: a long sequence would fill the memory.
        self._places[index] = mrml.without_voxels(image)
        others = {name: mrml.image_from_node(node) for name, node in self._others.items()}
        return client.shared_worker(self._device).submit(TASK, *self.request.message(image, others))

    def write(self, finished: Sequence[Finished | None]) -> Result:
        """Bring everything into the scene; nothing is left of it if that fails."""
        answers = [
            None if answer is None else read_answer(answer.parameters, answer.arrays, self._places[index])
            for index, answer in enumerate(finished)
        ]
        node = self._write_segments(answers)
        summaries = tuple(answer.summary for answer in answers if answer is not None)
        return Result(node, tables.write_statistics(node, summaries), summaries, is_sequence(self._volume))

    def _write_segments(self, answers: Sequence[Segmentation | None]) -> Node:
        if is_sequence(self._volume):
            return write_sequence(self._volume, answers)
        for answer in answers:
            if answer is not None:
                summary = answer.summary
                return results.write_segmentation(
                    self._volume, answer.labels, summary.table, summary.provenance, self._segmentation
                )
        raise ValueError("There is no result to write.")
