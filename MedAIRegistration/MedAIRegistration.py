"""Registration in 3D Slicer: one click from two volumes to a transform, and how well it fits."""

from __future__ import annotations

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

from MedAISlicer.registration.parameters import RegistrationParameterNode
from MedAISlicer.result_widget import ResultWidget


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


class MedAIRegistrationWidget(ResultWidget):
    doing = "registering"
    part_class = "vtkMRMLTransformableNode"

    def setup(self) -> None:
        """Build the panel; called when the user opens the module for the first time."""
        from MedAISlicer.registration.compare import Comparison
        from MedAISlicer.registration.panel import RegistrationPanel

        super().setup()
        self.logic = MedAIRegistrationLogic()
        self._panel = RegistrationPanel(self.ui)
        self.compareWith(Comparison(slicer.util.resetSliceViews))
        self.initializeParameterNode()

    def _connectors(self) -> dict[str, Any]:
        from MedAISlicer.choices import CheckedNodes
        from MedAISlicer.registration.connectors import ChosenSegment, ChosenSegmentation

        return super()._connectors() | {
            "carried": CheckedNodes(self.ui.carriedComboBox),
            "fixedMask": ChosenSegmentation(self.ui.fixedMaskSelector),
            "fixedMaskSegment": ChosenSegment(self.ui.fixedMaskSelector),
            "movingMask": ChosenSegmentation(self.ui.movingMaskSelector),
            "movingMaskSegment": ChosenSegment(self.ui.movingMaskSelector),
        }

    def _checkCanApply(self) -> None:
        parameters = self._parameterNode
        if parameters is None:
            return
        self._panel.show_choices(parameters)
        if not self._controller.busy:
            self._panel.show_apply(self.logic.whyNotReady(parameters))


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
