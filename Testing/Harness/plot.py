"""The place of Slicer's own plot view: draws what a chart node says, as far as pictures and tests need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
from PySide6.QtCore import QPointF, QRect, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QWidget


@dataclass(frozen=True)
class Curve:
    """A line of a chart."""

    name: str
    color: tuple[float, float, float]
    points: tuple[tuple[float, float], ...]
    marked: bool

    @classmethod
    def of(cls, series: slicer.vtkMRMLPlotSeriesNode) -> Curve:
        table = series.GetTableNode().GetTable()
        x, y = (table.GetColumnByName(name) for name in (series.GetXColumnName(), series.GetYColumnName()))
        points = tuple((x.GetValue(row), y.GetValue(row)) for row in range(table.GetNumberOfRows()))
        return cls(series.GetName(), series.GetColor(), points, series.GetMarkerStyle() != series.MarkerStyleNone)


class qMRMLPlotView(QWidget):
    """Draws the lines of a chart node over each other; which ones there are is read each time that it is drawn."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._node = None

    def setMRMLPlotViewNode(self, node: slicer.vtkMRMLPlotViewNode | None) -> None:
        self._node = node
        self.update()

    def fitToContent(self) -> None:
        self.update()

    def curves(self) -> list[Curve]:
        """What the chart shows now."""
        chart = self._node.GetPlotChartNode() if self._node is not None else None
        count = chart.GetNumberOfPlotSeriesNodes() if chart is not None else 0
        return [Curve.of(chart.GetNthPlotSeriesNode(number)) for number in range(count)]

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), Qt.GlobalColor.white)
        curves = [curve for curve in self.curves() if curve.points]
        if curves:
            _draw(painter, self.rect().adjusted(50, 30, -20, -40), curves, self._node.GetPlotChartNode())
        painter.end()


def _draw(painter: QPainter, box: QRect, curves: list[Curve], chart: Any) -> None:
    right = max(x for curve in curves for x, _y in curve.points) or 1.0
    top = max(1.0, *(y for curve in curves for _x, y in curve.points))
    painter.setPen(Qt.GlobalColor.black)
    painter.drawRect(box)
    for part in (0.0, 0.5, 1.0):
        place = QPointF(box.left() - 45, box.bottom() - part * box.height() + 5)
        painter.drawText(place, f"{part * top:.2g}")
        painter.drawText(QPointF(box.left() + part * box.width() - 10, box.bottom() + 16), f"{part * right:.3g}")
    center = Qt.AlignmentFlag.AlignHCenter
    painter.drawText(box.adjusted(0, 0, 0, 34), center | Qt.AlignmentFlag.AlignBottom, chart.GetXAxisTitle())
    painter.drawText(box.adjusted(0, -24, 0, 0), center | Qt.AlignmentFlag.AlignTop, chart.GetTitle())
    for number, curve in enumerate(curves):
        painter.setPen(QPen(QColor.fromRgbF(*curve.color), 2))
        places = [
            QPointF(box.left() + x / right * box.width(), box.bottom() - y / top * box.height())
            for x, y in curve.points
        ]
        painter.drawPolyline(places)
        for place in places if curve.marked else ():
            painter.drawEllipse(place, 2.0, 2.0)
        painter.drawText(QPointF(box.right() - 130, box.top() + 16 * (number + 1)), curve.name)
