"""AI segmentation in 3D Slicer: one click from a volume to named, coded segments."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
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

from MedAISlicer.parameters import MedAIParameterNode


class MedAI(ScriptedLoadableModule):
    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MedAI")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["MedAI Contributors (SlicerMedAI)"]
        self.parent.helpText = _(
            "Finds anatomical structures in a volume with a trained network and adds them to the scene as named, "
            "coded segments with their volumes. The network computes on this computer, outside of Slicer's process. "
            "For research only."
        ) + _(' <a href="{url}">Documentation</a>').format(url="https://github.com/SlicerMedAI/SlicerMedAI#readme")
        self.parent.acknowledgementText = _(
            "MedAI is open source under the Apache License 2.0. The card of each model names the data and the "
            "publications that it rests on."
        )
        # Not before: the Sample Data module may be loaded after this one.
        slicer.app.connect("startupCompleted()", self.registerSample)

    def registerSample(self) -> None:
        """List the sample in the Sample Data module."""
        from MedAISlicer.sample import register_sample

        register_sample(self.resourcePath("Icons/MedAISample.png"))


class MedAIWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MedAILogic | None = None
        self._parameterNode: MedAIParameterNode | None = None
        self._parameterNodeGuiTags: list[int] = []

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        from MedAISlicer.devices import DeviceQuestion
        from MedAISlicer.panel import Panel
        from MedAISlicer.pulse import Pulse
        from MedAISlicer.run import RunController

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MedAI.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = MedAILogic()
        self._panel = Panel(self.ui)
        self._controller = RunController(Pulse(self._onPulse), self._onRunChanged, self._onRunEnded)
        self._deviceQuestion = DeviceQuestion(self._onDevicesKnown)
        self._run: Any = None

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneReady)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneReady)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.sampleButton.connect("clicked(bool)", self.onSampleButton)
        self.ui.undoButton.connect("clicked(bool)", self.onUndoButton)
        self.ui.outputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onOutputChanged)
        self.ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self.onAdvancedCollapsed)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Stop what goes on; called when Slicer closes or the module is reloaded."""
        from MedAILib.worker.client import close_workers
        from MedAISlicer import undo

        self._deviceQuestion.stop()
        self._controller.abandon()
        self.setParameterNode(None)
        self.removeObservers()
        undo.forget()
        close_workers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time the user opens another module; a run goes on."""
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Load the module anew, with all of its parts: Slicer itself takes only this file again."""
        self.cleanup()
        for name in [name for name in sys.modules if name.split(".")[0] in ("MedAISlicer", "MedAILib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The scene is about to go away, and the result of a run would have no place."""
        from MedAISlicer import undo

        self._controller.cancel(_("The scene was closed."))
        self._panel.show_result(None)
        self.setParameterNode(None)
        undo.forget()

    def onSceneReady(self, caller: Any, event: Any) -> None:
        """The scene was emptied, or read with choices of its own."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """A run whose volume or segmentation is deleted cannot be brought to an end."""
        if self._controller.busy and self._run is not None and self._run.uses(node):
            self._controller.cancel(_("{name} was deleted.").format(name=node.GetName()))
        elif node is self.ui.resultTable.mrmlTableNode():
            self._panel.show_result(None)

    def initializeParameterNode(self) -> None:
        """Make sure that the parameter node exists, is observed and has sensible values."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            self._parameterNode.inputVolume = self.logic.likelyInput()

    def setParameterNode(self, inputParameterNode: MedAIParameterNode | None) -> None:
        """Observe a parameter node and tie it to the widgets; None lets go of the present one."""
        if self._parameterNode:
            for tag in self._parameterNodeGuiTags:
                self._parameterNode.disconnectGui(tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self._parameterNode = inputParameterNode
        self._parameterNodeGuiTags = []
        if self._parameterNode:
            from MedAISlicer.choices import ItemDataConnector

            self._parameterNode.model = self._panel.load_models(self._parameterNode.model)
            lists = {
                "model": ItemDataConnector(self.ui.modelComboBox),
                "device": ItemDataConnector(self.ui.deviceComboBox),
            }
            self._parameterNodeGuiTags = [
                self._parameterNode.connectGui(self.ui),
                self._parameterNode.connectParametersToGui(lists),
            ]
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._onParametersChanged()

    def _onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        # While a scene is read, its references are not those of the nodes that they are meant for yet.
        if self._parameterNode is not None and not slicer.mrmlScene.IsImporting():
            self.logic.checkOwnOutput(self._parameterNode)
        self._checkCanApply()

    def _checkCanApply(self) -> None:
        """Describe the choices, and enable Apply or say why it cannot be pressed."""
        parameters = self._parameterNode
        if parameters is None:
            return
        self._panel.show_card(parameters.model)
        if self._controller.busy:
            return
        reason = self.logic.whyNotReady(parameters)
        if not reason and self._panel.card(parameters.model) is None:
            reason = self._panel.no_model(parameters.model)
        self._panel.show_apply(reason)

    def onOutputChanged(self, node: Any) -> None:
        """Show what is known of the chosen segmentation; the last result stays while a new one is to be made."""
        if node is None:
            self._panel.show_undo(None)
        else:
            self._panel.show_result(node)

    def onUndoButton(self) -> None:
        """Take the last result in the chosen segmentation back."""
        from MedAISlicer import tables, undo

        segmentation = self.ui.outputSelector.currentNode()
        if undo.undo(segmentation):
            tables.take_back(segmentation)
            self._panel.show_undone(segmentation)

    def onAdvancedCollapsed(self, collapsed: bool) -> None:
        """Ask for the devices when somebody wants to see them for the first time."""
        if not collapsed:
            with slicer.util.tryWithErrorDisplay(_("The devices could not be listed.")):
                self._deviceQuestion.ask()

    def _onDevicesKnown(self, choices: list[tuple[str, str]]) -> None:
        self._panel.show_devices(choices, self.ui.deviceComboBox.currentData)

    def onSampleButton(self) -> None:
        """Load the sample and choose it."""
        from MedAISlicer.sample import load_sample

        with slicer.util.tryWithErrorDisplay(None, waitCursor=True):
            # The download lets the GUI live, so the module may have been left meanwhile.
            volume = load_sample()
            self.logic.getParameterNode().inputVolume = volume

    def onApplyButton(self) -> None:
        """Start a run; while one is going on, cancel it."""
        from MedAISlicer.requirements import ensure

        if self._controller.busy:
            self._controller.cancel()
            return
        with slicer.util.tryWithErrorDisplay(None):
            ensure()
            self._start(self.logic.createRun(self._parameterNode))

    def _start(self, run: Any) -> None:
        logging.info("MedAI: segmenting %s", run.name)
        self._run = run
        self._controller.start(run)

    def _onPulse(self) -> None:
        self._controller.tick()

    def _onRunChanged(self, status: Any) -> None:
        self._panel.show_status(status)

    def _onRunEnded(self, outcome: Any) -> None:
        from MedAILib.errors import ModalityError
        from MedAISlicer.reporting import report
        from MedAISlicer.wording import other_modality

        run, self._run = self._run, None
        self._checkCanApply()
        if isinstance(outcome.error, ModalityError):
            if slicer.util.confirmYesNoDisplay(other_modality(run.name, run.request)):
                with slicer.util.tryWithErrorDisplay(None):
                    self._start(run.forced())
                return
            outcome = replace(outcome, error=None, cancelled="")
        self._panel.show_end(outcome)
        report(outcome)
        if outcome.result is not None:
            logging.info("MedAI: done, result in %s", outcome.result.segmentation.GetName())
            self._panel.show_result(outcome.result.segmentation)
            if outcome.result.of_sequence:
                self._panel.show_undo(None)
            else:
                self.logic.chooseOwnOutput(outcome.result.segmentation)


class MedAILogic(ScriptedLoadableModuleLogic):
    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> MedAIParameterNode:
        """The scene's parameters of this module, made if they are not there yet."""
        return MedAIParameterNode(super().getParameterNode())

    def whyNotReady(self, parameters: MedAIParameterNode) -> str:
        """What is missing still, as a sentence for the user; empty if a run can be started."""
        volume = parameters.inputVolume
        if volume is None:
            return _("Choose an input volume, or press Load sample.")
        if volume.IsA("vtkMRMLSequenceNode"):
            first = volume.GetNthDataNode(0) if volume.GetNumberOfDataNodes() else None
            if first is None or not first.IsA("vtkMRMLScalarVolumeNode"):
                return _("The sequence {name} holds no volumes. Choose another input.").format(name=volume.GetName())
            if parameters.outputSegmentation is not None:
                return _("The result of a sequence is a new sequence. Choose New segmentation as the output.")
        elif volume.GetImageData() is None:
            return _("The volume {name} holds no image. Choose another input.").format(name=volume.GetName())
        return ""

    def likelyInput(self) -> Any:
        """The volume that a slice view shows, else the first one that can be segmented; None if there is none."""
        from MedAISlicer.shown import likely_input

        return likely_input()

    def chooseOwnOutput(self, segmentation: Any) -> None:
        """Let the next run renew what this one made, unless the user has chosen where results go."""
        parameters = self.getParameterNode()
        if parameters.outputSegmentation is None:
            parameters.outputSegmentation = segmentation
            parameters.ownOutput = segmentation

    def checkOwnOutput(self, parameters: MedAIParameterNode) -> None:
        """Another volume gets a segmentation of its own, so that two results are never mixed by accident.

        An output that the user chose stays.
        """
        own, volume = parameters.ownOutput, parameters.inputVolume
        if own is None:
            return
        if parameters.outputSegmentation is not own:
            parameters.ownOutput = None
        elif volume is not None:
            made_on = own.GetNodeReference(own.GetReferenceImageGeometryReferenceRole())
            if made_on is not None and made_on is not volume:
                parameters.outputSegmentation = None

    def createRun(self, parameters: MedAIParameterNode) -> Any:
        """The run for these parameters, ready for :class:`MedAISlicer.run.RunController`.

        Raises:
            ValueError: no input volume.
        """
        from MedAILib.pipeline.request import Request
        from MedAISlicer.modality import modality_of
        from MedAISlicer.segmenting import SegmentationRun

        if parameters.inputVolume is None:
            raise ValueError(_("Choose an input volume."))
        volume = parameters.inputVolume
        request = Request(parameters.model or None, modality_of(volume), mode=parameters.mode.value)
        return SegmentationRun(volume, parameters.outputSegmentation, request, parameters.device)

    def segment(self, inputVolume: Any, model: str | None = None, outputSegmentation: Any = None) -> Any:
        """Segment a volume and wait for it, e.g. in a script; returns the segmentation node."""
        import MedAILib

        return MedAILib.segment(inputVolume, model=model, output=outputSegmentation)


class MedAITest(ScriptedLoadableModuleTest):
    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run the tests one after the other."""
        self.setUp()
        self.test_MissingInputIsExplained()
        self.setUp()
        self.test_SampleIsSegmented()

    def test_MissingInputIsExplained(self) -> None:
        """Without a volume there is a reason and no run."""
        logic = MedAILogic()
        assert logic.whyNotReady(logic.getParameterNode())

    def test_SampleIsSegmented(self) -> None:
        """The whole way on Slicer's own sample, where torch is installed."""
        from MedAISlicer.requirements import complete
        from MedAISlicer.sample import load_sample

        if not complete():
            self.delayDisplay("Not tested: the Python packages that MedAI needs are not installed")
            return
        self.delayDisplay("Loading the sample")
        volume = load_sample()
        self.delayDisplay("Segmenting")
        segmentation = MedAILogic().segment(volume)
        assert segmentation.GetSegmentation().GetNumberOfSegments() > 10
        self.delayDisplay("Test passed")
