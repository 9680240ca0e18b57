"""Where a result comes from (model, version, hash, parameters, device, seconds, time), kept in the scene as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import vtk

Node = Any

PREFIX = "MedAI."
KEYS = ("Model", "ModelVersion", "ModelSHA256", "Parameters", "Device", "Seconds", "Source", "Time", "Version")
"""What a run states about itself. Others are written too, but a segment does not list its tags: only these are read."""


def complete(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Text pairs ready to be stored: prefixed keys, the time, and no characters that end a tag in a .seg.nrrd file."""
    from MedAILib import __version__

    pairs = {f"{PREFIX}{key.removeprefix(PREFIX)}": _one_line(value) for key, value in provenance.items()}
    stamp = {f"{PREFIX}Time": datetime.now(timezone.utc).isoformat(timespec="seconds"), f"{PREFIX}Version": __version__}
    return {**stamp, **pairs}


def _one_line(value: Any) -> str:
    return " ".join(str(value).replace("|", "/").split())


def tag(segment: Node, name: str) -> str:
    """A segment's tag, empty if it has none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def of_segment(segment: Node) -> dict[str, str]:
    """What :func:`complete` gave, read off a segment's tags; empty for a segment that no model made."""
    pairs = {PREFIX + key: tag(segment, PREFIX + key) for key in KEYS}
    return {key: value for key, value in pairs.items() if value}


def of_node(node: Node) -> dict[str, str]:
    """What :func:`complete` gave, read off a node's attributes; empty for a node that no model made."""
    names = [name for name in node.GetAttributeNames() if name.startswith(PREFIX)]
    return {name: node.GetAttribute(name) for name in names}


def to_segment(segment: Node, pairs: Mapping[str, str]) -> None:
    """Write the pairs as tags."""
    for key, value in pairs.items():
        segment.SetTag(key, value)


def to_node(node: Node, pairs: Mapping[str, str]) -> None:
    """Write the pairs as attributes, and as a description if the user has not written one."""
    previous = text(of_node(node))
    for key, value in pairs.items():
        node.SetAttribute(key, value)
    if (node.GetDescription() or "") in ("", previous):
        node.SetDescription(text(pairs))


def text(pairs: Mapping[str, str]) -> str:
    """One line for people, e.g. ``brain-mr 1.0 on cpu float32, 12.3 s, 2026-11-20T18:00:00+00:00``."""
    get = {key: pairs.get(PREFIX + key, "") for key in KEYS}
    model = " ".join(part for part in (get["Model"], get["ModelVersion"]) if part)
    registration = pairs.get(f"{PREFIX}Registration", "")
    finer = pairs.get(f"{PREFIX}SuperResolution", "")
    what = model or (f"registration ({registration})" if registration else "")
    what = what or (f"{pairs.get(f'{PREFIX}Computed', '')}: super-resolution ({finer})" if finer else "")
    if not what:
        return ""
    place = f"{what} on {get['Device']}" if get["Device"] else what
    seconds = f"{get['Seconds']} s" if get["Seconds"] else ""
    return ", ".join(part for part in (place, seconds, get["Time"]) if part)
