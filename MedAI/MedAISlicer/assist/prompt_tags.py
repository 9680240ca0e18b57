"""The prompts of a segment, kept as one of its tags.

So they belong to the segment wherever it goes: they are taken back and done again by Segment Editor's own undo, saved
with the segmentation and loaded again, and copied with the segment. Their coordinates are the own RAS of the volume
that they were drawn on, which the tag names with its grid: when a transform of the volume is hardened, the prompts move
along, and on another volume they lie where the user saw them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from MedAILib.errors import ReadError
from MedAILib.interactive.prompt_file import VERSION, from_json, to_json
from MedAILib.interactive.prompts import Prompt

from .. import mrml
from ..provenance import PREFIX, tag
from .places import DIGITS, own_points, world_points

Node = Any

TAG = f"{PREFIX}Prompts"


def text_of(segment: Node) -> str:
    """The tag as it is, which tells whether prompts were added or taken back."""
    return tag(segment, TAG)


def read(segment: Node, volume: Node) -> list[Prompt]:
    """The prompts of a segment in the order in which they were drawn; none of a tag that is damaged.

    Args:
        segment: vtkSegment.
        volume: in whose own RAS they are given.
    """
    text = text_of(segment)
    if not text:
        return []
    try:
        value = json.loads(text)
        if value["version"] != VERSION:
            return []
        prompts = [from_json(each, number) for number, each in enumerate(value["prompts"], 1)]
        return _moved(prompts, str(value["volume"]), np.array(value["affine"], float).reshape(4, 4), volume)
    except (ValueError, KeyError, TypeError, ReadError):
        return []


def write(segment: Node, prompts: Iterable[Prompt], volume: Node) -> None:
    """Keep these prompts and no others; arguments as above."""
    slim = [_slim(to_json(each)) for each in prompts]
    if not slim:
        if text_of(segment):
            segment.RemoveTag(TAG)
        return
    value = {
        "version": VERSION,
        "coordinates": "RAS",
        "volume": volume.GetID(),
        "affine": mrml.local_affine(volume).ravel().tolist(),
        "prompts": slim,
    }
    # A bar would end the tag in a file.
    segment.SetTag(TAG, json.dumps(value, separators=(",", ":")).replace("|", "\\u007c"))


def _moved(prompts: list[Prompt], name: str, affine: np.ndarray, volume: Node) -> list[Prompt]:
    """The prompts that were drawn on a volume with this ID, and with this matrix then, in another one's own RAS."""
    drawn = volume if volume.GetID() == name else volume.GetScene().GetNodeByID(name)
    if drawn is None or not drawn.IsA("vtkMRMLVolumeNode") or drawn.GetImageData() is None:
        return prompts
    step = mrml.local_affine(drawn) @ np.linalg.inv(affine)
    turned = not np.allclose(step, np.eye(4), rtol=0.0, atol=1e-6)
    if turned:
        prompts = [replace(one, points=np.round(one.points @ step[:3, :3].T + step[:3, 3], DIGITS)) for one in prompts]
    if drawn is volume or drawn.GetParentTransformNode() is volume.GetParentTransformNode():
        return prompts
    return [replace(one, points=own_points(volume, world_points(drawn, one.points))) for one in prompts]


def _slim(value: dict[str, Any]) -> dict[str, Any]:
    """Without what a reader takes for granted; the label is the segment."""
    usual = {"positive": True, "radius": 0.0}
    return {key: each for key, each in value.items() if key != "label" and usual.get(key) != each}
