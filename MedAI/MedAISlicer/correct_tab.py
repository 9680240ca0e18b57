"""The tab in which a result is put right: a Segment Editor with AI assist and a few of Slicer's own effects."""

from __future__ import annotations

from typing import Any

import slicer

from .assist import NAME
from .assist.register import register_effect
from .tubes.section import TubeSection

Node = Any

AUTO, CORRECT = range(2)
"""The tabs."""

EFFECTS = (NAME, "Paint", "Erase", "Scissors", "Islands", "Smoothing")
TAG = "MedAI.Correct"
"""Of the editor's node, so that it shares nothing with the module Segment Editor but the segments."""

UNDO_STATES = 10


class CorrectTab:
    """Makes its editor when it is seen for the first time.

    Args:
        ui: the named child widgets of MedAI.ui.

    Attributes:
        editor: qMRMLSegmentEditorWidget; None before.
        tubes: the section below it.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self.editor: Any = None
        self.tubes = TubeSection(ui, lambda: self.editor)

    @property
    def shown(self) -> bool:
        """Whether it is this tab that the user sees."""
        return bool(self._ui.tabWidget.currentIndex == CORRECT)

    def correct(self, segmentation: Node, volume: Node | None) -> None:
        """Show the tab with a result, its first segment chosen, ready for clicks.

        Args:
            segmentation: the result.
            volume: that it was made from.
        """
        self._ui.tabWidget.setCurrentIndex(CORRECT)
        self.enter(segmentation, volume)
        self.editor.setSegmentationNode(segmentation)
        if volume is not None:
            self.editor.setSourceVolumeNode(volume)
        content = segmentation.GetSegmentation()
        if content.GetSegment(self.editor.currentSegmentID()) is None and content.GetNumberOfSegments():
            self.editor.setCurrentSegmentID(content.GetNthSegmentID(0))
        self.editor.setActiveEffectByName(NAME)

    def enter(self, segmentation: Node | None, volume: Node | None) -> None:
        """The user opened the tab, or the module with it.

        Args:
            segmentation, volume: to begin with where nothing is chosen yet.
        """
        if self.editor is None:
            self._make()
        elif self.editor.effectByName(NAME) is None:
            self._offer()
        self._choose_node()
        self.editor.installKeyboardShortcuts()
        self.editor.updateWidgetFromMRML()
        if self.editor.segmentationNode() is None and segmentation is not None:
            self.editor.setSegmentationNode(segmentation)
        if self.editor.sourceVolumeNode() is None and volume is not None:
            self.editor.setSourceVolumeNode(volume)
        self.tubes.update()

    def leave(self) -> None:
        """The user went to the other tab, or to another module."""
        if self.editor is not None:
            self.editor.setActiveEffect(None)
            self.editor.uninstallKeyboardShortcuts()
            self.editor.removeViewObservations()

    def scene_closes(self) -> None:
        """All nodes are about to go away."""
        self.tubes.cancel()
        if self.editor is not None:
            self.editor.setSegmentationNode(None)
            self.editor.removeViewObservations()

    def close(self) -> None:
        """The module goes away."""
        self.tubes.close()
        self.leave()
        if self.editor is not None:
            # Qt deletes it later; until then it may not answer for the next one, which has the same node.
            self.editor.setMRMLSegmentEditorNode(None)
            self.editor = None

    def _make(self) -> None:
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMaximumNumberOfUndoStates(UNDO_STATES)
        # Before the scene, so that what the editor chooses in it is kept.
        self._choose_node()
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.editor.setEffectNameOrder(list(EFFECTS))
        self.editor.unorderedEffectsVisible = False
        if self.editor.effectByName(NAME) is None:
            self._offer()
        self.editor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", self.tubes.update)
        self.editor.connect("sourceVolumeNodeChanged(vtkMRMLVolumeNode*)", self.tubes.update)
        self.editor.connect("currentSegmentIDChanged(QString)", self.tubes.update)
        # Between the line above it and the section below.
        self._ui.correctTab.layout().insertWidget(1, self.editor)

    def _offer(self) -> None:
        """Slicer has not started up yet, or its effects were made anew."""
        register_effect()
        self.editor.updateEffectList()

    def _choose_node(self) -> None:
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(TAG)
            node = scene.AddNode(node)
        if self.editor.mrmlSegmentEditorNode() is not node:
            self.editor.setMRMLSegmentEditorNode(node)
