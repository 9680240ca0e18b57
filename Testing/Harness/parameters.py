"""A small ``slicer.parameterNodeWrapper``: node, text, number and choice parameters, kept in the scene."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from . import pythonqt


@dataclass(frozen=True)
class WithinRange:
    """The least and the greatest value of a number parameter."""

    minimum: float
    maximum: float


class GuiConnector:
    """Ties a widget to a parameter; subclasses say how, as in Slicer."""

    def __init__(self) -> None:
        self._callback: Callable[[], None] | None = None

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback
        if callback is None:
            self._disconnect()
        else:
            self._connect()

    def changed(self) -> None:
        if self._callback:
            self._callback()


class _Choices(GuiConnector):
    def __init__(self, widget: Any, kind: type[enum.Enum]) -> None:
        super().__init__()
        self._widget, self._choices = widget, list(kind)
        widget.clear()
        for choice in self._choices:
            widget.addItem(choice.label() if hasattr(choice, "label") else choice.name)

    def _connect(self) -> None:
        self._widget.currentIndexChanged.connect(self.changed)

    def _disconnect(self) -> None:
        self._widget.currentIndexChanged.disconnect(self.changed)

    def read(self) -> Any:
        return self._choices[self._widget.currentIndex]

    def write(self, value: Any) -> None:
        self._widget.currentIndex = self._choices.index(value)


class _Nodes(GuiConnector):
    def __init__(self, widget: Any, kinds: list[Any]) -> None:
        super().__init__()
        self._widget = widget
        widget.nodeTypes = [kind().GetClassName() for kind in kinds]

    def _connect(self) -> None:
        self._widget.currentNodeChanged.connect(self.changed)

    def _disconnect(self) -> None:
        self._widget.currentNodeChanged.disconnect(self.changed)

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)


class _Check(GuiConnector):
    def __init__(self, widget: Any) -> None:
        super().__init__()
        self._widget = widget

    def _connect(self) -> None:
        self._widget.stateChanged.connect(self.changed)

    def _disconnect(self) -> None:
        self._widget.stateChanged.disconnect(self.changed)

    def read(self) -> bool:
        return bool(self._widget.checked)

    def write(self, value: bool) -> None:
        self._widget.checked = value


class _Number(GuiConnector):
    def __init__(self, widget: Any, limits: WithinRange | None) -> None:
        super().__init__()
        if limits is None:
            raise RuntimeError("Slicer ties a slider to a number within a range only.")
        self._widget = widget
        widget.minimum, widget.maximum = limits.minimum, limits.maximum

    def _connect(self) -> None:
        self._widget.valueChanged.connect(self.changed)

    def _disconnect(self) -> None:
        self._widget.valueChanged.disconnect(self.changed)

    def read(self) -> float:
        return float(self._widget.value)

    def write(self, value: float) -> None:
        self._widget.value = value


def _listed_classes(kind: Any) -> list[Any]:
    """The node classes of a hint ``list[node class]``; empty for another type."""
    return _node_classes(typing.get_args(kind)[0]) if typing.get_origin(kind) is list else []


def _node_classes(kind: Any) -> list[Any]:
    """The node classes of a hint: a class, or a union of classes and None; empty for another type."""
    parts = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, slicer.vtkMRMLNode)]


def _connector(widget: Any, kind: Any, limits: WithinRange | None) -> GuiConnector:
    nodes = _node_classes(kind)
    if type(widget) is pythonqt.qMRMLNodeComboBox and nodes:
        return _Nodes(widget, nodes)
    if type(widget) is pythonqt.QComboBox and isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _Choices(widget, kind)
    if type(widget) is pythonqt.QCheckBox and kind is bool:
        return _Check(widget)
    if type(widget) in (pythonqt.QDoubleSpinBox, pythonqt.ctkSliderWidget) and kind is float:
        return _Number(widget, limits)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{kind}' to widget type '{type(widget)}'.")


class _Wrapper:
    """What :func:`parameterNodeWrapper` mixes into the class."""

    allParameters: dict[str, Any]
    defaults: dict[str, Any]
    limits: dict[str, WithinRange]

    def __init__(self, node: Any) -> None:
        self.parameterNode = node
        self._guis: dict[int, dict[str, GuiConnector]] = {}
        self._tags: dict[int, int] = {}
        self._updating = False
        for name, default in self.defaults.items():
            if default is not None and not node.GetParameter(name):
                self.setValue(name, default)

    def getValue(self, name: str) -> Any:
        kind = self.allParameters[name]
        if _node_classes(kind):
            return self.parameterNode.GetNodeReference(name)
        if _listed_classes(kind):
            # A node that was deleted leaves None in the list, as in Slicer.
            count = int(self.parameterNode.GetParameter(f"{name}.len") or 0)
            return [self.parameterNode.GetNodeReference(f"{name}.{number}") for number in range(count)]
        text = self.parameterNode.GetParameter(name)
        if kind is bool:
            return text == "True"
        if kind is float:
            return float(text)
        return kind[text] if issubclass(kind, enum.Enum) else text

    def setValue(self, name: str, value: Any) -> None:
        kind = self.allParameters[name]
        if _node_classes(kind):
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
        elif _listed_classes(kind):
            was = self.parameterNode.StartModify()
            self.parameterNode.SetParameter(f"{name}.len", str(len(value)))
            for number, node in enumerate(value):
                self.parameterNode.SetNodeReferenceID(f"{name}.{number}", None if node is None else node.GetID())
            self.parameterNode.EndModify(was)
        elif kind is bool:
            self.parameterNode.SetParameter(name, str(bool(value)))
        elif kind is float:
            limits = self.limits.get(name)
            if limits is not None and not limits.minimum <= value <= limits.maximum:
                raise ValueError(f"Value must be within {limits}, is {value}")
            self.parameterNode.SetParameter(name, repr(float(value)))
        elif issubclass(kind, enum.Enum):
            self.parameterNode.SetParameter(name, value.name)
        else:
            self.parameterNode.SetParameter(name, value)

    def connectGui(self, ui: Any) -> int:
        tied = {widget.property("SlicerParameterName"): widget for widget in ui.__dict__.values()}
        return self.connectParametersToGui({name: widget for name, widget in tied.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        tag = len(self._guis)
        self._guis[tag] = {
            name: gui
            if isinstance(gui, GuiConnector)
            else _connector(gui, self.allParameters[name], self.limits.get(name))
            for name, gui in mapping.items()
        }
        for name, connector in self._guis[tag].items():
            connector.write(self.getValue(name))
            connector.onChanged(lambda name=name, connector=connector: self._from_gui(name, connector))
        self._tags[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.onChanged(None)
        if tag in self._tags:
            self.RemoveObserver(self._tags.pop(tag))

    def _from_gui(self, name: str, connector: GuiConnector) -> None:
        if not self._updating:
            self.setValue(name, connector.read())

    def _to_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for gui in list(self._guis.values()):
                for name, connector in gui.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    def AddObserver(self, event: Any, callback: Callable[..., None], priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, was: Any) -> None:
        self.parameterNode.EndModify(was)


def _default(kind: Any) -> Any:
    if _node_classes(kind) or _listed_classes(kind):
        return None
    return kind() if kind in (str, bool, float) else next(iter(kind))


def _property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def parameterNodeWrapper(cls: type) -> type:
    """Turn a class of annotated names into typed access to a parameter node."""
    hints = typing.get_type_hints(cls)
    body: dict[str, Any] = {name: _property(name) for name in hints}
    body["allParameters"] = hints
    annotated = typing.get_type_hints(cls, include_extras=True)
    body["limits"] = {
        name: part
        for name, kind in annotated.items()
        for part in getattr(kind, "__metadata__", ())
        if isinstance(part, WithinRange)
    }
    body["defaults"] = {name: getattr(cls, name, _default(kind)) for name, kind in hints.items()}
    return type(cls.__name__, (_Wrapper,), body)
