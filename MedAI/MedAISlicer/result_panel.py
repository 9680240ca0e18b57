"""What the panels of those modules have whose results are tables: the chosen result, and the ways to look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from . import scene_undo
from .compare import View
from .run_panel import RunPanel

Node = Any


class ResultPanel(RunPanel):
    """Writes into the widgets that the .ui files of these modules name alike.

    Args:
        ui: the named child widgets.
        sections: what cannot be changed while a run is on.
        purpose: what Apply does.
        table: the widget that shows a result's table.
        attribute: only the tables of this module's results have it.
        buttons: view to its button, besides those views that all modules have.
    """

    def __init__(
        self, ui: Any, sections: Sequence[Any], purpose: str, table: Any, attribute: str, buttons: Mapping[View, Any]
    ) -> None:
        super().__init__(ui, sections, purpose)
        self._table = table
        self.buttons = {
            View.FADE: ui.fadeButton,
            View.CHECKERBOARD: ui.checkerboardButton,
            View.FLICKER: ui.flickerButton,
            View.DIFFERENCE: ui.differenceButton,
            **buttons,
        }
        self._tips = {view: button.toolTip for view, button in self.buttons.items()}
        ui.resultSelector.addAttribute("vtkMRMLTableNode", attribute)
        self.show_view(None)
        self.show_result(None)

    @property
    def shown_table(self) -> Node | None:
        """The table of the result that is shown."""
        return self._table.mrmlTableNode()

    def result_text(self, table: Node | None) -> str:
        """What is known of a result; empty if there is none."""
        return ""

    def why_not(self, table: Node | None, view: View) -> str:
        """Why a result cannot be shown in a way, as a sentence; empty if it can."""
        return ""

    def show_result(self, table: Node | None) -> None:
        """What is known of a result, and what can be done with it; nothing if there is none."""
        text = self.result_text(table)
        shown = table if text else None
        self._ui.summaryLabel.text = text or _("No result yet.")
        if shown is not None and shown is not self.shown_table:
            self._ui.resultsCollapsibleButton.collapsed = False
        self._table.setMRMLTableNode(shown)
        self._table.resizeColumnsToContents()
        for view, button in self.buttons.items():
            reason = self.why_not(shown, view)
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
        self.say(_("The run was taken back."))

    def show_view(self, view: View | None) -> None:
        """Which comparison goes on."""
        for button_view, button in self.buttons.items():
            button.checked = button_view is view
        self._ui.fadeSlider.enabled = view is View.FADE
