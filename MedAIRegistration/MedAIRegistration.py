"""Registration in 3D Slicer: one click from two volumes to a transform, and how well it fits."""

from __future__ import annotations

import logging
import sys
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MedAISlicer.registration.parameters import RegistrationParameterNode


class MedAIRegistration(ScriptedLoadableModule):
    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MedAI Registration")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["MedAI Contributors (SlicerMedAI)"]
        self.parent.helpText = _(
            "Brings one volume, and what belongs to it, onto another: rigid, affine or deformable, of the same or of "
            "different contrast, without training data. It says how well the result fits, and keeps the start where "
            "the result would be worse. It computes on this computer, outside of Slicer's process. For research only."
        ) + _(' <a href="{url}">Documentation</a>').format(url="https://github.com/SlicerMedAI/SlicerMedAI#readme")
        self.parent.acknowledgementText = _("MedAI is open source under the Apache License 2.0.")


class MedAIRegistrationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MedAIRegistrationLogic | None = None
        self._parameterNode: RegistrationParameterNode | None = None
        self._parameterNodeGuiTags: list[int] = []

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        from MedAISlicer.compare import View
        from MedAISlicer.devices import DeviceQuestion
        from MedAISlicer.pulse import Pulse
        from MedAISlicer.registration.compare import Comparison
        from MedAISlicer.registration.panel import RegistrationPanel
        from MedAISlicer.run import RunController
        from MedAISlicer.view_switch import ViewSwitch

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MedAIRegistration.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = MedAIRegistrationLogic()
        self._panel = RegistrationPanel(self.ui)
        self._controller = RunController(Pulse(self._onPulse), self._onRunChanged, self._onRunEnded)
        self._deviceQuestion = DeviceQuestion(self._onDevicesKnown)
        self._views = ViewSwitch(Comparison(slicer.util.resetSliceViews), self.ui.fadeSlider, self._panel.show_view)
        self._run: Any = None

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.undoButton.connect("clicked(bool)", self.onUndoButton)
        self.ui.resultSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onResultChanged)
        self.ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self.onAdvancedCollapsed)
        self.ui.fadeButton.connect("clicked(bool)", lambda: self.onViewButton(View.FADE))
        self.ui.checkerboardButton.connect("clicked(bool)", lambda: self.onViewButton(View.CHECKERBOARD))
        self.ui.flickerButton.connect("clicked(bool)", lambda: self.onViewButton(View.FLICKER))
        self.ui.differenceButton.connect("clicked(bool)", lambda: self.onViewButton(View.DIFFERENCE))
        self.ui.gridButton.connect("clicked(bool)", lambda: self.onViewButton(View.GRID))
        self.ui.jacobianButton.connect("clicked(bool)", lambda: self.onViewButton(View.JACOBIAN))
        self.ui.fadeSlider.connect("valueChanged(int)", self._views.fade)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Stop what goes on; called when Slicer closes or the module is reloaded."""
        from MedAISlicer import scene_undo

        self._deviceQuestion.stop()
        self._views.let_go()
        self._controller.abandon()
        self.setParameterNode(None)
        self.removeObservers()
        scene_undo.forget()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time the user opens another module; a run goes on, and views stay, but nothing flickers."""
        if self._views.flickering:
            self._views.stop()
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Load the module anew, with all of its parts: Slicer itself takes only this file again."""
        self.cleanup()
        for name in [name for name in sys.modules if name.split(".")[0] in ("MedAISlicer", "MedAILib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The scene is about to go away, and the result of a run would have no place."""
        from MedAISlicer import scene_undo

        self._controller.cancel(_("The scene was closed."))
        self._views.stop(restore=False)
        self.setParameterNode(None)
        scene_undo.forget()
        self._panel.show_result(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """The scene is empty now."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """A scene was read: the choices were there before the nodes that they mean."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """A run one of whose nodes is deleted cannot be brought to an end."""
        if self._controller.busy and self._run is not None and self._run.uses(node):
            self._controller.cancel(_("{name} was deleted.").format(name=node.GetName()))
        elif node is self.ui.qualityTable.mrmlTableNode():
            self._views.stop()
            self._panel.show_result(None)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """A result may have lost a part that a comparison needs."""
        if not slicer.mrmlScene.IsClosing() and node.IsA("vtkMRMLTransformableNode"):
            self._panel.show_result(self.ui.resultSelector.currentNode())

    def initializeParameterNode(self) -> None:
        """Make sure that the parameter node exists and is observed."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, inputParameterNode: RegistrationParameterNode | None) -> None:
        """Observe a parameter node and tie it to the widgets; None lets go of the present one."""
        if self._parameterNode:
            for tag in self._parameterNodeGuiTags:
                self._parameterNode.disconnectGui(tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = inputParameterNode
        self._parameterNodeGuiTags = []
        if self._parameterNode:
            from MedAISlicer.choices import ItemDataConnector
            from MedAISlicer.registration.connectors import CheckedNodes, ChosenSegment, ChosenSegmentation

            own = {
                "device": ItemDataConnector(self.ui.deviceComboBox),
                "carried": CheckedNodes(self.ui.carriedComboBox),
                "fixedMask": ChosenSegmentation(self.ui.fixedMaskSelector),
                "fixedMaskSegment": ChosenSegment(self.ui.fixedMaskSelector),
                "movingMask": ChosenSegmentation(self.ui.movingMaskSelector),
                "movingMaskSegment": ChosenSegment(self.ui.movingMaskSelector),
            }
            self._parameterNodeGuiTags = [
                self._parameterNode.connectGui(self.ui),
                self._parameterNode.connectParametersToGui(own),
            ]
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _checkCanApply(self, caller: Any = None, event: Any = None) -> None:
        """Enable Apply or say why it cannot be pressed."""
        parameters = self._parameterNode
        if parameters is None:
            return
        self._panel.show_choices(parameters)
        if not self._controller.busy:
            self._panel.show_apply(self.logic.whyNotReady(parameters))

    def onApplyButton(self) -> None:
        """Start a run; while one is going on, cancel it."""
        from MedAISlicer.requirements import ensure

        if self._controller.busy:
            self._controller.cancel()
            return
        with slicer.util.tryWithErrorDisplay(None):
            lost = self.logic.replaced(self._parameterNode)
            if lost and not slicer.util.confirmOkCancelDisplay(
                _("The result will replace what is in {names}.").format(names=", ".join(lost))
            ):
                return
            ensure()
            self._views.stop()
            self._run = self.logic.createRun(self._parameterNode)
            logging.info("MedAI: registering %s", self._run.name)
            self._controller.start(self._run)

    def onUndoButton(self) -> None:
        """Take the shown run back."""
        from MedAISlicer import scene_undo
        from MedAISlicer.compare import drop_helpers
        from MedAISlicer.registration.compare import HELPERS

        self._views.stop()
        table = self.ui.resultSelector.currentNode()
        if scene_undo.can_undo(table):
            drop_helpers(table, HELPERS)
            scene_undo.undo(table)
            self._panel.show_undone()

    def onResultChanged(self, table: Any) -> None:
        """Show another result."""
        if table is not self.ui.qualityTable.mrmlTableNode():
            self._views.stop()
        self._panel.show_result(table)

    def onAdvancedCollapsed(self, collapsed: bool) -> None:
        """Ask for the devices when somebody wants to see them for the first time."""
        if not collapsed:
            with slicer.util.tryWithErrorDisplay(_("The devices could not be listed.")):
                self._deviceQuestion.ask()

    def _onDevicesKnown(self, choices: list[tuple[str, str]]) -> None:
        self._panel.show_devices(choices, self.ui.deviceComboBox.currentData)

    def onViewButton(self, view: Any) -> None:
        """Compare in this way; the same button again ends it."""
        self._views.press(self.ui.resultSelector.currentNode(), view)

    def _onPulse(self) -> None:
        self._controller.tick()

    def _onRunChanged(self, status: Any) -> None:
        self._panel.show_status(status)

    def _onRunEnded(self, outcome: Any) -> None:
        from MedAISlicer.reporting import report

        self._run = None
        self._checkCanApply()
        self._panel.show_end(outcome)
        report(outcome)
        if outcome.result is not None:
            table = outcome.result.table
            logging.info("MedAI: done, figures in %s", table.GetName())
            self.logic.getParameterNode().result = table
            self._panel.show_result(table)
            if self.parent.isEntered:
                self._showAtOnce(table)

    def _showAtOnce(self, table: Any) -> None:
        """Show a new result in the views; its button ends that."""
        from MedAISlicer.compare import View
        from MedAISlicer.registration.compare import possible

        if not possible(table, View.FADE):
            self.onViewButton(View.FADE)


class MedAIRegistrationLogic(ScriptedLoadableModuleLogic):
    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> RegistrationParameterNode:
        """The scene's parameters of this module, made if they are not there yet."""
        return RegistrationParameterNode(super().getParameterNode())

    def whyNotReady(self, parameters: RegistrationParameterNode) -> str:
        """What is missing still, as a sentence for the user; empty if a run can be started."""
        from MedAISlicer.registration.asked import why_not_ready

        return why_not_ready(parameters)

    def replaced(self, parameters: RegistrationParameterNode) -> list[str]:
        """Names of the nodes whose present content a run would replace."""
        from MedAISlicer.registration.asked import outputs_of

        return outputs_of(parameters).lost()

    def createRun(self, parameters: RegistrationParameterNode) -> Any:
        """The run for these parameters, ready for :class:`MedAISlicer.run.RunController`.

        Raises:
            ValueError: a volume is missing.
        """
        from MedAISlicer.registration.asked import inputs_of, outputs_of, request_of
        from MedAISlicer.registration.run import RegistrationRun

        if parameters.fixedVolume is None or parameters.movingVolume is None:
            raise ValueError(_("Choose the fixed and the moving volume."))
        return RegistrationRun(inputs_of(parameters), outputs_of(parameters), request_of(parameters), parameters.device)

    def register(self, fixedVolume: Any, movingVolume: Any, **options: Any) -> Any:
        """Register two volumes and wait for it, e.g. in a script; see :func:`MedAISlicer.console.register`."""
        from MedAISlicer import console

        return console.register(fixedVolume, movingVolume, **options)


class MedAIRegistrationTest(ScriptedLoadableModuleTest):
    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run the tests one after the other."""
        self.setUp()
        self.test_MissingInputIsExplained()
        self.setUp()
        self.test_MovedSampleIsBroughtBack()

    def test_MissingInputIsExplained(self) -> None:
        """Without volumes there is a reason and no run."""
        logic = MedAIRegistrationLogic()
        assert logic.whyNotReady(logic.getParameterNode())

    def test_MovedSampleIsBroughtBack(self) -> None:
        """Slicer's own sample, moved by a known transform, comes back to its place, where torch is installed."""
        from MedAISlicer.requirements import complete
        from MedAISlicer.sample import load_sample

        if not complete():
            self.delayDisplay("Not tested: the Python packages that MedAI needs are not installed")
            return
        self.delayDisplay("Loading the sample")
        fixed = load_sample()
        moving = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, fixed, "moved")
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 12.0)
        shift.SetMatrixTransformToParent(matrix)
        moving.SetAndObserveTransformNodeID(shift.GetID())
        self.delayDisplay("Registering")
        result = MedAIRegistrationLogic().register(fixed, moving, kind="rigid")
        found = result.transform.GetTransformToParent().TransformPoint(12.0, 0.0, 0.0)
        assert vtk.vtkMath.Norm(found) < 1.0
        self.delayDisplay("Test passed")
