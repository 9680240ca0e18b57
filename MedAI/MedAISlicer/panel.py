"""What the MedAI panel shows; what the user does in it is for the module's widget."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError, ModelError
from MedAILib.models import DEFAULT_MODEL, ModelCard, ModelStore

from . import tables, undo, wording
from .choices import fill
from .devices import Choice, first_choices
from .run import Outcome, State, Status


class Panel:
    """Writes into the widgets of MedAI.ui.

    Args:
        ui: the named child widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._broken: list[ModelError] = []
        self._cards: dict[str, ModelCard] = {}
        self.show_devices(first_choices(), first_choices()[0][1])
        self._say("")

    def load_models(self, chosen: str) -> str:
        """Look which models there are and offer them; returns the name of the one that is chosen now."""
        cards, self._broken = ModelStore().scan()
        self._cards = {card.name: card for card in cards if card.task == "segmentation"}
        usual = DEFAULT_MODEL if DEFAULT_MODEL in self._cards else next(iter(self._cards), "")
        chosen = chosen or usual
        fill(self._ui.modelComboBox, [(card.title, name) for name, card in self._cards.items()], chosen)
        return chosen

    def card(self, name: str) -> ModelCard | None:
        """The card of a model that can be chosen."""
        return self._cards.get(name)

    def show_card(self, name: str) -> None:
        """Describe the chosen model."""
        card = self.card(name)
        if card is None:
            line = self.no_model(name)
            text = "\n".join(str(error) for error in self._broken) or line
        else:
            line, text = wording.model_line(card), wording.model_card(card, self._broken)
        self._ui.modelSummaryLabel.text = line
        if self._ui.modelCardText.plainText != text:
            # Setting it scrolls back to its beginning.
            self._ui.modelCardText.plainText = text

    def no_model(self, name: str) -> str:
        """Why the chosen model cannot be used."""
        if self._cards:
            return _("The model {name} is not on this computer. Choose another one.").format(name=name)
        return _("There is no usable model on this computer. Install MedAI again, or import a model.")

    def show_devices(self, choices: list[Choice], chosen: str) -> None:
        """Offer these devices."""
        fill(self._ui.deviceComboBox, choices, chosen)

    def show_apply(self, reason: str) -> None:
        """The idle Apply button: enabled, or why it is not."""
        self._ui.applyButton.text = _("Apply")
        self._ui.applyButton.enabled = not reason
        self._ui.applyButton.toolTip = reason or _("Segment the input volume.")

    def show_status(self, status: Status) -> None:
        """The run: progress, and the button that now cancels."""
        busy = status.state is not State.IDLE
        self._ui.progressBar.visible = busy
        self._ui.inputsCollapsibleButton.enabled = not busy
        self._ui.outputsCollapsibleButton.enabled = not busy
        self._ui.advancedCollapsibleButton.enabled = not busy
        if not busy:
            return
        self._ui.progressBar.value = int(100.0 * status.fraction)
        self._say(wording.status_line(status))
        can_cancel = status.state in (State.STARTING, State.RUNNING)
        self._ui.applyButton.text = _("Cancel")
        self._ui.applyButton.enabled = can_cancel
        self._ui.applyButton.toolTip = (
            _("Stop the run. The scene stays as it was.") if can_cancel else wording.status_line(status)
        )

    def show_end(self, outcome: Outcome) -> None:
        """How the run ended; the warnings of a result stand beside the result."""
        warnings = outcome.warnings
        if outcome.error is not None:
            text = _first_line(outcome.error)
        elif outcome.cancelled is not None:
            text = " ".join(filter(None, (_("Cancelled; the scene is as it was."), outcome.cancelled)))
        else:
            summaries = outcome.result.summaries
            text = wording.done_line(summaries)
            known = {(warned.code, warned.message) for summary in summaries for warned in summary.warnings}
            warnings = tuple(pair for pair in warnings if pair not in known)
        self._say(wording.with_warnings(text, warnings))

    def show_result(self, segmentation: Any) -> None:
        """What is known of the last result in a segmentation; nothing if there is none."""
        summaries = tables.summaries_of(segmentation) if segmentation is not None else ()
        self._ui.summaryLabel.text = wording.result_text(summaries) if summaries else _("No result yet.")
        self._ui.resultTable.setMRMLTableNode(tables.table_of(segmentation) if summaries else None)
        self._ui.resultTable.resizeColumnsToContents()
        self._ui.resultsCollapsibleButton.collapsed = not summaries
        self.show_undo(segmentation)

    def show_undone(self, segmentation: Any) -> None:
        """The last result was taken back; what is known of the one before is shown below that."""
        self.show_result(segmentation)
        summaries = tables.summaries_of(segmentation)
        lines = [_("The last result was taken back."), *([wording.result_text(summaries)] if summaries else [])]
        self._ui.summaryLabel.text = "\n".join(lines)
        self._ui.resultsCollapsibleButton.collapsed = False

    def show_undo(self, segmentation: Any) -> None:
        """Whether there is something to take back."""
        possible = segmentation is not None and undo.can_undo(segmentation)
        self._ui.undoButton.enabled = possible
        self._ui.undoButton.toolTip = (
            _("Bring the segmentation back to what it was before the last result; later changes are lost too.")
            if possible
            else _("There is no result to take back.")
        )

    def _say(self, text: str) -> None:
        self._ui.statusLabel.text = text
        self._ui.statusLabel.visible = bool(text)


def _first_line(error: MedAIError) -> str:
    """The message without the log that may follow it."""
    return str(error).split("\n", maxsplit=1)[0]
