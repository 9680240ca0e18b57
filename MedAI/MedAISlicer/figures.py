"""The figures of a run as a table node, which also remembers everything that belongs to the result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import vtk

from . import provenance
from .results import place_beside

Node = Any


class Summary(Protocol):
    """What a run tells about itself."""

    @property
    def provenance(self) -> dict[str, str]: ...

    def rows(self) -> list[dict[str, Any]]: ...

    def to_json(self) -> dict[str, Any]: ...


def write_figures(
    scene: Node,
    name: str,
    attribute: str,
    summaries: Sequence[Summary | None],
    columns: Sequence[str],
    nodes: Mapping[str, Node | None],
    beside: Node,
) -> Node:
    """A new table: one row per figure.

    Args:
        scene: receives the table.
        name: of the table.
        attribute: keeps the summaries; what tells that a table is a result of this kind.
        summaries: one per frame, None for a frame without result; more than one gives a column with its number.
        columns: keys of the summaries' rows.
        nodes: reference role to node.
        beside: the node in whose place in the subject hierarchy the table goes.

    Returns:
        The table node. Figures are text with as many digits as can be read at a glance, empty where there is none, as
        a column of numbers would show "nan" there; the attribute has all.
    """
    rows = [(frame, row) for frame, summary in enumerate(summaries, 1) if summary is not None for row in summary.rows()]
    content = vtk.vtkTable()
    if len(summaries) > 1:
        content.AddColumn(column(vtk.vtkIntArray(), "Frame", [frame for frame, _row in rows]))
    for title in columns:
        content.AddColumn(column(vtk.vtkStringArray(), title, [_shown(row[title]) for _frame, row in rows]))
    table = scene.CreateNodeByClass("vtkMRMLTableNode")
    table.UnRegister(None)
    table.SetName(scene.GenerateUniqueName(name))
    table.SetAndObserveTable(content)
    table.SetUseColumnTitleAsColumnHeader(True)
    known = [None if summary is None else summary.to_json() for summary in summaries]
    table.SetAttribute(attribute, json.dumps(known))
    # Now only, so that a chooser of results knows it as one from the beginning.
    scene.AddNode(table)
    first = next(summary for summary in summaries if summary is not None)
    provenance.to_node(table, provenance.complete(first.provenance))
    for role, node in nodes.items():
        refer(table, role, node)
    place_beside(table, beside)
    return table


def kept(table: Node | None, attribute: str) -> list[dict[str, Any] | None]:
    """What the summaries' ``to_json`` gave, one per frame; empty for a table that is no such result."""
    text = table.GetAttribute(attribute) if table is not None else None
    return json.loads(text or "[]")


def refer(table: Node, role: str, node: Node | None) -> None:
    """Let the table remember a node in a role."""
    table.SetNodeReferenceID(role, None if node is None else node.GetID())


def referred(table: Node | None, role: str) -> Node | None:
    """The node in a role, if it is in the scene."""
    return None if table is None else table.GetNodeReference(role)


def column(array: Node, name: str, values: Sequence[Any]) -> Node:
    """A table's column with these values."""
    array.SetName(name)
    for value in values:
        array.InsertNextValue(value)
    return array


def _shown(value: float | str | None) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else f"{value:.4g}"
