"""What the MedAI panel shows; what the user does in it is for the module's widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from MedAILib.errors import ModelError
from MedAILib.models import DEFAULT_MODEL, ModelCard, ModelStore
from MedAILib.summary import Summary

from . import tables, undo, wording
from .choices import fill
from .further_inputs import FurtherInputs
from .run_panel import RunPanel


class Panel(RunPanel):
    """Writes into the widgets of MedAI.ui.

    Args:
        ui: the named child widgets.
    """

    def __init__(self, ui: Any) -> None:
        sections = (ui.inputsCollapsibleButton, ui.outputsCollapsibleButton, ui.advancedCollapsibleButton)
        super().__init__(ui, sections, _("Segment the input volume."))
        self._broken: list[ModelError] = []
        self._cards: dict[str, ModelCard] = {}
        self._further = FurtherInputs(ui)

    @property
    def shown_table(self) -> Any:
        """The table of the result that is shown."""
        return self._ui.resultTable.mrmlTableNode()

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

    def show_card(self, name: str, parameter_node: Any, volume: Any) -> None:
        """Describe the chosen model, and offer what it needs.

        Args:
            name: of the model.
            parameter_node: keeps the further volumes that it sees.
            volume: the first one, or None.
        """
        card = self.card(name)
        self._further.show(card, parameter_node, volume)
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

    def done_line(self, summaries: Sequence[Summary]) -> str:
        """How much was found, how fast and where."""
        return wording.done_line(summaries)

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
        """Whether there is something to take back, and something to correct."""
        self._ui.correctButton.enabled = segmentation is not None
        possible = segmentation is not None and undo.can_undo(segmentation)
        self._ui.undoButton.enabled = possible
        self._ui.undoButton.toolTip = (
            _("Bring the segmentation back to what it was before the last result; later changes are lost too.")
            if possible
            else _("There is no result to take back.")
        )
