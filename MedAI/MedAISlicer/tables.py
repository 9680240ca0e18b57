"""The statistics of a segmentation as a table node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import vtk

from MedAILib.statistics import LabelStatistics
from MedAILib.summary import Summary

from . import provenance
from .figures import column
from .results import place_beside

Node = Any

ROLE = "MedAI.Statistics"
"""Node reference from the segmentation to its table, and back."""

SUMMARIES = "MedAISummaries"
"""Attribute of the table that keeps everything the runs told about themselves."""

EARLIER = "MedAIEarlierSummaries"
"""Attribute of the table that keeps what it said before the last result, for when that is taken back."""

FIGURES = {
    "Volume [ml]": "volume_ml",
    "Surface [mm2]": "surface_mm2",
    "Mean": "mean",
    "Minimum": "minimum",
    "Maximum": "maximum",
}
"""Column name to attribute of :class:`MedAILib.statistics.LabelStatistics`."""


def table_of(segmentation: Node) -> Node | None:
    """The segmentation's statistics table, if there is one."""
    return segmentation.GetNodeReference(ROLE)


def write_statistics(segmentation: Node, summaries: Sequence[Summary]) -> Node:
    """Write one row per structure that was found, into the segmentation's table or a new one beside it.

    Args:
        segmentation: the node the figures are about.
        summaries: one per frame; more than one gives a column with the frame's number.

    Returns:
        The table node. Its columns are typed: text, whole numbers, and real numbers with NaN for "unknown".
    """
    rows = [(frame, row) for frame, summary in enumerate(summaries, 1) for row in summary.found]
    content = vtk.vtkTable()
    if len(summaries) > 1:
        content.AddColumn(column(vtk.vtkIntArray(), "Frame", [frame for frame, _ in rows]))
    content.AddColumn(column(vtk.vtkStringArray(), "Segment", [row.name for _, row in rows]))
    content.AddColumn(column(vtk.vtkIntArray(), "Voxels", [row.voxels for _, row in rows]))
    for name, attribute in FIGURES.items():
        content.AddColumn(column(vtk.vtkDoubleArray(), name, [_figure(row, attribute) for _, row in rows]))
    table = table_of(segmentation) or _new_table(segmentation)
    modifying = table.StartModify()
    table.SetAndObserveTable(content)
    table.SetUseColumnTitleAsColumnHeader(True)
    table.SetAttribute(EARLIER, table.GetAttribute(SUMMARIES))
    table.SetAttribute(SUMMARIES, json.dumps([summary.to_json() for summary in summaries]))
    if summaries:
        provenance.to_node(table, provenance.complete(summaries[0].provenance))
    table.EndModify(modifying)
    return table


def summaries_of(segmentation: Node) -> tuple[Summary, ...]:
    """What the last run into the segmentation told (timings, volumes, warnings), one per frame; empty if unknown."""
    table = table_of(segmentation)
    return () if table is None else _kept(table, SUMMARIES)


def take_back(segmentation: Node) -> None:
    """After the last result was undone: the figures of the one before, or no table if they are not known."""
    table = table_of(segmentation)
    if table is None:
        return
    earlier = _kept(table, EARLIER)
    if earlier:
        write_statistics(segmentation, earlier)
        table.RemoveAttribute(EARLIER)
    else:
        table.GetScene().RemoveNode(table)


def _kept(table: Node, attribute: str) -> tuple[Summary, ...]:
    return tuple(Summary.from_json(data) for data in json.loads(table.GetAttribute(attribute) or "[]"))


def _new_table(segmentation: Node) -> Node:
    scene = segmentation.GetScene()
    name = scene.GenerateUniqueName(f"{segmentation.GetName()} statistics")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    segmentation.SetNodeReferenceID(ROLE, table.GetID())
    table.SetNodeReferenceID(ROLE, segmentation.GetID())
    place_beside(table, segmentation)
    return table


def _figure(row: LabelStatistics, attribute: str) -> float:
    return float(getattr(row, attribute))
