"""Scripted effects of a Segment Editor, over slicer-core's own editor logic, which does undo, masking and writing.

Names and manners are those of Slicer's ``qSlicerSegmentEditorScriptedEffect``,
``qSlicerSegmentEditorEffectFactory`` and ``AbstractScriptedSegmentEditorEffect``: an effect is loaded by its path, its
folder is the name of its module, and each editor has a clone of its own.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, ClassVar

import slicer
from PySide6.QtWidgets import QFormLayout, QFrame


class AbstractScriptedSegmentEditorEffect:
    """What scripted effects derive from."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None: ...


class EffectFactory:
    """All effects that are registered."""

    _instance: ClassVar[EffectFactory | None] = None

    def __init__(self) -> None:
        self.effects: list[Any] = []

    @classmethod
    def instance(cls) -> EffectFactory:
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def registerEffect(self, effect: Any) -> bool:
        known = any(one.name == effect.name for one in self.effects)
        if not known:
            self.effects.append(effect)
        return not known


class AbstractEffect:
    """The modes of a change."""

    ModificationModeSet, ModificationModeAdd, ModificationModeRemove, ModificationModeRemoveAll = range(4)


class ScriptedEffect:
    """The C++ side of an effect."""

    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = range(3)

    def __init__(self, parent: Any = None) -> None:
        self.name, self.title = "", ""
        self.perSegment, self.requireSegments = True, True
        self.showEffectCursorInSliceView, self.showEffectCursorInThreeDView = True, False
        self._self: Any = None
        self._node: Any = None
        self._editor: Any = None
        self._active = False
        self._confirmation = self.ConfirmedWithoutDialog
        self.frame = QFrame()
        self.frame.setLayout(QFormLayout())

    def setPythonSource(self, path: str) -> bool:
        source = Path(path)
        module = sys.modules.get(source.parent.name)
        if module is None or not hasattr(module, source.stem):
            spec = importlib.util.spec_from_file_location(source.parent.name, source)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[source.parent.name] = module
            spec.loader.exec_module(module)
        self._self = getattr(module, source.stem)(self)
        setattr(slicer, source.parent.name, self._self)
        return True

    def self(self) -> Any:
        return self._self

    def clone(self) -> Any:
        return self._self.clone()

    def place(self, editor: Any) -> None:
        """The editor takes the effect in: node first, then options, as in Slicer."""
        self._editor = editor
        self.setParameterSetNode(editor.mrmlSegmentEditorNode())
        self._self.setupOptionsFrame()
        self.frame.setVisible(False)

    def setParameterSetNode(self, node: Any) -> None:
        self._node = node
        if node is not None:
            self._self.setMRMLDefaults()
            node.AddObserver(slicer.vtkMRMLSegmentEditorNode.EffectParameterModified, lambda *_: self._changed())

    def _changed(self) -> None:
        if self._active:
            self._self.updateGUIFromMRML()

    def activate(self) -> None:
        self._active = True
        self.frame.setVisible(True)
        self._self.updateGUIFromMRML()
        self._self.activate()

    def deactivate(self) -> None:
        self._active = False
        self.frame.setVisible(False)
        self._self.deactivate()

    def active(self) -> bool:
        return self._active

    def addOptionsWidget(self, widget: Any) -> None:
        from . import pythonqt

        self.frame.layout().addRow(pythonqt.unwrap(widget))

    def parameterSetNode(self) -> Any:
        return self._node

    def parameter(self, name: str) -> str:
        return (self._node.GetAttribute(f"{self.name}.{name}") or "") if self._node is not None else ""

    def setParameter(self, name: str, value: str | float) -> None:
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise TypeError(f"Slicer takes a text or a number, not {value!r}")
        if self._node.GetAttribute(f"{self.name}.{name}") != str(value):
            self._node.SetAttribute(f"{self.name}.{name}", str(value))
            self._node.InvokeCustomModifiedEvent(slicer.vtkMRMLSegmentEditorNode.EffectParameterModified)

    def setParameterDefault(self, name: str, value: str | float) -> None:
        if self._node.GetAttribute(f"{self.name}.{name}") is None:
            self.setParameter(name, value)

    def saveStateForUndo(self) -> None:
        self._editor.logic.SaveStateForUndo()

    def referenceGeometryImage(self) -> Any:
        known = self._editor.logic.UpdateReferenceGeometryImage()
        return self._editor.logic.GetReferenceGeometryImage() if known else None

    def modifySegmentByLabelmap(self, node: Any, segment_id: str, labelmap: Any, mode: int) -> None:
        logic = self._editor.logic
        kinds = (
            logic.ModificationModeSet,
            logic.ModificationModeAdd,
            logic.ModificationModeRemove,
            logic.ModificationModeRemoveAll,
        )
        logic.ModifySegmentByLabelmap(node, segment_id, labelmap, kinds[mode], self.perSegment, False)

    def confirmCurrentSegmentVisible(self) -> int:
        return self._confirmation

    def renderer(self, view: Any) -> Any:
        return view.renderer

    def viewNode(self, view: Any) -> Any:
        return view.node

    def segmentationDisplayableInView(self, node: Any) -> bool:
        return True

    def addActor2D(self, view: Any, actor: Any) -> None:
        view.renderer.AddViewProp(actor)

    addActor3D = addActor2D

    def removeActor2D(self, view: Any, actor: Any) -> None:
        view.renderer.RemoveViewProp(actor)

    removeActor3D = removeActor2D
