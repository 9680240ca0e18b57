"""What the panels of all modules have: the button that runs and cancels, progress, status, and the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from . import wording
from .choices import fill
from .devices import Choice, first_choices
from .run import Outcome, State, Status


class RunPanel:
    """Writes into the widgets that are named alike in all .ui files.

    Args:
        ui: the named child widgets.
        sections: what cannot be changed while a run is on.
        purpose: what Apply does.
    """

    def __init__(self, ui: Any, sections: Sequence[Any], purpose: str) -> None:
        self._ui, self._sections, self._purpose = ui, sections, purpose
        self.show_devices(first_choices(), first_choices()[0][1])
        self.say("")

    def done_line(self, summaries: Sequence[Any]) -> str:
        """One sentence about a run that has ended well."""
        return ""

    def status_line(self, status: Status) -> str:
        """What a run that is on is doing."""
        return wording.status_line(status)

    def show_devices(self, choices: list[Choice], chosen: str) -> None:
        """Offer these devices."""
        fill(self._ui.deviceComboBox, choices, chosen)

    def show_apply(self, reason: str) -> None:
        """The idle Apply button: enabled, or why it is not."""
        self._ui.applyButton.text = _("Apply")
        self._ui.applyButton.enabled = not reason
        self._ui.applyButton.toolTip = reason or self._purpose

    def show_status(self, status: Status) -> None:
        """The run: progress, and the button that now cancels."""
        busy = status.state is not State.IDLE
        self._ui.progressBar.visible = busy
        for section in self._sections:
            section.enabled = not busy
        if not busy:
            return
        self._ui.progressBar.value = int(100.0 * status.fraction)
        line = self.status_line(status)
        self.say(line)
        can_cancel = status.state in (State.STARTING, State.RUNNING, State.CONCLUDING)
        self._ui.applyButton.text = _("Cancel")
        self._ui.applyButton.enabled = can_cancel
        self._ui.applyButton.toolTip = _("Stop the run. The scene stays as it was.") if can_cancel else line

    def show_end(self, outcome: Outcome) -> None:
        """How the run ended; the warnings of a result stand beside the result."""
        warnings = outcome.warnings
        if outcome.error is not None:
            # Without the log that may follow the message.
            text = str(outcome.error).split("\n", maxsplit=1)[0]
        elif outcome.cancelled is not None:
            text = " ".join(filter(None, (_("Cancelled; the scene is as it was."), outcome.cancelled)))
        else:
            summaries = outcome.result.summaries
            text = self.done_line(summaries)
            known = {(warned.code, warned.message) for summary in summaries for warned in summary.warnings}
            warnings = tuple(pair for pair in warnings if pair not in known)
        self.say(wording.with_warnings(text, warnings))

    def say(self, text: str) -> None:
        """Show a line below the button; an empty one takes it away."""
        self._ui.statusLabel.text = text
        self._ui.statusLabel.visible = bool(text)
