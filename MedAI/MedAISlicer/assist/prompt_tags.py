"""The prompts of a segment, kept as one of its tags.

So they belong to the segment wherever it goes: they are taken back and done again by Segment Editor's own undo, saved
with the segmentation and loaded again, and copied with the segment. Their coordinates are the own RAS of the volume
that they were drawn on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from MedAILib.errors import ReadError
from MedAILib.interactive.prompt_file import VERSION, from_json, to_json
from MedAILib.interactive.prompts import Prompt

from ..provenance import PREFIX, tag

Node = Any

TAG = f"{PREFIX}Prompts"


def text_of(segment: Node) -> str:
    """The tag as it is, which tells whether prompts were added or taken back."""
    return tag(segment, TAG)


def read(segment: Node) -> list[Prompt]:
    """The prompts of a segment in the order in which they were drawn; none of a tag that is damaged."""
    text = text_of(segment)
    if not text:
        return []
    try:
        value = json.loads(text)
        if value["version"] != VERSION:
            return []
        return [from_json(each, number) for number, each in enumerate(value["prompts"], 1)]
    except (ValueError, KeyError, TypeError, ReadError):
        return []


def write(segment: Node, prompts: Iterable[Prompt]) -> None:
    """Keep these prompts and no others."""
    value = {"version": VERSION, "coordinates": "RAS", "prompts": [_slim(to_json(each)) for each in prompts]}
    if not value["prompts"]:
        if text_of(segment):
            segment.RemoveTag(TAG)
        return
    # A bar would end the tag in a file.
    segment.SetTag(TAG, json.dumps(value, separators=(",", ":")).replace("|", "\\u007c"))


def _slim(value: dict[str, Any]) -> dict[str, Any]:
    """Without what a reader takes for granted; the label is the segment."""
    usual = {"positive": True, "radius": 0.0}
    return {key: each for key, each in value.items() if key != "label" and usual.get(key) != each}
