"""Widgets as Slicer's Python sees them (PythonQt), around PySide6 objects.

Qt properties are attributes and their getters are not callable; signals connect by
``widget.connect("clicked(bool)", f)`` or ``widget.clicked.connect(f)``, and a slot gets no more arguments than it
takes. A class shows exactly the names that it lists, so code that uses another one fails here as it would in Slicer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import shiboken6
from PySide6 import QtCore, QtWidgets

from . import placeholders, plot, segment_editor

_known: dict[int, Any] = {}


def _pointer(target: QtCore.QObject) -> int:
    return int(shiboken6.getCppPointer(target)[0])


def wrap(value: Any) -> Any:
    """The PythonQt side of a PySide6 object; anything else stays what it is."""
    if isinstance(value, (list, tuple)):
        return [wrap(item) for item in value]
    if not isinstance(value, QtCore.QObject):
        return value
    known = _known.get(_pointer(value))
    if known is not None and shiboken6.isValid(known.qt_object):
        return known
    meta: Any = value.metaObject()
    while meta is not None and meta.className() not in CLASSES:
        meta = meta.superClass()
    cls = CLASSES[meta.className()] if meta is not None else QObject
    fresh = cls.__new__(cls)
    fresh.adopt(value)
    return fresh


def unwrap(value: Any) -> Any:
    """The PySide6 side of a wrapped object; anything else stays what it is."""
    return value.qt_object if isinstance(value, QObject) else value


def _trimmed(slot: Callable[..., Any]) -> Callable[..., Any]:
    """PythonQt hands a slot only as many arguments as it takes."""
    try:
        kinds = [parameter.kind for parameter in inspect.signature(slot).parameters.values()]
    except (TypeError, ValueError):
        return slot
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return slot
    takes = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return lambda *arguments: slot(*[wrap(argument) for argument in arguments[:takes]])


class _Signal:
    def __init__(self, owner: QObject, name: str) -> None:
        self._owner, self._name = owner, name

    def connect(self, slot: Callable[..., Any]) -> bool:
        connection = getattr(self._owner.qt_object, self._name).connect(_trimmed(slot))
        self._owner.connections.append((self._name, slot, connection))
        return bool(connection)

    def disconnect(self, slot: Callable[..., Any]) -> bool:
        for entry in list(self._owner.connections):
            if entry[0] == self._name and entry[1] == slot:
                self._owner.connections.remove(entry)
                return QtCore.QObject.disconnect(entry[2])
        return False


class QObject:
    """Base of all: attribute access by the lists ``properties``, ``methods`` and ``signals``."""

    made_of: ClassVar[Any] = QtCore.QObject
    properties: ClassVar[tuple[str, ...]] = ("objectName",)
    methods: ClassVar[tuple[str, ...]] = ("parent", "property", "setProperty", "findChildren", "blockSignals")
    signals: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *arguments: Any) -> None:
        self.adopt(self.made_of(*[unwrap(argument) for argument in arguments]))

    def adopt(self, target: Any) -> None:
        """Become the PythonQt side of ``target``."""
        self.__dict__["qt_object"], self.__dict__["connections"] = target, []
        _known[_pointer(target)] = self

    @classmethod
    def names(cls, kind: str) -> set[str]:
        """All names of a kind, with those of the base classes."""
        return {name for base in cls.__mro__ for name in base.__dict__.get(kind, ())}

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        name = signature.split("(", maxsplit=1)[0]
        if name not in self.names("signals"):
            raise AttributeError(f"{type(self).__name__} has no signal {signature}")
        return _Signal(self, name).connect(slot)

    def disconnect(self, signature: str, slot: Callable[..., Any]) -> bool:
        return _Signal(self, signature.split("(", maxsplit=1)[0]).disconnect(slot)

    def __getattr__(self, name: str) -> Any:
        if name in self.names("properties"):
            return wrap(self.qt_object.property(name))
        if name in self.names("signals"):
            return _Signal(self, name)
        if name in self.names("methods"):
            return self._method(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _method(self, name: str) -> Callable[..., Any]:
        if name == "findChildren":
            return lambda cls: wrap(self.qt_object.findChildren(cls.made_of))
        return lambda *arguments: wrap(getattr(self.qt_object, name)(*[unwrap(argument) for argument in arguments]))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.names("properties"):
            raise AttributeError(f"{type(self).__name__} has no property {name!r} to set")
        self.qt_object.setProperty(name, unwrap(value))


class QWidget(QObject):
    made_of = QtWidgets.QWidget
    properties = ("enabled", "visible", "toolTip", "minimumHeight", "width", "height")
    methods = (
        "setEnabled",
        "setVisible",
        "show",
        "hide",
        "deleteLater",
        "grab",
        "layout",
        "setLayout",
        "resize",
        "isWidgetType",
    )

    def __getattr__(self, name: str) -> Any:
        if name == "isEntered":
            # Slicer's own top widget of a module has it; the other widgets do not.
            return self.qt_object.property("isEntered")
        return super().__getattr__(name)


class QLabel(QWidget):
    made_of = QtWidgets.QLabel
    properties = ("text", "textFormat", "wordWrap", "pixmap")
    methods = ("setText", "setPixmap", "clear")


class QLineEdit(QWidget):
    made_of = QtWidgets.QLineEdit
    properties = ("text", "placeholderText", "readOnly")
    methods = ("setText", "clear")
    signals = ("textChanged", "editingFinished")


class QPushButton(QWidget):
    made_of = QtWidgets.QPushButton
    properties = ("text", "checkable", "checked")
    methods = ("click",)
    signals = ("clicked", "toggled")


class QCheckBox(QWidget):
    made_of = QtWidgets.QCheckBox
    properties = ("text", "checked")
    methods = ("click",)
    signals = ("clicked", "toggled", "stateChanged")


class QSlider(QWidget):
    made_of = QtWidgets.QSlider
    properties = ("minimum", "maximum", "value", "orientation")
    methods = ("setValue",)
    signals = ("valueChanged",)


class QDoubleSpinBox(QWidget):
    made_of = QtWidgets.QDoubleSpinBox
    properties = ("minimum", "maximum", "value", "decimals", "singleStep", "suffix")
    methods = ("setValue",)
    signals = ("valueChanged",)


class QComboBox(QWidget):
    made_of = QtWidgets.QComboBox
    properties = ("count", "currentText", "currentIndex", "currentData")
    methods = ("clear", "addItem", "findData", "itemData", "itemText", "setItemData", "setCurrentIndex")
    signals = ("currentIndexChanged", "activated")


class QTabWidget(QWidget):
    made_of = QtWidgets.QTabWidget
    properties = ("currentIndex", "count")
    methods = ("setCurrentIndex", "widget")
    signals = ("currentChanged",)


class QPlainTextEdit(QWidget):
    made_of = QtWidgets.QPlainTextEdit
    properties = ("plainText", "readOnly")


class QProgressBar(QWidget):
    made_of = QtWidgets.QProgressBar
    properties = ("minimum", "maximum", "value", "format", "text")
    methods = ("reset", "setRange")


class QTimer(QObject):
    made_of = QtCore.QTimer
    properties = ("interval", "singleShot", "active")
    methods = ("setInterval", "start", "stop")
    signals = ("timeout",)


class QVBoxLayout(QObject):
    made_of = QtWidgets.QVBoxLayout
    methods = ("addWidget", "insertWidget")


class ctkCollapsibleButton(QWidget):
    made_of = placeholders.ctkCollapsibleButton
    properties = ("text", "collapsed")
    signals = ("contentsCollapsed",)


class ctkPathLineEdit(QWidget):
    made_of = placeholders.ctkPathLineEdit
    properties = ("currentPath", "filters")
    methods = ("setCurrentPath",)
    signals = ("currentPathChanged",)
    Dirs = 1


class ctkSliderWidget(QWidget):
    made_of = placeholders.ctkSliderWidget
    properties = ("minimum", "maximum", "value", "decimals", "singleStep", "pageStep", "suffix")
    methods = ("setValue",)
    signals = ("valueChanged",)


class qMRMLWidget(QWidget):
    made_of = placeholders.qMRMLWidget
    methods = ("setMRMLScene", "mrmlScene")
    signals = ("mrmlSceneChanged",)


class qMRMLNodeComboBox(QWidget):
    made_of = placeholders.qMRMLNodeComboBox
    properties = (
        "nodeTypes",
        "noneEnabled",
        "noneDisplay",
        "addEnabled",
        "removeEnabled",
        "renameEnabled",
        "editEnabled",
        "showChildNodeTypes",
        "selectNodeUponCreation",
    )
    methods = ("setMRMLScene", "mrmlScene", "currentNode", "setCurrentNode", "addNode", "addAttribute", "nodeCount")
    signals = ("currentNodeChanged",)


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    made_of = placeholders.qMRMLCheckableNodeComboBox
    methods = ("checkedNodes", "uncheckedNodes", "check", "uncheck")
    signals = ("checkedNodesChanged",)


class qMRMLSegmentSelectorWidget(QWidget):
    made_of = placeholders.qMRMLSegmentSelectorWidget
    properties = ("noneEnabled",)
    methods = ("setMRMLScene", "currentNode", "setCurrentNode", "currentSegmentID", "setCurrentSegmentID", "segmentIDs")
    signals = ("currentNodeChanged", "currentSegmentChanged")


class qMRMLSegmentEditorWidget(QWidget):
    made_of = segment_editor.qMRMLSegmentEditorWidget
    properties = ("unorderedEffectsVisible",)
    methods = (
        "setMRMLScene",
        "mrmlScene",
        "setMRMLSegmentEditorNode",
        "mrmlSegmentEditorNode",
        "setSegmentationNode",
        "segmentationNode",
        "setSourceVolumeNode",
        "sourceVolumeNode",
        "setCurrentSegmentID",
        "currentSegmentID",
        "setActiveEffect",
        "setActiveEffectByName",
        "activeEffect",
        "effectByName",
        "setEffectNameOrder",
        "setMaximumNumberOfUndoStates",
        "updateEffectList",
        "updateWidgetFromMRML",
        "saveStateForUndo",
        "undo",
        "redo",
        "installKeyboardShortcuts",
        "uninstallKeyboardShortcuts",
        "removeViewObservations",
    )
    signals = ("segmentationNodeChanged", "sourceVolumeNodeChanged", "currentSegmentIDChanged")


class qMRMLTableView(QWidget):
    made_of = placeholders.qMRMLTableView
    methods = ("setMRMLScene", "setMRMLTableNode", "mrmlTableNode", "resizeColumnsToContents")


class qMRMLPlotView(QWidget):
    made_of = plot.qMRMLPlotView
    methods = ("setMRMLScene", "setMRMLPlotViewNode", "fitToContent")


QT = (
    QObject,
    QWidget,
    QLabel,
    QLineEdit,
    QPushButton,
    QCheckBox,
    QSlider,
    QDoubleSpinBox,
    QComboBox,
    QTabWidget,
    QPlainTextEdit,
    QProgressBar,
    QTimer,
    QVBoxLayout,
)
CTK = (ctkCollapsibleButton, ctkPathLineEdit, ctkSliderWidget)
SLICER = (
    qMRMLWidget,
    qMRMLNodeComboBox,
    qMRMLCheckableNodeComboBox,
    qMRMLPlotView,
    qMRMLSegmentEditorWidget,
    qMRMLSegmentSelectorWidget,
    qMRMLTableView,
)
CLASSES = {cls.__name__: cls for cls in (*QT, *CTK, *SLICER)}
