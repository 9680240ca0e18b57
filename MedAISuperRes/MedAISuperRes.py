"""Super-resolution in 3D Slicer: one click from thick slices to a volume with thin ones, and how far to trust it."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

from MedAISlicer.result_widget import ResultWidget
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


class MedAISuperResWidget(ResultWidget):
    doing = "super-resolution of"

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        from MedAISlicer.superres.compare import Comparison
        from MedAISlicer.superres.panel import SuperresPanel

        super().setup()
        self.logic = MedAISuperResLogic()
        self._panel = SuperresPanel(self.ui)
        self.compareWith(Comparison(slicer.util.resetSliceViews, self._baseline))
        self._shownBaseline = self._baseline()
        self.ui.finishButton.connect("clicked(bool)", self.onFinishButton)
        self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Make sure that the parameter node exists, is observed and has sensible values."""
        super().initializeParameterNode()
        if not self._parameterNode.inputVolume:
            self._parameterNode.inputVolume = self.logic.likelyInput()

    def onFinishButton(self) -> None:
        """Keep what there is by now."""
        self._controller.conclude()

    def _connectors(self) -> dict[str, Any]:
        from MedAISlicer.choices import ItemDataConnector

        return super()._connectors() | {"method": ItemDataConnector(self.ui.methodComboBox)}

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
        parameters = self._parameterNode
        if parameters is None or self._controller.busy:
            return
        self._panel.show_choices(parameters)
        self._panel.show_apply(self.logic.whyNotReady(parameters))

    def _showResult(self, table: Any) -> None:
        self._panel.show_result(table, self._baseline())

    def _apply(self) -> None:
        # Which packages are needed depends on the run; its start sees to them.
        if self._mayReplace():
            self._start(self.logic.createRun(self._parameterNode))

    def _start(self, run: Any) -> None:
        from MedAISlicer.requirements import ensure

        ensure(torch=run.needs_torch)
        super()._start(run)

    def _onResult(self, run: Any, result: Any) -> None:
        for summary in result.summaries:
            self._panel.expected.learn(summary, run.device)
        self._checkCanApply()
        super()._onResult(run, result)

    def _runAgain(self, run: Any, result: Any) -> bool:
        """Where further volumes lie elsewhere, ask whether to register them; True if a run began that does."""
        from MedAISlicer.superres.wording import not_registered

        found = [warned for summary in result.summaries for warned in summary.warnings if warned.code == NOT_REGISTERED]
        if not found or run.request.align or not slicer.util.confirmYesNoDisplay(not_registered(found[0].message)):
            return False
        with slicer.util.tryWithErrorDisplay(None):
            self._takeBack(result.table)
            self._start(run.aligned())
        return True


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
