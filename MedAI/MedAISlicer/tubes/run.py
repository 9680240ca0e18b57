"""The three runs on a tube: a mended segment, a straightened volume, and what was drawn on that brought back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from MedAILib.errors import MedAIError, UsageError
from MedAILib.tubes.request import (
    BRIDGE,
    RESTORE,
    STRAIGHTEN,
    BridgeRequest,
    RestoreRequest,
    StraightenRequest,
    read_bridged,
    read_planes,
    read_restored,
    read_straightened,
)
from MedAILib.tubes.summary import TubeSummary
from MedAILib.worker import client
from MedAILib.worker.events import Finished

from .. import mrml, results
from ..assist.editors import Editor
from ..assist.target import Target
from ..assist.writing import write
from ..identity import label_from_segment
from ..run import Job

Node = Any

PLANES = "MedAIPlanes"
"""Attribute of a straightened volume: where each of its planes was, as JSON."""

SOURCE, SEGMENTATION = "MedAI.StraightenedFrom", "MedAI.StraightenedSegmentation"
"""References from a straightened volume to the volume and the segmentation that it was made from."""


@dataclass(frozen=True)
class Result:
    """What a run left.

    Attributes:
        summary: its figures.
        volume, segmentation: new or changed nodes that are to be shown; None to leave the choice as it is.
    """

    summary: TubeSummary
    volume: Node | None = None
    segmentation: Node | None = None


class TubeRun:
    """Base of the runs: one job, on a segment and a volume.

    Args:
        target: the segment, and the volume that the Segment Editor shows with it.

    Raises:
        UsageError: one of them is not in the scene.
    """

    count = 1

    def __init__(self, target: Target) -> None:
        results.check_in_scene(target.volume)
        results.check_in_scene(target.segmentation, "segmentation")
        if target.segment is None:
            raise UsageError(f"{target.segmentation.GetName()} has no segment {target.segment_id!r}.")
        self.target = target
        self.name = target.segment.GetName()

    def uses(self, node: Node) -> bool:
        """Whether the run cannot be brought to its end without this node."""
        return node is self.target.volume or node is self.target.segmentation

    def skippable(self, index: int, error: MedAIError) -> bool:
        """There is only one job."""
        return False

    def _images(self) -> tuple[Any, Any]:
        """The volume, and the segment on its voxels, in world RAS."""
        image = mrml.image_from_node(self.target.volume)
        return image, mrml.mask_from_segment(self.target.segmentation, self.target.segment_id, image)

    def _submit(self, task: str, message: Any) -> Job:
        return client.shared_worker().submit(task, *message)


class BridgeRun(TubeRun):
    """Closes the gaps of the segment; written as one undo state of an editor, as far as its masking allows."""

    def __init__(self, target: Target, editor: Editor, request: BridgeRequest | None = None) -> None:
        super().__init__(target)
        results.check_output(target.segmentation)
        self._editor, self._request = editor, request or BridgeRequest()
        self._mask: Any = None
        self._state: Any = None

    def submit(self, index: int) -> Job:
        """Send the segment and the volume."""
        image, self._mask = self._images()
        self._state = self.target.segment_state(), self.target.volume_state()
        return self._submit(BRIDGE, self._request.message(self._mask, image))

    def write(self, finished: Sequence[Finished | None]) -> Result:
        """Bring the bridges into the segment.

        Raises:
            UsageError: somebody has changed the segment, or chosen another one for the editor, meanwhile.
        """
        (done,) = finished
        assert done is not None
        found = read_bridged(done.parameters, done.arrays, self._mask)
        gone = self.target.why_gone()
        if gone or (self.target.segment_state(), self.target.volume_state()) != self._state:
            raise UsageError(f"{gone or f'{self.name} was changed meanwhile.'} It was left as it is; try again.")
        if not self._editor.shows(self.target):
            # Its undo states and its masks are those of something else now.
            raise UsageError(f"The Segment Editor shows something else now. {self.name} was left as it is; try again.")
        k, j, i = self.target.shape
        write(self._editor, self.target, (slice(0, k), slice(0, j), slice(0, i)), found.labels.array > 0)
        return Result(found.summary)


class StraightenRun(TubeRun):
    """Makes a volume that is laid out along the segment, and a segmentation of it that holds the segment."""

    def __init__(self, target: Target, request: StraightenRequest | None = None) -> None:
        super().__init__(target)
        self._request = request or StraightenRequest()

    def submit(self, index: int) -> Job:
        """Send the volume and the segment."""
        image, mask = self._images()
        return self._submit(STRAIGHTEN, self._request.message(image, mask, mask))

    def write(self, finished: Sequence[Finished | None]) -> Result:
        """Bring both into the scene."""
        (done,) = finished
        assert done is not None
        found = read_straightened(done.parameters, done.arrays)
        source, gone = self.target.volume, self.target.why_gone()
        if gone:
            raise UsageError(f"{gone} The result was dropped.")
        volume = mrml.volume_from_image(source.GetScene(), found.image)
        volume.SetName(source.GetScene().GenerateUniqueName(f"{source.GetName()} along {self.name}"))
        volume.SetAttribute(PLANES, json.dumps(found.planes.to_json()))
        volume.SetNodeReferenceID(SOURCE, source.GetID())
        volume.SetNodeReferenceID(SEGMENTATION, self.target.segmentation.GetID())
        results.place_beside(volume, source)
        assert found.labels is not None
        table, facts = [label_from_segment(1, self.target.segment)], found.summary.provenance
        segmentation = results.write_segmentation(volume, found.labels, table, facts, surface=False)
        segmentation.SetName(f"{volume.GetName()} segmentation")
        return Result(found.summary, volume, segmentation)


class RestoreRun(TubeRun):
    """Brings a segment that was drawn on a straightened volume back to the volume that this was made from.

    Raises:
        UsageError: the volume is no straightened one, or what it was made from is gone.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        reason = why_no_way_back(target.volume)
        if reason:
            raise UsageError(reason)
        self._planes = read_planes(json.loads(target.volume.GetAttribute(PLANES)))
        self._source = target.volume.GetNodeReference(SOURCE)
        self._into = target.volume.GetNodeReference(SEGMENTATION)
        self._table: Any = None

    def uses(self, node: Node) -> bool:
        """Whether the run cannot be brought to its end without this node."""
        return super().uses(node) or node is self._source or node is self._into

    def submit(self, index: int) -> Job:
        """Send the segment."""
        like = mrml.image_from_node(self.target.volume)
        ids = [self.target.segment_id]
        labels, self._table = mrml.labels_from_segmentation(self.target.segmentation, like, ids)
        return self._submit(RESTORE, RestoreRequest(self._planes).message(labels))

    def write(self, finished: Sequence[Finished | None]) -> Result:
        """A segment beside those that are there, which stay."""
        (done,) = finished
        assert done is not None
        found = read_restored(done.parameters, done.arrays, self._planes, self.name)
        labels = found.labels.with_array(found.labels.array.astype(np.uint8))
        into = self._into
        node = results.write_segmentation(self._source, labels, self._table, found.summary.provenance, into)
        return Result(found.summary, self._source, node)


def why_no_way_back(volume: Node | None) -> str:
    """Why what is drawn on a volume cannot be brought back, as a sentence; empty if it can."""
    if volume is None or not volume.GetAttribute(PLANES):
        return "Choose a straightened volume as the source volume, and a segment that was drawn on it."
    if volume.GetNodeReference(SOURCE) is None:
        return f"The volume that {volume.GetName()} was made from is no longer in the scene."
    return ""
