"""What the MedAI Super Resolution panel shows; what the user does in it is for the module's widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError
from MedAILib.superres.methods import METHODS, Method
from MedAILib.superres.request import method_of
from MedAILib.superres.summary import SuperresSummary

from .. import scene_undo
from ..choices import fill
from ..compare import View
from ..run import State, Status
from ..run_panel import RunPanel
from . import compare, results, wording
from .asked import found_of, inputs_of, request_of
from .expected import Expected, learns
from .parameters import Baseline, Quality, Spacing, SuperresParameterNode, Thickness

Node = Any


class SuperresPanel(RunPanel):
    """Writes into the widgets of MedAISuperRes.ui.

    Args:
        ui: the named child widgets.
    """

    def __init__(self, ui: Any) -> None:
        sections = (
            ui.inputsCollapsibleButton,
            ui.furtherCollapsibleButton,
            ui.outputsCollapsibleButton,
            ui.advancedCollapsibleButton,
        )
        super().__init__(ui, sections, _("Compute a volume with thin slices."))
        self.expected = Expected()
        self._buttons = {
            View.FADE: ui.fadeButton,
            View.CHECKERBOARD: ui.checkerboardButton,
            View.FLICKER: ui.flickerButton,
            View.DIFFERENCE: ui.differenceButton,
            View.UNCERTAINTY: ui.uncertaintyButton,
            View.RESIDUAL: ui.residualButton,
        }
        self._tips = {view: button.toolTip for view, button in self._buttons.items()}
        fill(ui.methodComboBox, [(method.title, name) for name, method in METHODS.items()], next(iter(METHODS)))
        ui.resultSelector.addAttribute("vtkMRMLTableNode", results.SUMMARIES)
        self.show_view(None)
        self.show_result(None, Baseline.CUBIC)

    def done_line(self, summaries: Sequence[SuperresSummary]) -> str:
        """How it went, how fast and where."""
        return wording.done_line(summaries)

    def show_choices(self, parameters: SuperresParameterNode) -> None:
        """Describe the present choices, and enable what they leave to be chosen."""
        ui = self._ui
        method = _likely_method(parameters)
        own, given = parameters.quality is Quality.OWN, parameters.thickness is Thickness.GIVEN
        ui.qualityComboBox.enabled = method is None or learns(method) or parameters.method == "auto"
        ui.budgetSlider.enabled = own and ui.qualityComboBox.enabled
        ui.spacingComboBox.enabled = parameters.like is None
        ui.spacingSpinBox.enabled = parameters.spacing.takes_number and parameters.like is None
        ui.thicknessSpinBox.enabled = given
        ui.alignCheckBox.enabled = any((parameters.contrast, parameters.stack, parameters.thirdStack))
        ui.outputVolumeSelector.enabled = parameters.makeVolume
        ui.outputUncertaintySelector.enabled = parameters.makeUncertainty
        ui.outputResidualSelector.enabled = parameters.makeResidual
        ui.outputCubicSelector.enabled = parameters.makeCubic
        found = found_of(parameters)
        thickness = parameters.thicknessMm if given else None
        ui.foundLabel.text = "" if found is None else wording.found_text(found, thickness)
        ui.foundLabel.visible = found is not None
        ui.methodLabel.text = self._method_text(parameters, method)

    def show_status(self, status: Status) -> None:
        """The run: progress, the button that now cancels, and the one that keeps what there is."""
        super().show_status(status)
        self._ui.finishButton.enabled = status.state is State.RUNNING
        self._ui.finishButton.visible = status.state is not State.IDLE

    def show_result(self, table: Node | None, baseline: Baseline) -> None:
        """What is known of a result, and what can be done with it; nothing if there is none."""
        summaries = results.summaries_of(table)
        there = any(summary is not None for summary in summaries)
        self._ui.summaryLabel.text = wording.result_text(summaries) if there else _("No result yet.")
        if there and table is not self._ui.figuresTable.mrmlTableNode():
            self._ui.resultsCollapsibleButton.collapsed = False
        self._ui.figuresTable.setMRMLTableNode(table if there else None)
        self._ui.figuresTable.resizeColumnsToContents()
        for view, button in self._buttons.items():
            reason = compare.possible(table if there else None, view, baseline)
            button.enabled = not reason
            button.toolTip = reason or self._tips[view]
        self._ui.fadeOtherLabel.text = wording.baseline_name(baseline)
        possible = scene_undo.can_undo(table)
        self._ui.undoButton.enabled = possible
        self._ui.undoButton.toolTip = (
            _("Take away what this run made, and bring back what it replaced.")
            if possible
            else _("There is no run to take back; only the last ones are known.")
        )

    def show_undone(self) -> None:
        """The run was taken back."""
        self._say(_("The run was taken back."))

    def show_view(self, view: View | None) -> None:
        """Which comparison goes on."""
        for button_view, button in self._buttons.items():
            button.checked = button_view is view
        self._ui.fadeSlider.enabled = view is View.FADE

    def _method_text(self, parameters: SuperresParameterNode, method: Method | None) -> str:
        chosen = METHODS.get(parameters.method)
        if method is None or chosen is None:
            return chosen.card if chosen else ""
        try:
            request = request_of(parameters)
        except MedAIError:
            return chosen.card
        frames = 1 if parameters.inputVolume is None else inputs_of(parameters).count
        seconds = self.expected.seconds(method, request, parameters.device, _voxels(parameters))
        return wording.method_text(method, method is not chosen, seconds, frames)


def _likely_method(parameters: SuperresParameterNode) -> Method | None:
    """The method that a run would take; None where that cannot be told yet."""
    if parameters.inputVolume is None:
        return METHODS.get(parameters.method)
    try:
        return method_of(request_of(parameters), inputs_of(parameters).scans())
    except MedAIError:
        return None


def _voxels(parameters: SuperresParameterNode) -> float:
    """About how many voxels the result will have."""
    found, volume = found_of(parameters), parameters.inputVolume
    if found is None or volume is None:
        return 0.0
    item = volume.GetNthDataNode(0) if volume.IsA("vtkMRMLSequenceNode") else volume
    i, j, k = item.GetImageData().GetDimensions()
    step = parameters.spacingMm if parameters.spacing.takes_number else min(found.in_plane)
    factor = found.increment / step
    if parameters.spacing in (Spacing.ISOTROPIC, Spacing.EVERYWHERE):
        factor *= found.in_plane[0] / step * found.in_plane[1] / step
    return float(i) * j * k * factor
