"""The curves of a training as nodes of the scene: two tables, and a chart over them that Slicer's own plots show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from ..figures import column
from .log import Line, Log

Node = Any

TAG = "MedAI.Train"
FOLDER = "MedAITraining"
"""Attribute of the nodes that belong to a training: its folder."""

TIME, MEAN = "Time [min]", "Dice"
"""Columns of the tables."""
SHOWN_CLASSES = 6
"""Lines of single classes in the chart; the table has all."""

GRAY = (0.45, 0.45, 0.45)
COLORS = ((0.1, 0.3, 0.8), (0.85, 0.35, 0.1), (0.1, 0.6, 0.25), (0.6, 0.2, 0.6), (0.75, 0.6, 0.0), (0.0, 0.6, 0.65))
_MEAN_COLOR = (0.0, 0.0, 0.0)


def view_node(owner: Node) -> Node:
    """What the plot view of the tab shows; it is no view of Slicer's layout.

    Args:
        owner: a node of the scene that stands for the tab.
    """
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode(TAG, "vtkMRMLPlotViewNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLPlotViewNode")
        node.UnRegister(None)
        node.SetSingletonTag(TAG)
        node.SetLayoutName(TAG)
        node.SetSaveWithScene(False)
        # A chart that is chosen for Slicer's own plots is not meant for this one.
        node.SetDoPropagatePlotChartSelection(False)
        node.SetAndObserveParentLayoutNodeID(owner.GetID())
        node = scene.AddNode(node)
    elif node.GetParentLayoutNode() is None:  # a scene that is closed resets its nodes
        node.SetDoPropagatePlotChartSelection(False)
        node.SetAndObserveParentLayoutNodeID(owner.GetID())
    return node


class Curves:
    """Brings what the log of a training says into the scene, as it is written.

    Args:
        folder: of the training.
        log: its log file.
        name: of the model.

    Attributes:
        chart: the chart node; None while there is nothing to show.
        loss: of the last line that has one, or None.
        dice: class name to Dice of the last validation; the mean is under "".
    """

    def __init__(self, folder: Path, log: Path, name: str) -> None:
        self._folder, self._log, self._name = str(folder), Log(log), name
        self._tables: dict[str, Node] = {}
        self.chart: Node | None = None
        self.loss: float | None = None
        self.dice: dict[str, float] = {}

    def update(self) -> bool:
        """Read on; whether there was something new."""
        lines = self._log.news()
        losses = [line for line in lines if "loss" in line]
        checks = [line for line in lines if isinstance(line.get("validation"), dict)]
        if losses:
            self.loss = float(losses[-1]["loss"])
            self._extend("Loss", ["Loss"], [[_minutes(line), float(line["loss"])] for line in losses])
        for line in checks:
            self.dice = _dice(line)
        if checks:
            names = [name for name in self.dice if name]
            rows = [[_minutes(line), *_values(_dice(line), ["", *names])] for line in checks]
            self._extend("Validation", [MEAN, *names], rows)
        return bool(losses or checks)

    def _extend(self, what: str, columns: list[str], rows: Iterable[list[float]]) -> None:
        table = self._tables.get(what)
        if table is None:
            table = self._tables[what] = self._new_table(what, columns)
            self._new_lines(table, columns)
        content = table.GetTable()
        for row in rows:
            for number, value in enumerate(row[: content.GetNumberOfColumns()]):
                content.GetColumn(number).InsertNextValue(value)
        for number in range(content.GetNumberOfColumns()):
            content.GetColumn(number).Modified()
        content.Modified()
        table.Modified()

    def _new_table(self, what: str, columns: list[str]) -> Node:
        table = self._new("vtkMRMLTableNode", f"{self._name} {what.lower()}")
        content = vtk.vtkTable()
        for name in (TIME, *columns):
            content.AddColumn(column(vtk.vtkDoubleArray(), name, []))
        table.SetAndObserveTable(content)
        table.SetUseColumnTitleAsColumnHeader(True)
        return table

    def _new_lines(self, table: Node, columns: list[str]) -> None:
        if self.chart is None:
            self.chart = self._new("vtkMRMLPlotChartNode", f"{self._name} training")
            self.chart.SetTitle(self._name)
            self.chart.SetXAxisTitle(TIME)
            self.chart.SetYAxisTitle(_("Loss, Dice"))
        for number, name in enumerate(columns[: SHOWN_CLASSES + 1]):
            series = self._new("vtkMRMLPlotSeriesNode", name)
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetXColumnName(TIME)
            series.SetYColumnName(name)
            series.SetPlotType(series.PlotTypeScatter)
            # The first validation is a point, which no line shows.
            series.SetMarkerStyle(series.MarkerStyleNone if name == "Loss" else series.MarkerStyleCircle)
            series.SetColor(*(GRAY if name == "Loss" else COLORS[number - 1] if number else _MEAN_COLOR))
            self.chart.AddAndObservePlotSeriesNodeID(series.GetID())

    def _new(self, kind: str, name: str) -> Node:
        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
        node.SetAttribute(FOLDER, self._folder)
        return node


def forget(folder: Path) -> None:
    """Remove the nodes of a training whose curves are drawn anew."""
    scene = slicer.mrmlScene
    for kind in ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode"):
        nodes = [scene.GetNthNodeByClass(number, kind) for number in range(scene.GetNumberOfNodesByClass(kind))]
        for node in nodes:
            if node.GetAttribute(FOLDER) == str(folder):
                scene.RemoveNode(node)


def _values(dice: dict[str, float], names: list[str]) -> list[float]:
    return [dice.get(name, float("nan")) for name in names]


def _minutes(line: Line) -> float:
    return float(line["seconds"]) / 60.0


def _dice(line: Line) -> dict[str, float]:
    """Class name to Dice; the mean is under ""."""
    found = line["validation"]
    return {"": float(found["dice"]), **{name: float(value) for name, value in found.get("classes", {}).items()}}
