"""A small Segment Editor: what a panel that embeds one sees of Slicer's ``qMRMLSegmentEditorWidget``."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QGroupBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from .effects import EffectFactory
from .placeholders import qMRMLNodeComboBox


class qMRMLSegmentEditorWidget(QWidget):
    """Choosers, segments, effects and the options of the active one."""

    currentSegmentIDChanged = Signal(str)
    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    opened: ClassVar[list[qMRMLSegmentEditorWidget]] = []

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.shortcuts, self.observing = False, False
        self._scene: Any = None
        self._node: Any = None
        self._tag: int | None = None
        self._active: Any = None
        self._order: list[str] = []
        self._unordered = True
        self.effects: list[Any] = []
        self._segmentations, self._volumes = qMRMLNodeComboBox(self), qMRMLNodeComboBox(self)
        self._segmentations.nodeTypes, self._volumes.nodeTypes = (
            ["vtkMRMLSegmentationNode"],
            ["vtkMRMLScalarVolumeNode"],
        )
        self._segments = QComboBox(self)
        self._buttons, self._options = QGroupBox("Effects", self), QGroupBox(self)
        self._build()
        self.updateEffectList()
        qMRMLSegmentEditorWidget.opened.append(self)

    def _build(self) -> None:
        form = QFormLayout()
        form.addRow("Segmentation:", self._segmentations)
        form.addRow("Source volume:", self._volumes)
        form.addRow("Segment:", self._segments)
        self._buttons.setLayout(QHBoxLayout())
        self._options.setLayout(QVBoxLayout())
        self._options.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self._buttons)
        layout.addWidget(self._options)
        layout.addStretch(1)
        self._segmentations.currentNodeChanged.connect(lambda node: self.setSegmentationNode(node))
        self._volumes.currentNodeChanged.connect(lambda node: self.setSourceVolumeNode(node))
        self._segments.activated.connect(lambda row: self.setCurrentSegmentID(self._segments.itemData(row)))

    def _unordered_set(self, value: bool) -> None:
        self._unordered = value
        self.updateEffectList()

    unorderedEffectsVisible = Property(bool, lambda self: self._unordered, _unordered_set)

    def setMaximumNumberOfUndoStates(self, number: int) -> None:
        self.logic.SetMaximumNumberOfUndoStates(number)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.logic.SetMRMLScene(scene)
        for chooser in (self._segmentations, self._volumes):
            chooser.noneEnabled = True
            chooser.setMRMLScene(scene)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if self._node is not None and self._tag is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        self.logic.SetSegmentEditorNode(node)
        if node is None:
            return
        self._tag = node.AddObserver("ModifiedEvent", lambda *_: self.updateWidgetFromMRML())
        for effect in self.effects:
            effect.setParameterSetNode(node)

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if self._node is not None and node is not self.segmentationNode():
            self.logic.SetSegmentationNode(node)
            self.updateWidgetFromMRML()
            self.segmentationNodeChanged.emit(node)

    def segmentationNode(self) -> Any:
        return self._node.GetSegmentationNode() if self._node is not None else None

    def setSourceVolumeNode(self, node: Any) -> None:
        if self._node is not None and node is not self.sourceVolumeNode():
            self.logic.SetSourceVolumeNode(node)
            self.updateWidgetFromMRML()
            for effect in self.effects:
                effect.self().sourceVolumeNodeChanged()
            self.sourceVolumeNodeChanged.emit(node)

    def sourceVolumeNode(self) -> Any:
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._node.SetSelectedSegmentID(segment_id)
        self.currentSegmentIDChanged.emit(segment_id)

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node is not None else ""

    def updateWidgetFromMRML(self) -> None:
        if self._node is None:
            return
        node = self.segmentationNode()
        if node is not None and not self.currentSegmentID() and node.GetSegmentation().GetNumberOfSegments():
            self._node.SetSelectedSegmentID(node.GetSegmentation().GetNthSegmentID(0))
        for chooser, chosen in ((self._segmentations, node), (self._volumes, self.sourceVolumeNode())):
            blocked = chooser.blockSignals(True)
            chooser.setCurrentNode(chosen)
            chooser.blockSignals(blocked)
        self._segments.clear()
        for segment_id in node.GetSegmentation().GetSegmentIDs() if node is not None else ():
            self._segments.addItem(node.GetSegmentation().GetSegment(segment_id).GetName(), segment_id)
        self._segments.setCurrentIndex(self._segments.findData(self.currentSegmentID()))
        wanted = self.effectByName(self._node.GetActiveEffectName() or "")
        if wanted is not self._active:
            before, self._active = self._active, wanted
            if before is not None:
                before.deactivate()
            self._options.setVisible(wanted is not None)
            if wanted is not None:
                self._options.setTitle(wanted.title)
                wanted.activate()
            self.observing = wanted is not None

    def setActiveEffectByName(self, name: str) -> None:
        self._node.SetActiveEffectName(name if self.effectByName(name) is not None else "")

    def setActiveEffect(self, effect: Any) -> None:
        self._node.SetActiveEffectName("" if effect is None else effect.name)

    def activeEffect(self) -> Any:
        return self._active

    def effectByName(self, name: str) -> Any:
        return next((effect for effect in self.effects if effect.name == name), None)

    def setEffectNameOrder(self, names: list[str]) -> None:
        self._order = list(names)
        self.updateEffectList()

    def updateEffectList(self) -> None:
        known = {effect.name for effect in self.effects}
        for registered in EffectFactory.instance().effects:
            if registered.name not in known:
                self.effects.append(registered.clone())
                self.effects[-1].place(self)
                self._options.layout().addWidget(self.effects[-1].frame)
        layout = self._buttons.layout()
        while layout.count():
            gone = layout.takeAt(0).widget()
            gone.setParent(None)
            gone.deleteLater()
        ours = {effect.name: effect for effect in self.effects}
        others = [name for name in ours if name not in self._order] if self._unordered else []
        for name in [*self._order, *others]:
            button = QPushButton(ours[name].title if name in ours else name, self._buttons)
            # Slicer's own effects are not here.
            button.setEnabled(name in ours)
            button.clicked.connect(lambda *_, name=name: self.setActiveEffectByName(name))
            layout.addWidget(button)

    def saveStateForUndo(self) -> None:
        self.logic.SaveStateForUndo()

    def undo(self) -> None:
        self.logic.Undo()

    def redo(self) -> None:
        self.logic.Redo()

    def installKeyboardShortcuts(self) -> None:
        self.shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:
        self.shortcuts = False

    def removeViewObservations(self) -> None:
        self.observing = False
