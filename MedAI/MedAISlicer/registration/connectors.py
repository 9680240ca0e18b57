"""Ties widgets to parameters that Slicer's own connectors do not know: a segment of a node."""

from __future__ import annotations

from typing import Any

from ..choices import NamedConnector

Node = Any


class ChosenSegmentation(NamedConnector):
    """The parameter holds the segmentation that is chosen in a qMRMLSegmentSelectorWidget."""

    def _connect(self) -> None:
        self._widget.connect("currentNodeChanged(vtkMRMLNode*)", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentNodeChanged(vtkMRMLNode*)", self.changed)

    def read(self) -> Node | None:
        return self._widget.currentNode()

    def write(self, value: Node | None) -> None:
        if self._widget.currentNode() is not value:
            self._widget.setCurrentNode(value)


class ChosenSegment(NamedConnector):
    """The parameter holds the ID of the segment that is chosen in a qMRMLSegmentSelectorWidget."""

    def _connect(self) -> None:
        self._widget.connect("currentSegmentChanged(QString)", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentSegmentChanged(QString)", self.changed)

    def read(self) -> str:
        return self._widget.currentSegmentID() or ""

    def write(self, value: str) -> None:
        # A segment of the segmentation that was chosen before is none of the present one.
        known = not value or value in self._widget.segmentIDs()
        if known and (self._widget.currentSegmentID() or "") != value:
            self._widget.setCurrentSegmentID(value)
