"""The quality of a registration as a table node, which also remembers everything that belongs to the result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import vtk

from MedAILib.registration.summary import RegistrationSummary

from .. import provenance
from ..results import place_beside

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
    """A new table: one row per figure, before and after.

    Args:
        scene: receives the table.
        name: of the registration.
        summaries: one per frame, None for a frame without result; more than one gives a column with its number.
        nodes: reference role to node; the fixed volume is among them.

    Returns:
        The table node. Figures are text with as many digits as can be read at a glance, empty where there is none, as
        a column of numbers would show "nan" there; :func:`summaries_of` has all.
    """
    rows = [(frame, row) for frame, summary in enumerate(summaries, 1) if summary is not None for row in summary.rows()]
    content = vtk.vtkTable()
    if len(summaries) > 1:
        content.AddColumn(_column(vtk.vtkIntArray(), "Frame", [frame for frame, _row in rows]))
    content.AddColumn(_column(vtk.vtkStringArray(), "Measure", [row["Measure"] for _frame, row in rows]))
    for title in ("Before", "After"):
        values = [_shown(row[title]) for _frame, row in rows]
        content.AddColumn(_column(vtk.vtkStringArray(), title, values))
    content.AddColumn(_column(vtk.vtkStringArray(), "Unit", [row["Unit"] for _frame, row in rows]))
    table = scene.CreateNodeByClass("vtkMRMLTableNode")
    table.UnRegister(None)
    table.SetName(scene.GenerateUniqueName(f"{name} quality"))
    table.SetAndObserveTable(content)
    table.SetUseColumnTitleAsColumnHeader(True)
    known = [None if summary is None else summary.to_json() for summary in summaries]
    table.SetAttribute(SUMMARIES, json.dumps(known))
    # Now only, so that a chooser of results knows it as one from the beginning.
    scene.AddNode(table)
    first = next(summary for summary in summaries if summary is not None)
    provenance.to_node(table, provenance.complete(first.provenance))
    for role, node in nodes.items():
        refer(table, role, node)
    place_beside(table, nodes[FIXED])
    return table


def summaries_of(table: Node | None) -> list[RegistrationSummary | None]:
    """What the run behind the table told, one per frame; empty for a table that is no result."""
    text = table.GetAttribute(SUMMARIES) if table is not None else None
    return [None if data is None else RegistrationSummary.from_json(data) for data in json.loads(text or "[]")]


def refer(table: Node, role: str, node: Node | None) -> None:
    """Let the table remember a node in a role."""
    table.SetNodeReferenceID(role, None if node is None else node.GetID())


def referred(table: Node | None, role: str) -> Node | None:
    """The node in a role, if it is in the scene."""
    return None if table is None else table.GetNodeReference(role)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _column(array: Node, name: str, values: Sequence[Any]) -> Node:
    array.SetName(name)
    for value in values:
        array.InsertNextValue(value)
    return array
