"""Loads .ui files: PySide6 builds the widgets, the connections between MRML widgets are made in Python."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray, QObject
from PySide6.QtUiTools import QUiLoader

from . import pythonqt
from .placeholders import PLACEHOLDERS

_loader: QUiLoader | None = None


def loadUI(path: str) -> Any:
    """Like ``slicer.util.loadUI``."""
    global _loader
    if _loader is None:
        _loader = QUiLoader()
        for cls in PLACEHOLDERS:
            _loader.registerCustomWidget(cls)
    tree = ElementTree.parse(path)
    root = tree.getroot()
    connections = root.find("connections")
    if connections is not None:
        # Their VTK argument types are unknown to Qt here.
        root.remove(connections)
    buffer = QBuffer()
    buffer.setData(QByteArray(ElementTree.tostring(root)))
    buffer.open(QBuffer.OpenModeFlag.ReadOnly)
    widget = _loader.load(buffer)
    if widget is None:
        raise RuntimeError(f"{path}: {_loader.errorString()}")
    for connection in connections if connections is not None else ():
        ends = {part.tag: (part.text or "") for part in connection}
        signal = getattr(_find(widget, ends["sender"]), ends["signal"].split("(")[0])
        signal.connect(getattr(_find(widget, ends["receiver"]), ends["slot"].split("(")[0]))
    return pythonqt.wrap(widget)


def _find(widget: Any, name: str) -> Any:
    return widget if widget.objectName() == name else widget.findChild(QObject, name)


def childWidgetVariables(widget: Any) -> SimpleNamespace:
    """Like ``slicer.util.childWidgetVariables``."""
    children = [widget, *widget.findChildren(pythonqt.QWidget)]
    return SimpleNamespace(**{child.objectName: child for child in children if child.objectName.isidentifier()})
