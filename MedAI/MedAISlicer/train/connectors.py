"""Ties widgets to text parameters: a name, and a folder."""

from __future__ import annotations

from ..choices import NamedConnector


class TypedText(NamedConnector):
    """The parameter holds the text of a QLineEdit; its cursor stays where it is while somebody types."""

    def _connect(self) -> None:
        self._widget.connect("textChanged(QString)", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("textChanged(QString)", self.changed)

    def read(self) -> str:
        return str(self._widget.text)

    def write(self, value: str) -> None:
        if self._widget.text != value:
            self._widget.text = value


class ChosenPath(NamedConnector):
    """The parameter holds the path of a ctkPathLineEdit."""

    def _connect(self) -> None:
        self._widget.connect("currentPathChanged(QString)", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentPathChanged(QString)", self.changed)

    def read(self) -> str:
        return str(self._widget.currentPath)

    def write(self, value: str) -> None:
        if self._widget.currentPath != value:
            self._widget.currentPath = value
