"""The options of the effect; what the user does in them is for :class:`MedAISlicer.assist.desk.Desk`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
from slicer.i18n import tr as _

from ..choices import fill
from ..devices import first_choices
from .chosen import Chosen
from .controller import State, Status
from .gestures import BOX, LASSO, POINT, STROKE
from .wording import engine_title


class Options:
    """Writes into the widgets of AIAssist.ui, and the user's choices into the effect's parameters.

    Args:
        ui: the named child widgets.
        chosen: the parameters.
    """

    def __init__(self, ui: Any, chosen: Chosen) -> None:
        self._ui, self._chosen = ui, chosen
        self._tools = {POINT: ui.pointButton, STROKE: ui.strokeButton, BOX: ui.boxButton, LASSO: ui.lassoButton}
        fill(ui.engineComboBox, [(engine_title(name), name) for name in ("auto", "online", "network")], "auto")
        self._tips = {button: button.toolTip for button in (ui.refineButton, ui.clearButton)}
        ui.modelPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.show_devices(first_choices())
        self.show_status(Status())

    def connect(self) -> None:
        """Follow what the user chooses."""
        for tool, button in self._tools.items():
            button.connect("clicked(bool)", self._choosing("Tool", tool))
        self._ui.insideButton.connect("clicked(bool)", self._choosing("Positive", True))
        self._ui.outsideButton.connect("clicked(bool)", self._choosing("Positive", False))
        self._ui.brushSlider.connect("valueChanged(double)", lambda value: self._chosen.set("Radius", value))
        self._ui.depthSlider.connect("valueChanged(double)", lambda value: self._chosen.set("Depth", value))
        self._ui.widthSlider.connect("valueChanged(double)", lambda value: self._chosen.set("Width", value))
        self._ui.previewCheckBox.connect("toggled(bool)", lambda on: self._chosen.set("Preview", bool(on)))
        self._ui.overwriteCheckBox.connect("toggled(bool)", lambda on: self._chosen.set("Overwrite", bool(on)))
        self._ui.marksCheckBox.connect("toggled(bool)", lambda on: self._chosen.set("Marks", bool(on)))
        self._ui.modelPathLineEdit.connect("currentPathChanged(QString)", lambda path: self._chosen.set("Model", path))
        self._ui.engineComboBox.connect("activated(int)", lambda row: self._choose(self._ui.engineComboBox, "Engine"))
        self._ui.deviceComboBox.connect("activated(int)", lambda row: self._choose(self._ui.deviceComboBox, "Device"))

    def show_chosen(self) -> None:
        """Show the parameters as they are in the scene."""
        for tool, button in self._tools.items():
            button.checked = self._chosen.tool == tool
        self._ui.insideButton.checked = self._chosen.positive
        self._ui.outsideButton.checked = not self._chosen.positive
        stroke, settings = self._chosen.tool == STROKE, self._chosen.settings
        self._ui.brushLabel.enabled = stroke
        self._ui.brushSlider.enabled = stroke
        for widget, value in (
            (self._ui.brushSlider, self._chosen.radius),
            (self._ui.depthSlider, self._chosen.depth),
            (self._ui.widthSlider, self._chosen.width),
        ):
            blocked = widget.blockSignals(True)
            widget.value = value
            widget.blockSignals(blocked)
        for box, on in (
            (self._ui.previewCheckBox, settings.preview),
            (self._ui.overwriteCheckBox, settings.overwrite),
            (self._ui.marksCheckBox, self._chosen.marks),
        ):
            blocked = box.blockSignals(True)
            box.checked = on
            box.blockSignals(blocked)
        engine = settings.engine
        if self._ui.modelPathLineEdit.currentPath != engine.model:
            self._ui.modelPathLineEdit.currentPath = engine.model
        for combo, name in ((self._ui.engineComboBox, engine.name), (self._ui.deviceComboBox, engine.device)):
            if combo.findData(name) < 0:
                combo.addItem(name, name)
            combo.setCurrentIndex(combo.findData(name))

    def show_devices(self, choices: list[tuple[str, str]]) -> None:
        """Offer these devices."""
        fill(self._ui.deviceComboBox, choices, self._chosen.settings.engine.device)

    def show_status(self, status: Status) -> None:
        """What goes on, and how the last answer ended."""
        running, preview = status.state is State.RUNNING, status.state is State.PREVIEW
        self._ui.progressLabel.text = _("{stage} ...").format(stage=status.stage or _("Computing")) if running else ""
        for widget in (self._ui.progressLabel, self._ui.cancelButton):
            widget.visible = running
        for widget in (self._ui.acceptButton, self._ui.discardButton):
            widget.visible = preview
        self._ui.statusLabel.text = status.line or _("Click on the object in a slice view.")
        for button, tip in self._tips.items():
            button.enabled = not preview
            button.toolTip = _("Accept or discard the answer first.") if preview else tip

    def _choosing(self, name: str, value: str | bool) -> Callable[[], None]:
        def choose() -> None:
            self._chosen.set(name, value)
            # A button that was down already has come up, and the parameter did not change.
            self.show_chosen()

        return choose

    def _choose(self, combo: Any, name: str) -> None:
        self._chosen.set(name, combo.currentData or "auto")
