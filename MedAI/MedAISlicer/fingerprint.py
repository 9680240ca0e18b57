"""Tells whether a segment is still as the AI left it.

When a segment is written, the facts that identify it go into one of its tags: a hash of its voxels, where they lie, its
own ID, and the color and terminology it was given. Later they are compared with the segment as it is then. The
comparison survives another layer, label value and extent, and saving and loading; it notices each changed voxel, a
moved grid and a copied segment. In doubt a segment counts as the user's: a file has one grid for all its segments, so
those on another grid come back changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from MedAILib.geometry import centre_shift
from MedAILib.label_boxes import Box, label_boxes
from MedAILib.labels import Label

from . import mrml
from .provenance import PREFIX, tag

Node = Any

TAG = f"{PREFIX}Fingerprint"
STATUS_TAG = "Segmentation.Status"
DECIDED = ("completed", "flagged")
"""Segment states by which a user says that he has looked at a segment; it is his from then on."""

PLACE_TOLERANCE = 1e-3
"""Millimetres within which a grid counts as not moved: files round more coarsely than memory."""


@dataclass(frozen=True)
class Shape:
    """The voxels of a segment, however they are stored.

    Attributes:
        voxels: hash of the box around them; empty for no voxels.
        size: of that box, (k, j, i).
        affine: its first voxel to the segmentation's RAS, 16 numbers.
    """

    voxels: str = ""
    size: tuple[int, ...] = ()
    affine: tuple[float, ...] = ()

    def same(self, other: Shape) -> bool:
        """Whether both are the same voxels in the same place."""
        if (self.voxels, self.size) != (other.voxels, other.size):
            return False
        return bool(np.allclose(self.affine, other.affine, rtol=0, atol=PLACE_TOLERANCE))


@dataclass(frozen=True)
class Written:
    """What the AI gave a segment.

    Attributes:
        id: of the segment; a copy that the user made has another one.
        structure: which structure it is, see :func:`structure_of`.
        color, terminology: what it was offered; if the segment has others now, the user chose them.
        shape: its voxels.
    """

    id: str
    structure: str
    color: tuple[float, ...]
    terminology: str
    shape: Shape


def structure_of(label: Label) -> str:
    """The same for the same structure in two results, whatever the label value."""
    return f"{label.type.scheme} {label.type.value} {label.modifier.value if label.modifier else '-'} {label.name}"


def shapes(segments: Mapping[str, Node]) -> dict[str, Shape]:
    """The shape of each segment (ID to vtkSegment); each layer is gone through once, however many segments share it."""
    layers: dict[str, tuple[Node, np.ndarray, dict[int, Box]]] = {}
    result = {}
    for segment_id, segment in segments.items():
        layer = mrml.layer_of(segment)
        if layer is None:
            result[segment_id] = Shape()
            continue
        address = layer.GetAddressAsString("")
        if address not in layers:
            array = mrml.layer_array(layer)
            layers[address] = layer, array, label_boxes(array)
        result[segment_id] = _shape(*layers[address], segment.GetLabelValue())
    return result


def _shape(layer: Node, array: np.ndarray, boxes: Mapping[int, Box], value: int) -> Shape:
    if value not in boxes:
        return Shape()
    box = boxes[value]
    mask = np.packbits(array[box] == value)
    affine = centre_shift(mrml.layer_affine(layer), (box[0].start, box[1].start, box[2].start))
    size = tuple(part.stop - part.start for part in box)
    return Shape(hashlib.sha256(mask.tobytes()).hexdigest()[:32], size, tuple(affine.ravel().tolist()))


def write(segment: Node, written: Written) -> None:
    """Remember what the segment was given."""
    segment.SetTag(TAG, json.dumps(asdict(written), separators=(",", ":")).replace("|", "\\u007c"))


def read(segment: Node, segment_id: str) -> Written | None:
    """What the AI wrote, or None for a segment that it did not write, or that is somebody's copy of one."""
    text = tag(segment, TAG)
    if not text:
        return None
    try:
        data = json.loads(text)
        data["shape"] = Shape(data["shape"]["voxels"], tuple(data["shape"]["size"]), tuple(data["shape"]["affine"]))
        written = Written(**{**data, "color": tuple(data["color"])})
    except (ValueError, KeyError, TypeError):
        return None
    return written if written.id == segment_id else None


def untouched(segment: Node, written: Written, shape: Shape) -> bool:
    """Whether nobody has worked on the segment: same voxels, and not marked as completed or flagged.

    A new name or color alone does not count: the segment can be renewed and keeps them.
    """
    return written.shape.same(shape) and tag(segment, STATUS_TAG) not in DECIDED
