"""Qt widgets that take the places of Slicer's own in .ui files. They look and behave like them as far as tests need."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Property, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QTableView,
    QWidget,
)


class qMRMLWidget(QWidget):
    """The top widget of a module: passes the scene on."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


class ctkCollapsibleButton(QAbstractButton):
    """A titled section whose contents can be folded away."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._collapsed = False
        self._hidden: list[QWidget] = []
        self.setContentsMargins(0, self._header(), 0, 0)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.clicked.connect(lambda: self.setCollapsed(not self._collapsed))

    def _header(self) -> int:
        return self.fontMetrics().height() + 8

    def isCollapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, collapsed: bool) -> None:
        changed = collapsed != self._collapsed
        self._collapsed = collapsed
        self._apply()
        if changed:
            self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, isCollapsed, setCollapsed)

    def _apply(self) -> None:
        children = [child for child in self.children() if isinstance(child, QWidget)]
        if self._collapsed:
            self._hidden += [child for child in children if not child.isHidden()]
        for child in self._hidden:
            child.setVisible(not self._collapsed)
        if not self._collapsed:
            self._hidden = []
        self.setMaximumHeight(self._header() if self._collapsed else 16777215)
        self.updateGeometry()

    def showEvent(self, event: Any) -> None:
        # The loader sets "collapsed" before it adds the contents.
        self._apply()
        super().showEvent(event)

    def sizeHint(self) -> QSize:
        layout = self.layout()
        if self._collapsed or layout is None:
            return QSize(100, self._header())
        return layout.totalSizeHint()

    def minimumSizeHint(self) -> QSize:
        layout = self.layout()
        if self._collapsed or layout is None:
            return QSize(0, self._header())
        return layout.totalMinimumSize()

    def hasHeightForWidth(self) -> bool:
        layout = self.layout()
        return bool(layout is not None and not self._collapsed and layout.hasHeightForWidth())

    def heightForWidth(self, width: int) -> int:
        layout = self.layout()
        return layout.totalHeightForWidth(width) if layout is not None else self._header()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, self.width(), self._header())
        self.style().drawPrimitive(QStyle.PrimitiveElement.PE_PanelButtonCommand, option, painter, self)
        arrow = QStyleOptionButton()
        arrow.initFrom(self)
        arrow.rect = QRect(6, (self._header() - 10) // 2, 10, 10)
        kind = QStyle.PrimitiveElement
        self.style().drawPrimitive(
            kind.PE_IndicatorArrowRight if self._collapsed else kind.PE_IndicatorArrowDown, arrow, painter, self
        )
        title = QRect(22, 0, self.width() - 26, self._header())
        painter.drawText(title, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.text())
        painter.end()


class ctkSliderWidget(QWidget):
    """A slider with a spin box beside it; both show the same number."""

    valueChanged = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._box = QSlider(Qt.Orientation.Horizontal, self), QDoubleSpinBox(self)
        self._slider.valueChanged.connect(lambda steps: self._box.setValue(steps * self._box.singleStep()))
        self._box.valueChanged.connect(self._follow)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)

    def _of_box(name: str, kind: Any) -> Any:
        def read(self: Any) -> Any:
            return self._box.property(name)

        def write(self: Any, value: Any) -> None:
            self._box.setProperty(name, value)
            self._slider.blockSignals(True)
            step = self._box.singleStep()
            self._slider.setRange(round(self._box.minimum() / step), round(self._box.maximum() / step))
            self._slider.setValue(round(self._box.value() / step))
            self._slider.blockSignals(False)

        return Property(kind, read, write)

    value, minimum, maximum = _of_box("value", float), _of_box("minimum", float), _of_box("maximum", float)
    decimals, singleStep, suffix = _of_box("decimals", int), _of_box("singleStep", float), _of_box("suffix", str)
    pageStep = Property(float, lambda self: 0.0, lambda self, value: None)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def _follow(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(round(value / self._box.singleStep()))
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)


class ctkPathLineEdit(QWidget):
    """A chooser of a file or a folder."""

    currentPathChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit = QLineEdit(self)
        self._edit.editingFinished.connect(lambda: self.currentPathChanged.emit(self._edit.text()))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        layout.addWidget(QPushButton("...", self))

    def setCurrentPath(self, path: str) -> None:
        if path != self._edit.text():
            self._edit.setText(path)
            self.currentPathChanged.emit(path)

    currentPath = Property(str, lambda self: self._edit.text(), setCurrentPath)
    filters = Property(int, lambda self: 0, lambda self, value: None)


class qMRMLNodeComboBox(QWidget):
    """A chooser that really lists the scene's nodes of its types."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._observers: list[int] = []
        self._ids: list[str] = []
        self._current = ""
        self._wanted_attributes: list[str] = []
        self._values: dict[str, Any] = {"nodeTypes": [], "showChildNodeTypes": True, "noneEnabled": False}
        self._box = QComboBox(self)
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._box.activated.connect(self._chosen)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)

    def _value(name: str, kind: Any) -> Any:
        def read(self: Any) -> Any:
            return self._values.get(name)

        def write(self: Any, value: Any) -> None:
            self._values[name] = value
            self._refresh()

        return Property(kind, read, write)

    nodeTypes = _value("nodeTypes", "QStringList")
    noneDisplay = _value("noneDisplay", str)
    noneEnabled, showChildNodeTypes = _value("noneEnabled", bool), _value("showChildNodeTypes", bool)
    addEnabled, removeEnabled = _value("addEnabled", bool), _value("removeEnabled", bool)
    renameEnabled, editEnabled = _value("renameEnabled", bool), _value("editEnabled", bool)
    selectNodeUponCreation = _value("selectNodeUponCreation", bool)

    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._observers:
            self._scene.RemoveObserver(tag)
        self._scene, self._observers = scene, []
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
            self._observers = [scene.AddObserver(event, lambda *_: self._refresh()) for event in events]
        self._refresh()

    def mrmlScene(self) -> Any:
        return self._scene

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def addAttribute(self, node_type: str, name: str) -> None:
        self._wanted_attributes.append(name)
        self._refresh()

    def nodeCount(self) -> int:
        return len([node_id for node_id in self._ids if node_id])

    def setCurrentNode(self, node: Any) -> None:
        self._refresh(node.GetID() if hasattr(node, "GetID") else node or "")

    def addNode(self) -> Any:
        node = self._scene.AddNewNodeByClass(self._values["nodeTypes"][0])
        self.setCurrentNode(node)
        return node

    def _chosen(self, index: int) -> None:
        self._refresh(self._ids[index])

    def _listed(self) -> list[Any]:
        types, children = self._values["nodeTypes"] or [], self._values["showChildNodeTypes"]
        nodes = [self._scene.GetNthNode(n) for n in range(self._scene.GetNumberOfNodes())] if self._scene else []
        return [
            node
            for node in nodes
            if not node.GetHideFromEditors()
            and all(node.GetAttribute(name) is not None for name in self._wanted_attributes)
            and any(node.IsA(kind) if children else node.GetClassName() == kind for kind in types)
        ]

    def _refresh(self, wanted: str | None = None) -> None:
        nodes = self._listed()
        before, ids = self._current, [node.GetID() for node in nodes]
        target = before if wanted is None else wanted
        none = bool(self._values["noneEnabled"])
        self._current = target if target in ids else ("" if none or not ids or wanted == "" else ids[0])
        names = [node.GetName() or "" for node in nodes]
        empty = none or not self._current
        self._ids = ["", *ids] if empty else ids
        self._box.clear()
        self._box.addItems([self._values.get("noneDisplay") or "None", *names] if empty else names)
        self._box.setCurrentIndex(self._ids.index(self._current))
        if self._current != before:
            self.currentNodeChanged.emit(self.currentNode())


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """A chooser of several nodes; what is checked is a property of the nodes, as in Slicer."""

    checkedNodesChanged = Signal()

    def checkedNodes(self) -> list[Any]:
        return [node for node in self._listed() if node.GetSelected()]

    def uncheckedNodes(self) -> list[Any]:
        return [node for node in self._listed() if not node.GetSelected()]

    def check(self, node: Any) -> None:
        self._set(node, True)

    def uncheck(self, node: Any) -> None:
        self._set(node, False)

    def _set(self, node: Any, checked: bool) -> None:
        if bool(node.GetSelected()) != checked:
            node.SetSelected(checked)
            self._refresh()
            self.checkedNodesChanged.emit()

    def _refresh(self, wanted: str | None = None) -> None:
        names = [node.GetName() or "" for node in self.checkedNodes()]
        self._box.clear()
        self._box.addItem(", ".join(names) or "None")


class qMRMLSegmentSelectorWidget(QWidget):
    """A chooser of a segmentation and of one of its segments."""

    mrmlSceneChanged = Signal(object)
    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._segment = ""
        self._nodes = qMRMLNodeComboBox(self)
        self._nodes.nodeTypes, self._nodes.noneEnabled = ["vtkMRMLSegmentationNode"], True
        self._segments = QComboBox(self)
        self._segments.activated.connect(lambda row: self.setCurrentSegmentID(["", *self.segmentIDs()][row]))
        self._nodes.currentNodeChanged.connect(self._changed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodes)
        layout.addWidget(self._segments)
        self._fill()

    noneEnabled = Property(bool, lambda self: True, lambda self, value: None)

    def setMRMLScene(self, scene: Any) -> None:
        self._nodes.setMRMLScene(scene)

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def setCurrentNode(self, node: Any) -> None:
        self._nodes.setCurrentNode(node)

    def segmentIDs(self) -> list[str]:
        node = self.currentNode()
        return list(node.GetSegmentation().GetSegmentIDs()) if node is not None else []

    def currentSegmentID(self) -> str:
        return self._segment

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if segment_id != self._segment:
            self._segment = segment_id
            self._fill()
            self.currentSegmentChanged.emit(segment_id)

    def _changed(self, node: Any) -> None:
        self._segment = ""
        self._fill()
        self.currentNodeChanged.emit(node)

    def _fill(self) -> None:
        ids, node = self.segmentIDs(), self.currentNode()
        self._segments.clear()
        self._segments.addItems(["None", *(node.GetSegmentation().GetSegment(one).GetName() for one in ids)])
        self._segments.setCurrentIndex(ids.index(self._segment) + 1 if self._segment in ids else 0)


class qMRMLTableView(QTableView):
    """Shows a table node: one column per column, its name as the title."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._node: Any = None
        self.setModel(QStandardItemModel(self))
        self.verticalHeader().hide()

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.setMRMLTableNode(None)

    def setMRMLTableNode(self, node: slicer.vtkMRMLTableNode | None) -> None:
        self._node = node
        model: Any = self.model()
        model.clear()
        table = node.GetTable() if node is not None else None
        if table is None:
            return
        model.setHorizontalHeaderLabels([table.GetColumnName(n) for n in range(table.GetNumberOfColumns())])
        for row in range(table.GetNumberOfRows()):
            cells = [table.GetValue(row, column).ToString() for column in range(table.GetNumberOfColumns())]
            model.appendRow([QStandardItem(cell) for cell in cells])

    def mrmlTableNode(self) -> Any:
        return self._node


PLACEHOLDERS = (
    qMRMLWidget,
    ctkCollapsibleButton,
    ctkPathLineEdit,
    ctkSliderWidget,
    qMRMLNodeComboBox,
    qMRMLCheckableNodeComboBox,
    qMRMLSegmentSelectorWidget,
    qMRMLTableView,
)
