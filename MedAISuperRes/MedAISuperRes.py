"""Super-resolution in 3D Slicer: one click from thick slices to a volume with thin ones, and how far to trust it."""

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

from MedAISlicer.superres.parameters import SuperresParameterNode

NOT_REGISTERED = "not-registered"
"""The warning's code when further volumes do not lie where the input is."""


class MedAISuperRes(ScriptedLoadableModule):
    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MedAI Super Resolution")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = []
        self.parent.contributors = ["MedAI Contributors (SlicerMedAI)"]
        self.parent.helpText = _(
            "Computes a volume with thin slices from a CT or MR with thick ones. It learns from the scan itself, needs "
            "no training data, uses further scans of the same patient where there are any, checks that the result "
            "still explains the measured slices, and maps where it is uncertain. It computes on this computer, outside "
            "of Slicer's process. The result is a computed image, not for primary diagnosis."
        ) + _(' <a href="{url}">Documentation</a>').format(url="https://github.com/SlicerMedAI/SlicerMedAI#readme")
        self.parent.acknowledgementText = _("MedAI is open source under the Apache License 2.0.")


class MedAISuperResWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MedAISuperResLogic | None = None
        self._parameterNode: SuperresParameterNode | None = None
        self._parameterNodeGuiTags: list[int] = []

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        from MedAISlicer.compare import View
        from MedAISlicer.devices import DeviceQuestion
        from MedAISlicer.pulse import Pulse
        from MedAISlicer.run import RunController
        from MedAISlicer.superres.compare import Comparison
        from MedAISlicer.superres.panel import SuperresPanel
        from MedAISlicer.view_switch import ViewSwitch

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MedAISuperRes.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = MedAISuperResLogic()
        self._panel = SuperresPanel(self.ui)
        self._controller = RunController(Pulse(self._onPulse), self._onRunChanged, self._onRunEnded)
        self._deviceQuestion = DeviceQuestion(self._onDevicesKnown)
        comparison = Comparison(slicer.util.resetSliceViews, self._baseline)
        self._views = ViewSwitch(comparison, self.ui.fadeSlider, self._panel.show_view)
        self._shownBaseline = self._baseline()
        self._run: Any = None

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneReady)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneReady)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.finishButton.connect("clicked(bool)", self.onFinishButton)
        self.ui.undoButton.connect("clicked(bool)", self.onUndoButton)
        self.ui.resultSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onResultChanged)
        self.ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self.onAdvancedCollapsed)
        self.ui.fadeButton.connect("clicked(bool)", lambda: self.onViewButton(View.FADE))
        self.ui.checkerboardButton.connect("clicked(bool)", lambda: self.onViewButton(View.CHECKERBOARD))
        self.ui.flickerButton.connect("clicked(bool)", lambda: self.onViewButton(View.FLICKER))
        self.ui.differenceButton.connect("clicked(bool)", lambda: self.onViewButton(View.DIFFERENCE))
        self.ui.uncertaintyButton.connect("clicked(bool)", lambda: self.onViewButton(View.UNCERTAINTY))
        self.ui.residualButton.connect("clicked(bool)", lambda: self.onViewButton(View.RESIDUAL))
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
        self._showResult(None)

    def onSceneReady(self, caller: Any, event: Any) -> None:
        """The scene was emptied, or read with choices of its own."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """A run one of whose nodes is deleted cannot be brought to an end."""
        if self._controller.busy and self._run is not None and self._run.uses(node):
            self._controller.cancel(_("{name} was deleted.").format(name=node.GetName()))
        elif node is self.ui.figuresTable.mrmlTableNode():
            self._views.stop()
            self._showResult(None)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """A result may have lost a part that a comparison needs."""
        if not slicer.mrmlScene.IsClosing() and node.IsA("vtkMRMLVolumeNode"):
            self._showResult(self.ui.resultSelector.currentNode())

    def initializeParameterNode(self) -> None:
        """Make sure that the parameter node exists, is observed and has sensible values."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            self._parameterNode.inputVolume = self.logic.likelyInput()

    def setParameterNode(self, inputParameterNode: SuperresParameterNode | None) -> None:
        """Observe a parameter node and tie it to the widgets; None lets go of the present one."""
        if self._parameterNode:
            for tag in self._parameterNodeGuiTags:
                self._parameterNode.disconnectGui(tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self._parameterNode = inputParameterNode
        self._parameterNodeGuiTags = []
        if self._parameterNode:
            from MedAISlicer.choices import ItemDataConnector

            lists = {
                "method": ItemDataConnector(self.ui.methodComboBox),
                "device": ItemDataConnector(self.ui.deviceComboBox),
            }
            self._parameterNodeGuiTags = [
                self._parameterNode.connectGui(self.ui),
                self._parameterNode.connectParametersToGui(lists),
            ]
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._onParametersChanged()

    def _baseline(self) -> Any:
        """What a result is compared with."""
        from MedAISlicer.superres.parameters import Baseline

        return Baseline.CUBIC if self._parameterNode is None else self._parameterNode.baseline

    def _onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        if self._baseline() is not self._shownBaseline:
            self._shownBaseline = self._baseline()
            self._views.stop()
            self._showResult(self.ui.resultSelector.currentNode())
        self._checkCanApply()

    def _checkCanApply(self) -> None:
        """Describe the choices, and enable Apply or say why it cannot be pressed."""
        parameters = self._parameterNode
        if parameters is None or self._controller.busy:
            return
        self._panel.show_choices(parameters)
        self._panel.show_apply(self.logic.whyNotReady(parameters))

    def onApplyButton(self) -> None:
        """Start a run; while one is going on, cancel it."""
        if self._controller.busy:
            self._controller.cancel()
            return
        with slicer.util.tryWithErrorDisplay(None):
            lost = self.logic.replaced(self._parameterNode)
            if lost and not slicer.util.confirmOkCancelDisplay(
                _("The result will replace what is in {names}.").format(names=", ".join(lost))
            ):
                return
            self._start(self.logic.createRun(self._parameterNode))

    def _start(self, run: Any) -> None:
        from MedAISlicer.requirements import ensure

        ensure(torch=run.needs_torch)
        self._views.stop()
        logging.info("MedAI: super-resolution of %s", run.name)
        self._run = run
        self._controller.start(run)

    def onFinishButton(self) -> None:
        """Keep what there is by now."""
        self._controller.conclude()

    def onUndoButton(self) -> None:
        """Take the shown run back."""
        self._takeBack(self.ui.resultSelector.currentNode())

    def _takeBack(self, table: Any) -> None:
        from MedAISlicer import scene_undo
        from MedAISlicer.compare import drop_helpers
        from MedAISlicer.superres.compare import HELPERS

        self._views.stop()
        if scene_undo.can_undo(table):
            drop_helpers(table, HELPERS)
            scene_undo.undo(table)
            self._panel.show_undone()

    def onResultChanged(self, table: Any) -> None:
        """Show another result."""
        if table is not self.ui.figuresTable.mrmlTableNode():
            self._views.stop()
        self._showResult(table)

    def onAdvancedCollapsed(self, collapsed: bool) -> None:
        """Ask for the devices when somebody wants to see them for the first time."""
        if not collapsed:
            with slicer.util.tryWithErrorDisplay(_("The devices could not be listed.")):
                self._deviceQuestion.ask()

    def onViewButton(self, view: Any) -> None:
        """Compare in this way; the same button again ends it."""
        self._views.press(self.ui.resultSelector.currentNode(), view)

    def _onDevicesKnown(self, choices: list[tuple[str, str]]) -> None:
        self._panel.show_devices(choices, self.ui.deviceComboBox.currentData)

    def _showResult(self, table: Any) -> None:
        self._panel.show_result(table, self._baseline())

    def _onPulse(self) -> None:
        self._controller.tick()

    def _onRunChanged(self, status: Any) -> None:
        self._panel.show_status(status)

    def _onRunEnded(self, outcome: Any) -> None:
        from MedAISlicer.reporting import report

        run, self._run = self._run, None
        self._panel.show_end(outcome)
        report(outcome)
        if outcome.result is not None:
            table = outcome.result.table
            logging.info("MedAI: done, figures in %s", table.GetName())
            for summary in outcome.result.summaries:
                self._panel.expected.learn(summary, run.device)
            self.logic.getParameterNode().result = table
            self._showResult(table)
        self._checkCanApply()
        if outcome.result is not None and not self._offerToAlign(run, outcome.result) and self.parent.isEntered:
            self._showAtOnce(outcome.result.table)

    def _offerToAlign(self, run: Any, result: Any) -> bool:
        """Where further volumes lie elsewhere, ask whether to register them; True if a run began that does."""
        from MedAISlicer.superres.wording import not_registered

        found = [warned for summary in result.summaries for warned in summary.warnings if warned.code == NOT_REGISTERED]
        if not found or run.request.align or not slicer.util.confirmYesNoDisplay(not_registered(found[0].message)):
            return False
        with slicer.util.tryWithErrorDisplay(None):
            self._takeBack(result.table)
            self._start(run.aligned())
        return True

    def _showAtOnce(self, table: Any) -> None:
        """Show a new result in the views; its button ends that."""
        from MedAISlicer.compare import View
        from MedAISlicer.superres.compare import possible

        if not possible(table, View.FADE, self._baseline()):
            self.onViewButton(View.FADE)


class MedAISuperResLogic(ScriptedLoadableModuleLogic):
    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> SuperresParameterNode:
        """The scene's parameters of this module, made if they are not there yet."""
        return SuperresParameterNode(super().getParameterNode())

    def whyNotReady(self, parameters: SuperresParameterNode) -> str:
        """What is missing still, as a sentence for the user; empty if a run can be started."""
        from MedAISlicer.superres.asked import why_not_ready

        return why_not_ready(parameters)

    def replaced(self, parameters: SuperresParameterNode) -> list[str]:
        """Names of the nodes whose present content a run would replace."""
        from MedAISlicer.superres.asked import outputs_of

        return outputs_of(parameters).lost()

    def likelyInput(self) -> Any:
        """The volume that a slice view shows, else the first one; None if there is none."""
        from MedAISlicer.shown import likely_input

        return likely_input()

    def createRun(self, parameters: SuperresParameterNode) -> Any:
        """The run for these parameters, ready for :class:`MedAISlicer.run.RunController`.

        Raises:
            ValueError: no input volume.
        """
        from MedAISlicer.superres.asked import inputs_of, outputs_of, request_of
        from MedAISlicer.superres.run import SuperresRun

        if parameters.inputVolume is None:
            raise ValueError(_("Choose the input volume."))
        return SuperresRun(inputs_of(parameters), outputs_of(parameters), request_of(parameters), parameters.device)

    def superresolve(self, inputVolume: Any, **options: Any) -> Any:
        """Compute a volume with thin slices and wait for it; see :func:`MedAISlicer.console.superresolve`."""
        from MedAISlicer import console

        return console.superresolve(inputVolume, **options)


class MedAISuperResTest(ScriptedLoadableModuleTest):
    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run the tests one after the other."""
        self.setUp()
        self.test_MissingInputIsExplained()
        self.setUp()
        self.test_ThinnedSampleIsMadeFiner()

    def test_MissingInputIsExplained(self) -> None:
        """Without a volume there is a reason and no run."""
        logic = MedAISuperResLogic()
        assert logic.whyNotReady(logic.getParameterNode())

    def test_ThinnedSampleIsMadeFiner(self) -> None:
        """Every fourth slice of Slicer's own sample becomes a volume with thin slices, where the packages are there."""
        from MedAILib.image import Image
        from MedAISlicer import mrml
        from MedAISlicer.requirements import complete
        from MedAISlicer.sample import load_sample

        if not complete():
            self.delayDisplay("Not tested: the Python packages that MedAI needs are not installed")
            return
        self.delayDisplay("Loading the sample")
        image = mrml.image_from_node(load_sample())
        affine = image.affine.copy()
        affine[:3, 2] *= 4
        volume = mrml.volume_from_image(slicer.mrmlScene, Image(image.array[::4], affine, "thick"))
        self.delayDisplay("Computing")
        result = MedAISuperResLogic().superresolve(volume, method="tikhonov", thickness=image.spacing[0])
        assert result.volume.GetImageData().GetDimensions()[2] > image.shape[0]
        self.delayDisplay("Test passed")
