"""The quality of a registration as a table node, which also remembers everything that belongs to the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from MedAILib.registration.summary import RegistrationSummary

from ..figures import kept, refer, referred, write_figures

__all__ = ["refer", "referred", "summaries_of", "write_quality"]

Node = Any

SUMMARIES = "MedAIRegistrations"
"""Attribute of the table that keeps everything the runs told about themselves; only results have it."""

FIXED, MOVING = "MedAI.Fixed", "MedAI.Moving"
TRANSFORM, INVERSE = "MedAI.Transform", "MedAI.Inverse"
VOLUME, JACOBIAN = "MedAI.Registered", "MedAI.Jacobian"
CARRIED = "MedAI.Carried"
"""Node references of the table to what belongs to the result."""


def write_quality(
    scene: Node, name: str, summaries: Sequence[RegistrationSummary | None], nodes: Mapping[str, Node | None]
) -> Node:
    """A new table: one row per figure, before and after; see :func:`MedAISlicer.figures.write_figures`.

    Args:
        scene: receives the table.
        name: of the registration.
        summaries: one per frame, None for a frame without result.
        nodes: reference role to node; the fixed volume is among them.
    """
    columns = ("Measure", "Before", "After", "Unit")
    return write_figures(scene, f"{name} quality", SUMMARIES, summaries, columns, nodes, nodes[FIXED])


def summaries_of(table: Node | None) -> list[RegistrationSummary | None]:
    """What the run behind the table told, one per frame; empty for a table that is no result."""
    return [None if data is None else RegistrationSummary.from_json(data) for data in kept(table, SUMMARIES)]
