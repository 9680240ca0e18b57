"""What the MedAI Super Resolution panel shows; what the user does in it is for the module's widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError
from MedAILib.superres.methods import METHODS, Method
from MedAILib.superres.request import method_of
from MedAILib.superres.summary import SuperresSummary

from ..choices import fill
from ..compare import View
from ..result_panel import ResultPanel
from ..run import State, Status
from . import compare, results, wording
from .asked import found_of, inputs_of, request_of
from .expected import Expected, learns
from .parameters import Baseline, Quality, Spacing, SuperresParameterNode, Thickness

Node = Any


class SuperresPanel(ResultPanel):
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
        buttons = {View.UNCERTAINTY: ui.uncertaintyButton, View.RESIDUAL: ui.residualButton}
        purpose = _("Compute a volume with thin slices.")
        super().__init__(ui, sections, purpose, ui.figuresTable, results.SUMMARIES, buttons)
        self.expected = Expected()
        fill(ui.methodComboBox, [(method.title, name) for name, method in METHODS.items()], next(iter(METHODS)))

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
        ui.spacingComboBox.enabled = parameters.like is None and not (method is not None and method.same_grid)
        ui.spacingSpinBox.enabled = parameters.spacing.takes_number and ui.spacingComboBox.enabled
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

    def result_text(self, table: Node | None) -> str:
        """How well a result explains what was measured; empty if there is none."""
        summaries = results.summaries_of(table)
        return wording.result_text(summaries) if any(summaries) else ""

    def why_not(self, table: Node | None, view: View) -> str:
        """Why a result cannot be shown in a way, as a sentence; empty if it can."""
        return compare.possible(table, view, self._baseline)

    def show_result(self, table: Node | None, baseline: Baseline = Baseline.CUBIC) -> None:
        """What is known of a result, and what can be done with it beside the baseline; nothing if there is none."""
        self._baseline = baseline
        super().show_result(table)
        self._ui.fadeOtherLabel.text = wording.baseline_name(baseline)

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
