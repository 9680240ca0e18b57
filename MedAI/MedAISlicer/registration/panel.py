"""What the MedAI Registration panel shows; what the user does in it is for the module's widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from MedAILib.registration.summary import RegistrationSummary

from ..compare import View
from ..result_panel import ResultPanel
from . import compare, quality, wording

Node = Any


class RegistrationPanel(ResultPanel):
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
        buttons = {View.GRID: ui.gridButton, View.JACOBIAN: ui.jacobianButton}
        purpose = _("Register the moving volume to the fixed one.")
        super().__init__(ui, sections, purpose, ui.qualityTable, quality.SUMMARIES, buttons)

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

    def result_text(self, table: Node | None) -> str:
        """How good a result is; empty if there is none."""
        summaries = quality.summaries_of(table)
        return wording.result_text(summaries) if any(summaries) else ""

    def why_not(self, table: Node | None, view: View) -> str:
        """Why a result cannot be shown in a way, as a sentence; empty if it can."""
        return compare.possible(table, view)
