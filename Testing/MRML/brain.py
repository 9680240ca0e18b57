"""A made-up result for a small volume, what a user may do to it, and what is left of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from MedAILib.image import Image, Kind
from MedAILib.labels import LEFT, Code, Label
from MedAISlicer import mrml, provenance

SHAPE = (8, 9, 10)
LEFT_HIPPOCAMPUS = Label(17, "Left hippocampus", (0.9, 0.8, 0.1), Code("SCT", "5366008", "Hippocampus"), LEFT)
THALAMUS = Label(3, "Thalamus", (0.0, 0.5, 0.1), Code("SCT", "42695009", "Thalamus"))
STEM = Label(16, "Brain stem", (0.5, 0.6, 0.7), Code("SCT", "15926001", "Brain stem"))
TABLE = [LEFT_HIPPOCAMPUS, THALAMUS, STEM]
FACTS = {
    "MedAI.Model": "brain-mr",
    "MedAI.ModelVersion": "1.0",
    "MedAI.ModelSHA256": "ab" * 32,
    "MedAI.Parameters": "mode=exact, modality=MR",
    "MedAI.Device": "cpu float32",
    "MedAI.Seconds": "12.3",
    "MedAI.Source": "head|1",
}


def result(shift: int = 0) -> np.ndarray:
    """Two structures, moved along the last axis."""
    array = np.zeros(SHAPE, np.uint8)
    array[2:5, 2:6, 1 + shift : 4 + shift], array[5:7, 3:7, 2 + shift : 6 + shift] = 17, 3
    return array


def labels(array: np.ndarray, affine: np.ndarray | None = None) -> Image:
    return Image(array, np.eye(4) if affine is None else affine, "result", Kind.LABEL)


def segments(node: Any) -> dict[str, Any]:
    content = node.GetSegmentation()
    return {content.GetSegment(one).GetName(): content.GetSegment(one) for one in content.GetSegmentIDs()}


def segment_id(node: Any, name: str) -> str:
    return node.GetSegmentation().GetSegmentIdBySegmentName(name)


def voxels(node: Any, name: str) -> np.ndarray:
    like = Image(np.zeros(SHAPE, np.uint8), mrml.world_from_local(node))
    return mrml.mask_from_segment(node, segment_id(node, name), like).array > 0


def draw(node: Any, name: str, box: tuple[slice, slice, slice], value: int = 1) -> None:
    """What a user's brush does to a segment: voxels in the layer that it shares with its neighbors."""
    segment = segments(node)[name]
    layer = segment.GetRepresentation(mrml.BINARY_LABELMAP)
    array = np.zeros(SHAPE, np.uint8)
    start = layer.GetExtent()[4::-2]
    old = mrml.layer_array(layer)
    array[tuple(slice(first, first + size) for first, size in zip(start, old.shape, strict=True))] = old
    array[box] = value and segment.GetLabelValue()
    layer.DeepCopy(mrml.layer_from_array(array, np.eye(4)))


def add_own(node: Any, name: str, box: tuple[slice, slice, slice]) -> None:
    """A segment that the user drew."""
    array = np.zeros(SHAPE, np.uint8)
    array[box] = 3
    ((_, segment),) = mrml.segments_from_labels(array, np.eye(4), TABLE)
    segment.SetName(name)
    node.GetSegmentation().AddSegment(segment, node.GetSegmentation().GenerateUniqueSegmentID("Segment"))


def snapshot(node: Any) -> list[tuple[Any, ...]]:
    return [
        (one, name, segment.GetColor(), voxels(node, name).tobytes(), provenance.of_segment(segment))
        for one, (name, segment) in zip(node.GetSegmentation().GetSegmentIDs(), segments(node).items(), strict=True)
    ]


CORNER = (slice(0, 2), slice(0, 2), slice(0, 2))
