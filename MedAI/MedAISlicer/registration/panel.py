"""What the MedAI Registration panel shows; what the user does in it is for the module's widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from MedAILib.registration.summary import RegistrationSummary

from .. import scene_undo
from ..compare import View
from ..run_panel import RunPanel
from . import compare, quality, wording

Node = Any


class RegistrationPanel(RunPanel):
    """Writes into the widgets of MedAIRegistration.ui.

    Args:
        ui: the named child widgets.
    """

    def __init__(self, ui: Any) -> None:
        sections = (
            ui.inputsCollapsibleButton,
            ui.helpsCollapsibleButton,
            ui.outputsCollapsibleButton,
            ui.advancedCollapsibleButton,
        )
        super().__init__(ui, sections, _("Register the moving volume to the fixed one."))
        self._buttons = {
            View.FADE: ui.fadeButton,
            View.CHECKERBOARD: ui.checkerboardButton,
            View.FLICKER: ui.flickerButton,
            View.DIFFERENCE: ui.differenceButton,
            View.GRID: ui.gridButton,
            View.JACOBIAN: ui.jacobianButton,
        }
        self._tips = {view: button.toolTip for view, button in self._buttons.items()}
        ui.resultSelector.addAttribute("vtkMRMLTableNode", quality.SUMMARIES)
        self.show_view(None)
        self.show_result(None)

    def done_line(self, summaries: Sequence[RegistrationSummary]) -> str:
        """How it went, how fast and where."""
        return wording.done_line(summaries)

    def show_choices(self, parameters: Any) -> None:
        """Enable what the present choices leave to be chosen."""
        ui = self._ui
        deformable = parameters.kind.value == "deformable"
        ui.presetComboBox.enabled = deformable
        ui.refineCheckBox.enabled = deformable
        ui.regularizationComboBox.enabled = deformable
        ui.diffeomorphicCheckBox.enabled = deformable
        ui.outputTransformSelector.enabled = parameters.makeTransform
        ui.outputInverseSelector.enabled = parameters.makeInverse
        ui.outputVolumeSelector.enabled = parameters.makeVolume
        ui.outputJacobianSelector.enabled = parameters.makeJacobian
        ui.voxelsComboBox.enabled = parameters.makeVolume or any(parameters.carried)

    def show_result(self, table: Node | None) -> None:
        """What is known of a result, and what can be done with it; nothing if there is none."""
        summaries = quality.summaries_of(table)
        there = any(summary is not None for summary in summaries)
        self._ui.summaryLabel.text = wording.result_text(summaries) if there else _("No result yet.")
        if there and table is not self._ui.qualityTable.mrmlTableNode():
            self._ui.resultsCollapsibleButton.collapsed = False
        self._ui.qualityTable.setMRMLTableNode(table if there else None)
        self._ui.qualityTable.resizeColumnsToContents()
        for view, button in self._buttons.items():
            reason = compare.possible(table if there else None, view)
            button.enabled = not reason
            button.toolTip = reason or self._tips[view]
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
