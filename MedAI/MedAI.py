"""AI segmentation in 3D Slicer: one click from a volume to named, coded segments."""

from __future__ import annotations

import logging
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
)

from MedAISlicer.module_widget import ModuleWidget
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
            "coded segments with their volumes. The tab Correct, and the effect AI assist of the Segment Editor, put a "
            "segment right, or draw a new one, with a few clicks and strokes. The tab Train makes a model of your own "
            "from cases that you have segmented. All is computed here, outside Slicer's process. For research only."
        ) + _(' <a href="{url}">Documentation</a>').format(url="https://github.com/SlicerMedAI/SlicerMedAI#readme")
        self.parent.acknowledgementText = _(
            "MedAI is open source under the Apache License 2.0. The card of each model names the data and the "
            "publications that it rests on."
        )
        slicer.app.connect("startupCompleted()", self.registerEffect)
        # Not before: the Sample Data module may be loaded after this one.
        slicer.app.connect("startupCompleted()", self.registerSample)

    def registerEffect(self) -> None:
        """Offer AI assist in every Segment Editor."""
        from MedAISlicer.assist.register import register_effect

        register_effect()

    def registerSample(self) -> None:
        """List the sample in the Sample Data module."""
        from MedAISlicer.sample import register_sample

        register_sample(self.resourcePath("Icons/MedAISample.png"))


class MedAIWidget(ModuleWidget):
    doing = "segmenting"

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        from MedAISlicer.adding import ModelAdder
        from MedAISlicer.correct_tab import CorrectTab
        from MedAISlicer.panel import Panel
        from MedAISlicer.train.tab import TrainTab

        super().setup()
        self.logic = MedAILogic()
        self._panel = Panel(self.ui)
        self._adder = ModelAdder(self.ui, self._panel.say, self.onModelAdded)
        self._correct = CorrectTab(self.ui)
        self._train = TrainTab(self.ui, lambda name: slicer.util.loadUI(self.resourcePath(name)), self.onModelAdded)
        self.ui.tabWidget.connect("currentChanged(int)", self.onTabChanged)
        self.ui.correctButton.connect("clicked(bool)", self.onCorrectButton)
        self.ui.sampleButton.connect("clicked(bool)", self.onSampleButton)
        self.ui.addModelButton.connect("clicked(bool)", self._adder.ask)
        self.ui.outputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onOutputChanged)
        self.initializeParameterNode()

    @property
    def editor(self) -> Any:
        """The Segment Editor of the tab Correct, where it is open; results keep an undo state in it."""
        return self._correct.editor

    def cleanup(self) -> None:
        """Stop what goes on; called when Slicer closes or the module is reloaded."""
        from MedAILib.worker.client import close_workers
        from MedAISlicer import undo

        self._adder.stop()
        self._correct.close()
        self._train.close()
        super().cleanup()
        undo.forget()
        close_workers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        super().enter()
        self._enterTab()

    def exit(self) -> None:
        """Called each time the user opens another module; a run goes on."""
        self._correct.leave()
        self._train.leave()
        super().exit()

    def onSceneReady(self, caller: Any, event: Any) -> None:
        """The scene was emptied, or read."""
        super().onSceneReady(caller, event)
        if self.parent.isEntered:
            self._enterTab()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The scene is about to go away, and the result of a run would have no place."""
        from MedAISlicer import undo

        self._correct.scene_closes()
        self._train.scene_closes()
        super().onSceneStartClose(caller, event)
        undo.forget()
        self._dropResult()

    def initializeParameterNode(self) -> None:
        """Make sure that the parameter node exists, is observed and has sensible values."""
        super().initializeParameterNode()
        if not self._parameterNode.inputVolume:
            self._parameterNode.inputVolume = self.logic.likelyInput()

    def setParameterNode(self, inputParameterNode: MedAIParameterNode | None) -> None:
        """Observe a parameter node and tie it to the widgets; None lets go of the present one."""
        super().setParameterNode(None)
        if inputParameterNode:
            # The models may be other ones than the last time.
            inputParameterNode.model = self._panel.load_models(inputParameterNode.model)
            super().setParameterNode(inputParameterNode)

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

    def onTabChanged(self, index: int) -> None:
        """The user went to another tab."""
        self._correct.leave()
        self._train.leave()
        self._enterTab()

    def onCorrectButton(self) -> None:
        """Put the chosen segmentation right."""
        segmentation = self.ui.outputSelector.currentNode()
        if segmentation is not None:
            with slicer.util.tryWithErrorDisplay(None):
                self._correct.correct(segmentation, self.logic.madeOn(segmentation) or self._parameterNode.inputVolume)

    def onModelAdded(self, name: str) -> None:
        """There is a new model, which is chosen now."""
        parameters = self.logic.getParameterNode()
        parameters.model = name
        if self._parameterNode is not None:
            self.setParameterNode(parameters)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """A run one of whose nodes is deleted cannot be brought to an end."""
        super().onNodeAboutToBeRemoved(caller, event, node)
        self._correct.tubes.node_goes(node)
        self._train.node_goes(node)

    def onSampleButton(self) -> None:
        """Load the sample and choose it."""
        from MedAISlicer.sample import load_sample

        with slicer.util.tryWithErrorDisplay(None, waitCursor=True):
            # The download lets the GUI live, so the module may have been left meanwhile.
            volume = load_sample()
            self.logic.getParameterNode().inputVolume = volume

    def _enterTab(self) -> None:
        if self._correct.shown and self._parameterNode is not None:
            parameters = self._parameterNode
            self._correct.enter(parameters.outputSegmentation, parameters.inputVolume)
        if self._train.shown:
            self._train.enter()

    def _connectors(self) -> dict[str, Any]:
        from MedAISlicer.choices import ItemDataConnector

        return super()._connectors() | {"model": ItemDataConnector(self.ui.modelComboBox)}

    def _onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        # While a scene is read, its references are not those of the nodes that they are meant for yet.
        if self._parameterNode is not None and not slicer.mrmlScene.IsImporting():
            self.logic.checkOwnOutput(self._parameterNode)
        self._checkCanApply()

    def _checkCanApply(self) -> None:
        from MedAISlicer.further_inputs import why_no_match

        parameters = self._parameterNode
        if parameters is None:
            return
        card = self._panel.card(parameters.model)
        self._panel.show_card(parameters.model, parameters.parameterNode, parameters.inputVolume)
        if self._controller.busy:
            return
        reason = self.logic.whyNotReady(parameters)
        if not reason and card is None:
            reason = self._panel.no_model(parameters.model)
        elif not reason:
            reason = why_no_match(card, parameters.inputVolume)
        self._panel.show_apply(reason)

    def _dropResult(self) -> None:
        self._panel.show_result(None)

    def _onRunEnded(self, outcome: Any) -> None:
        from MedAILib.errors import ModalityError
        from MedAISlicer.wording import other_modality

        if isinstance(outcome.error, ModalityError):
            run, self._run = self._run, None
            self._checkCanApply()
            if slicer.util.confirmYesNoDisplay(other_modality(run.name, run.request)):
                with slicer.util.tryWithErrorDisplay(None):
                    self._start(run.forced())
                return
            outcome = replace(outcome, error=None, cancelled="")
        super()._onRunEnded(outcome)

    def _onResult(self, run: Any, result: Any) -> None:
        logging.info("MedAI: done, result in %s", result.segmentation.GetName())
        self._panel.show_result(result.segmentation)
        if result.of_sequence:
            self._panel.show_undo(None)
        else:
            self.logic.chooseOwnOutput(result.segmentation)


class MedAILogic(ScriptedLoadableModuleLogic):
    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> MedAIParameterNode:
        """The scene's parameters of this module, made if they are not there yet."""
        return MedAIParameterNode(super().getParameterNode())

    def whyNotReady(self, parameters: MedAIParameterNode) -> str:
        """What is missing still, as a sentence for the user; empty if a run can be started."""
        from MedAISlicer.readable import why_no_image
        from MedAISlicer.sequences import is_sequence

        volume = parameters.inputVolume
        if volume is None:
            return _("Choose an input volume, or press Load sample.")
        reason = why_no_image(volume)
        if not reason and is_sequence(volume) and parameters.outputSegmentation is not None:
            return _("The result of a sequence is a new sequence. Choose New segmentation as the output.")
        return reason

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
            made_on = self.madeOn(own)
            if made_on is not None and made_on is not volume:
                parameters.outputSegmentation = None

    def madeOn(self, segmentation: Any) -> Any:
        """The volume whose voxels a segmentation has; None if that is not known."""
        return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())

    def createRun(self, parameters: MedAIParameterNode) -> Any:
        """The run for these parameters, ready for :class:`MedAISlicer.run.RunController`.

        Raises:
            ValueError: no input volume.
            ModelError: the model is not there.
        """
        from MedAILib.models import find_model
        from MedAILib.pipeline.request import Request
        from MedAISlicer.further_inputs import chosen
        from MedAISlicer.modality import modality_of
        from MedAISlicer.segmenting import SegmentationRun

        if parameters.inputVolume is None:
            raise ValueError(_("Choose an input volume."))
        volume = parameters.inputVolume
        request = Request(parameters.model or None, modality_of(volume), mode=parameters.mode.value)
        others = chosen(parameters.parameterNode, find_model(parameters.model or None), volume)
        return SegmentationRun(volume, parameters.outputSegmentation, request, parameters.device, others)

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
        self.test_AssistIsOffered()
        self.setUp()
        self.test_SampleIsSegmented()

    def test_MissingInputIsExplained(self) -> None:
        """Without a volume there is a reason and no run."""
        logic = MedAILogic()
        assert logic.whyNotReady(logic.getParameterNode())

    def test_AssistIsOffered(self) -> None:
        """Every Segment Editor has the effect."""
        from MedAISlicer.assist import NAME
        from MedAISlicer.assist.register import register_effect

        register_effect()
        assert NAME in slicer.qMRMLSegmentEditorWidget().availableEffectNames()

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
