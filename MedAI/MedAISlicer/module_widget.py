"""What the widgets of all modules do: one run at a time, the choices, and what happens to the scene meanwhile."""

from __future__ import annotations

import logging
import sys
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

Node = Any


class ModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Base of a module's widget.

    A module's ``setup`` makes ``logic`` and ``_panel``, and ends with :meth:`initializeParameterNode`. What the .ui
    files name alike is connected here.
    """

    doing = "computing"
    """What a run does, for the log."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self._panel: Any = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTags: list[int] = []
        self._run: Any = None

    def setup(self) -> None:
        """Load the module's .ui file; called when the user opens the module for the first time."""
        from .devices import DeviceQuestion
        from .pulse import Pulse
        from .run import RunController

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self._controller = RunController(Pulse(self._onPulse), self._onRunChanged, self._onRunEnded)
        self._deviceQuestion = DeviceQuestion(self._onDevicesKnown)

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneReady)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneReady)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.undoButton.connect("clicked(bool)", self.onUndoButton)
        self.ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self.onAdvancedCollapsed)

    def cleanup(self) -> None:
        """Stop what goes on; called when Slicer closes or the module is reloaded."""
        self._deviceQuestion.stop()
        self._controller.abandon()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time the user opens another module; a run goes on."""
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Load the module anew, with all of its parts: Slicer itself takes only the module's file again."""
        self.cleanup()
        for name in [name for name in sys.modules if name.split(".")[0] in ("MedAISlicer", "MedAILib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The scene is about to go away, and the result of a run would have no place."""
        self._controller.cancel(_("The scene was closed."))
        self.setParameterNode(None)

    def onSceneReady(self, caller: Any, event: Any) -> None:
        """The scene was emptied, or read: its choices were there before the nodes that they mean."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Node) -> None:
        """A run one of whose nodes is deleted cannot be brought to an end."""
        if self._controller.busy and self._run is not None and self._run.uses(node):
            self._controller.cancel(_("{name} was deleted.").format(name=node.GetName()))
        elif node is self._panel.shown_table:
            self._dropResult()

    def initializeParameterNode(self) -> None:
        """Make sure that the parameter node exists and is observed."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, inputParameterNode: Any) -> None:
        """Observe a parameter node and tie it to the widgets; None lets go of the present one."""
        if self._parameterNode:
            for tag in self._parameterNodeGuiTags:
                self._parameterNode.disconnectGui(tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self._parameterNode = inputParameterNode
        self._parameterNodeGuiTags = []
        if self._parameterNode:
            self._parameterNodeGuiTags = [
                self._parameterNode.connectGui(self.ui),
                self._parameterNode.connectParametersToGui(self._connectors()),
            ]
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._onParametersChanged()

    def onApplyButton(self) -> None:
        """Start a run; while one is going on, cancel it."""
        if self._controller.busy:
            self._controller.cancel()
            return
        with slicer.util.tryWithErrorDisplay(None):
            self._apply()

    def onUndoButton(self) -> None:
        """Take the shown result back."""

    def onAdvancedCollapsed(self, collapsed: bool) -> None:
        """Ask for the devices when somebody wants to see them for the first time."""
        if not collapsed:
            with slicer.util.tryWithErrorDisplay(_("The devices could not be listed.")):
                self._deviceQuestion.ask()

    def _connectors(self) -> dict[str, Any]:
        """Parameter to what ties it to its widget, where Slicer's own connectors do not."""
        from .choices import ItemDataConnector

        return {"device": ItemDataConnector(self.ui.deviceComboBox)}

    def _onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        self._checkCanApply()

    def _checkCanApply(self) -> None:
        """Describe the choices, and enable Apply or say why it cannot be pressed."""

    def _dropResult(self) -> None:
        """Show no result, as the table of the shown one goes away."""

    def _apply(self) -> None:
        """Start a run with the present choices."""
        from .requirements import ensure

        ensure()
        self._start(self.logic.createRun(self._parameterNode))

    def _start(self, run: Any) -> None:
        logging.info("MedAI: %s %s", self.doing, run.name)
        self._run = run
        self._controller.start(run)

    def _onPulse(self) -> None:
        self._controller.tick()

    def _onRunChanged(self, status: Any) -> None:
        self._panel.show_status(status)

    def _onRunEnded(self, outcome: Any) -> None:
        from .reporting import report

        run, self._run = self._run, None
        self._checkCanApply()
        self._panel.show_end(outcome)
        report(outcome)
        if outcome.result is not None:
            self._onResult(run, outcome.result)

    def _onResult(self, run: Any, result: Any) -> None:
        """Show what a run left in the scene."""

    def _onDevicesKnown(self, choices: list[tuple[str, str]]) -> None:
        self._panel.show_devices(choices, self.ui.deviceComboBox.currentData)
