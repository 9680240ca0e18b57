"""Ties widgets to parameters that Slicer's own connectors do not know: items that come and go, and several nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slicer.parameterNodeWrapper import GuiConnector

Node = Any


class NamedConnector(GuiConnector):
    """Never made by data type: the panel names its widgets itself."""

    def __init__(self, widget: Any) -> None:
        super().__init__()
        self._widget = widget

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        return False

    @staticmethod
    def create(widget: Any, datatype: Any) -> None:
        """Never made by data type."""

    def widget(self) -> Any:
        return self._widget


class ItemDataConnector(NamedConnector):
    """The parameter holds the data of the current item of a combo box, e.g. of models or devices.

    A value that no item has, e.g. of a model that this computer lacks, gets an item of its own, so that a scene from
    elsewhere keeps what it says.
    """

    def _connect(self) -> None:
        self._widget.currentIndexChanged.connect(self.changed)

    def _disconnect(self) -> None:
        self._widget.currentIndexChanged.disconnect(self.changed)

    def read(self) -> str:
        return self._widget.currentData or ""

    def write(self, value: str) -> None:
        index = self._widget.findData(value)
        if index < 0:
            self._widget.addItem(value, value)
            index = self._widget.count - 1
        if index != self._widget.currentIndex:
            self._widget.setCurrentIndex(index)


class CheckedNodes(NamedConnector):
    """The parameter holds the nodes that are checked in a qMRMLCheckableNodeComboBox."""

    def _connect(self) -> None:
        self._widget.checkedNodesChanged.connect(self.changed)

    def _disconnect(self) -> None:
        self._widget.checkedNodesChanged.disconnect(self.changed)

    def read(self) -> list[Node]:
        return list(self._widget.checkedNodes())

    def write(self, value: list[Node]) -> None:
        wanted = {node.GetID() for node in value if node is not None}
        for node in self._widget.checkedNodes():
            if node.GetID() not in wanted:
                self._widget.uncheck(node)
        present = {node.GetID() for node in self._widget.checkedNodes()}
        for node in value:
            if node is not None and node.GetID() not in present:
                self._widget.check(node)


def fill(widget: Any, items: Iterable[tuple[str, str]], keep: str) -> None:
    """Replace the items by (title, data) pairs without telling the parameter node, and choose the one with ``keep``."""
    blocked = widget.blockSignals(True)
    try:
        widget.clear()
        for title, data in items:
            widget.addItem(title, data)
        if widget.findData(keep) < 0:
            widget.addItem(keep, keep)
        widget.setCurrentIndex(widget.findData(keep))
    finally:
        widget.blockSignals(blocked)
