"""Who changes segments: the Segment Editor that shows an effect, or one without windows, for the console."""

from __future__ import annotations

from typing import Any, Protocol

import slicer

from .target import Target

Node = Any


class Editor(Protocol):
    """Keeps undo states and obeys the masking settings."""

    def save_state(self) -> None:
        """Remember the segmentation as it is: one step for undo."""

    def change(self, target: Target, labelmap: Node, add: bool) -> None:
        """Add the voxels of a label map to a segment, or take them away, as far as the masking settings allow."""

    def overwrites(self) -> bool:
        """Whether added voxels are taken from other segments; else segments may overlap."""

    def shows(self, target: Target) -> bool:
        """Whether it is the target's segmentation that is edited, on the target's volume."""

    def reference(self) -> Node | None:
        """The grid on which the segmentation is edited, as an oriented image of which only the place counts."""


class EffectEditor:
    """The Segment Editor of an effect.

    Args:
        effect: qSlicerSegmentEditorScriptedEffect.
    """

    def __init__(self, effect: Any) -> None:
        self._effect = effect

    def save_state(self) -> None:
        self._effect.saveStateForUndo()

    def change(self, target: Target, labelmap: Node, add: bool) -> None:
        modes = slicer.qSlicerSegmentEditorAbstractEffect
        mode = modes.ModificationModeAdd if add else modes.ModificationModeRemove
        self._effect.modifySegmentByLabelmap(target.segmentation, target.segment_id, labelmap, mode)

    def overwrites(self) -> bool:
        return _overwrites(self._effect.parameterSetNode())

    def shows(self, target: Target) -> bool:
        return _shows(self._effect.parameterSetNode(), target)

    def reference(self) -> Node | None:
        return self._effect.referenceGeometryImage()


class LogicEditor:
    """An editor without windows.

    Args:
        logic: vtkSlicerSegmentEditorLogic with its node, segmentation and source volume.
    """

    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def save_state(self) -> None:
        self._logic.SaveStateForUndo()

    def change(self, target: Target, labelmap: Node, add: bool) -> None:
        mode = self._logic.ModificationModeAdd if add else self._logic.ModificationModeRemove
        self._logic.ModifySegmentByLabelmap(target.segmentation, target.segment_id, labelmap, mode, True, False)

    def overwrites(self) -> bool:
        return _overwrites(self._logic.GetSegmentEditorNode())

    def shows(self, target: Target) -> bool:
        return _shows(self._logic.GetSegmentEditorNode(), target)

    def reference(self) -> Node | None:
        known = self._logic.UpdateReferenceGeometryImage()
        return self._logic.GetReferenceGeometryImage() if known else None


def hidden_logic(volume: Node, segmentation: Node) -> Any:
    """A vtkSlicerSegmentEditorLogic with an editor node that no panel shows; :func:`forget` lets go of it."""
    scene = volume.GetScene()
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(scene)
    node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
    node.UnRegister(None)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    logic.SetSegmentEditorNode(scene.AddNode(node))
    logic.SetSegmentationNode(segmentation)
    logic.SetSourceVolumeNode(volume)
    return logic


def forget(logic: Any) -> None:
    """Remove what :func:`hidden_logic` made; its undo states go, too."""
    node = logic.GetSegmentEditorNode()
    logic.SetSegmentEditorNode(None)
    if node is not None and node.GetScene() is not None:
        node.GetScene().RemoveNode(node)


def _shows(node: Node, target: Target) -> bool:
    return node.GetSegmentationNode() is target.segmentation and node.GetSourceVolumeNode() is target.volume


def _overwrites(node: Node) -> bool:
    return bool(node.GetOverwriteMode() != node.OverwriteNone)
