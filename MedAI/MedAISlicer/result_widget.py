"""What the widgets of those modules do whose results are tables: choosing a result, looking at it, taking it back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from .module_widget import ModuleWidget

Node = Any


class ResultWidget(ModuleWidget):
    """Base of a module's widget whose panel is a :class:`MedAISlicer.result_panel.ResultPanel`.

    A module's ``setup`` calls :meth:`compareWith` when the panel is there.
    """

    part_class = "vtkMRMLVolumeNode"
    """Of the nodes without which a comparison may be impossible."""

    def setup(self) -> None:
        """Load the module's .ui file; called when the user opens the module for the first time."""
        super().setup()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)

    def compareWith(self, comparison: Any) -> None:
        """Connect what chooses results and looks at them.

        Args:
            comparison: the module's :class:`MedAISlicer.compare.SliceViews`.
        """
        from .view_switch import ViewSwitch

        self._views = ViewSwitch(comparison, self.ui.fadeSlider, self._panel.show_view)
        self.ui.resultSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onResultChanged)
        for view, button in self._panel.buttons.items():
            button.connect("clicked(bool)", self._pressing(view))
        self.ui.fadeSlider.connect("valueChanged(int)", self._views.fade)

    def cleanup(self) -> None:
        """Stop what goes on; called when Slicer closes or the module is reloaded."""
        from . import scene_undo

        self._views.let_go()
        super().cleanup()
        scene_undo.forget()

    def exit(self) -> None:
        """Called each time the user opens another module; a run goes on, and views stay, but nothing flickers."""
        if self._views.flickering:
            self._views.stop()
        super().exit()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The scene is about to go away, and the result of a run would have no place."""
        from . import scene_undo

        self._views.stop(restore=False)
        super().onSceneStartClose(caller, event)
        scene_undo.forget()
        self._showResult(None)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller: Any, event: Any, node: Node) -> None:
        """A result may have lost a part that a comparison needs."""
        if not slicer.mrmlScene.IsClosing() and node.IsA(self.part_class):
            self._showResult(self.ui.resultSelector.currentNode())

    def onUndoButton(self) -> None:
        """Take the shown run back."""
        self._takeBack(self.ui.resultSelector.currentNode())

    def onResultChanged(self, table: Node | None) -> None:
        """Show another result."""
        if table is not self._panel.shown_table:
            self._views.stop()
        self._showResult(table)

    def onViewButton(self, view: Any) -> None:
        """Compare in this way; the same button again ends it."""
        self._views.press(self.ui.resultSelector.currentNode(), view)

    def _pressing(self, view: Any) -> Callable[[], None]:
        # A function without arguments: whether the button is down, which the signal says, does not matter.
        return lambda: self.onViewButton(view)

    def _showResult(self, table: Node | None) -> None:
        self._panel.show_result(table)

    def _dropResult(self) -> None:
        self._views.stop()
        self._showResult(None)

    def _takeBack(self, table: Node | None) -> None:
        from . import scene_undo
        from .compare import drop_helpers

        self._views.stop()
        if scene_undo.can_undo(table):
            drop_helpers(table)
            scene_undo.undo(table)
            self._panel.show_undone()

    def _apply(self) -> None:
        if self._mayReplace():
            super()._apply()

    def _mayReplace(self) -> bool:
        """Whether the user agrees to what will be lost, if anything."""
        lost = self.logic.replaced(self._parameterNode)
        question = _("The result will replace what is in {names}.").format(names=", ".join(lost))
        return not lost or bool(slicer.util.confirmOkCancelDisplay(question))

    def _start(self, run: Any) -> None:
        self._views.stop()
        super()._start(run)

    def _onResult(self, run: Any, result: Any) -> None:
        from .compare import View

        table = result.table
        logging.info("MedAI: done, figures in %s", table.GetName())
        self.logic.getParameterNode().result = table
        self._showResult(table)
        if self._runAgain(run, result) or not self.parent.isEntered:
            return
        if not self._panel.why_not(table, View.FADE):
            # At once in the views; the button ends that.
            self.onViewButton(View.FADE)

    def _runAgain(self, run: Any, result: Any) -> bool:
        """Whether another run has begun that replaces this result."""
        return False
