"""What the MedAI Registration panel shows; what the user does in it is for the module's widget."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .. import wording as common
from ..choices import fill
from ..devices import Choice, first_choices
from ..run import Outcome, State, Status
from . import compare, quality, undo, wording
from .compare import View

Node = Any


class RegistrationPanel:
    """Writes into the widgets of MedAIRegistration.ui.

    Args:
        ui: the named child widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
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
        self.show_devices(first_choices(), first_choices()[0][1])
        self._say("")
        self.show_view(None)
        self.show_result(None)

    def show_devices(self, choices: list[Choice], chosen: str) -> None:
        """Offer these devices."""
        fill(self._ui.deviceComboBox, choices, chosen)

    def show_choices(self, parameters: Any) -> None:
        """Enable what the present choices leave to be chosen."""
        ui = self._ui
        deformable = parameters.kind.value == "deformable"
        ui.presetComboBox.enabled = deformable
        ui.refineCheckBox.enabled = deformable
        ui.outputTransformSelector.enabled = parameters.makeTransform
        ui.outputInverseSelector.enabled = parameters.makeInverse
        ui.outputVolumeSelector.enabled = parameters.makeVolume
        ui.outputJacobianSelector.enabled = parameters.makeJacobian
        ui.voxelsComboBox.enabled = parameters.makeVolume or any(parameters.carried)

    def show_apply(self, reason: str) -> None:
        """The idle Apply button: enabled, or why it is not."""
        self._ui.applyButton.text = _("Apply")
        self._ui.applyButton.enabled = not reason
        self._ui.applyButton.toolTip = reason or _("Register the moving volume to the fixed one.")

    def show_status(self, status: Status) -> None:
        """The run: progress, and the button that now cancels."""
        busy = status.state is not State.IDLE
        self._ui.progressBar.visible = busy
        for section in (
            self._ui.inputsCollapsibleButton,
            self._ui.helpsCollapsibleButton,
            self._ui.outputsCollapsibleButton,
            self._ui.advancedCollapsibleButton,
        ):
            section.enabled = not busy
        if not busy:
            return
        self._ui.progressBar.value = int(100.0 * status.fraction)
        line = common.status_line(status)
        self._say(line)
        can_cancel = status.state in (State.STARTING, State.RUNNING)
        self._ui.applyButton.text = _("Cancel")
        self._ui.applyButton.enabled = can_cancel
        self._ui.applyButton.toolTip = _("Stop the run. The scene stays as it was.") if can_cancel else line

    def show_end(self, outcome: Outcome) -> None:
        """How the run ended; the warnings of a result stand beside the result."""
        warnings = outcome.warnings
        if outcome.error is not None:
            text = str(outcome.error).split("\n", maxsplit=1)[0]
        elif outcome.cancelled is not None:
            text = " ".join(filter(None, (_("Cancelled; the scene is as it was."), outcome.cancelled)))
        else:
            summaries = outcome.result.summaries
            text = wording.done_line(summaries)
            known = {(warned.code, warned.message) for summary in summaries for warned in summary.warnings}
            warnings = tuple(pair for pair in warnings if pair not in known)
        self._say(common.with_warnings(text, warnings))

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
        possible = undo.can_undo(table)
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

    def _say(self, text: str) -> None:
        self._ui.statusLabel.text = text
        self._ui.statusLabel.visible = bool(text)
