"""What the tab Train shows; what the user does in it is for :class:`MedAISlicer.train.tab.TrainTab`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from MedAILib.models import ModelStore
from MedAILib.training.cases.choices import Choice, choices

from ..choices import fill
from ..run import Outcome, State, Status
from ..run_panel import RunPanel
from ..wording import with_warnings
from . import wording
from .curves import Curves
from .parameters import Source, TrainParameterNode
from .run import Report, Trained

Node = Any

_HEIGHT = 220
"""Of the plot in pixels, at least."""

_LEAST, _MARGIN = 300, 24
"""Width of a picture in pixels, at least, and what stays free beside it."""


class TrainPanel(RunPanel):
    """Writes into the widgets of MedAITrain.ui.

    Args:
        ui: the named child widgets.

    Attributes:
        plot: qMRMLPlotView; None before there are curves.
    """

    def __init__(self, ui: Any) -> None:
        sections = (ui.casesCollapsibleButton, ui.modelCollapsibleButton, ui.advancedCollapsibleButton)
        super().__init__(ui, sections, _("Train the network on the cases."))
        ui.dataFolderPathEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.outputFolderPathEdit.filters = ctk.ctkPathLineEdit.Dirs
        self._choices: dict[str, Choice] = {}
        self._networks: dict[str, str] = {}
        self._picture = (Path(), 0.0)
        self.plot: Any = None
        self.show_report(None)
        self.show_preview(Path())

    def load_choices(self, network: str, start: str) -> str:
        """Look which networks, and which models to begin with, there are, and offer them.

        Returns:
            The name of the network that is chosen now.
        """
        self._choices = {choice.name: choice for choice in choices()}
        network = network or next(iter(self._choices), "")
        fill(self._ui.networkComboBox, [(one.title, name) for name, one in self._choices.items()], network)
        cards, _broken = ModelStore().scan()
        trainable = {choice.network for choice in self._choices.values()}
        models = [card for card in cards if card.task == "segmentation" and card.network in trainable]
        self._networks = {card.name: card.network for card in models}
        items = [(card.title, card.name) for card in models]
        fill(self._ui.startComboBox, [(_("Nothing (random weights)"), ""), *items], start)
        return network

    def network_for(self, network: str, start: str) -> str:
        """The chosen network, or one of the kind of the model to begin with."""
        kind = self._networks.get(start)
        fitting = [choice.name for choice in self._choices.values() if choice.network == kind]
        return network if kind is None or network in fitting else fitting[0]

    def show_choices(self, parameters: TrainParameterNode) -> None:
        """Describe the present choices, and show what they leave to be chosen."""
        folder = parameters.source is Source.FOLDER
        self._ui.dataFolderLabel.visible = folder
        self._ui.dataFolderPathEdit.visible = folder
        self._ui.segmentationsLabel.visible = not folder
        self._ui.segmentationsSelector.visible = not folder
        choice = self._choices.get(parameters.network)
        self._ui.networkSummaryLabel.text = "" if choice is None else wording.network_line(choice)
        self._ui.networkSummaryLabel.visible = bool(self._ui.networkSummaryLabel.text)

    def show_check(self, reason: str) -> None:
        """The button that looks at the cases: enabled, or why it is not."""
        self._ui.checkButton.enabled = not reason
        self._ui.checkButton.toolTip = reason or _("Look through the cases, without training.")

    def show_report(self, report: Report | None) -> None:
        """What was found in the cases; None if they were not looked at."""
        self._ui.reportLabel.text = "" if report is None else wording.report_text(report)
        self._ui.reportLabel.visible = report is not None

    def show_ready(self, reason: str, unfinished: Mapping[str, Any] | None) -> None:
        """The idle buttons: enabled, or why they are not.

        Args:
            reason: why no training can begin; empty if one can.
            unfinished: what is known of a training of this name that can go on, or None.
        """
        self.show_apply("" if unfinished is not None else reason)
        self._ui.stopButton.enabled = False
        self._ui.stopButton.toolTip = _("No training is going on.")
        if unfinished is None:
            self._ui.applyButton.text = _("Train")
        else:
            self._ui.applyButton.text = _("Resume")
            self._ui.applyButton.toolTip = wording.paused_line(unfinished)

    def status_line(self, status: Status) -> str:
        """What the training is doing."""
        return wording.status_line(status)

    def show_busy(self, status: Status, training: bool) -> None:
        """A run: progress, and the buttons that now pause and end it."""
        self.show_status(status)
        if status.state is State.IDLE:
            return
        if training:
            self._ui.applyButton.text = _("Pause")
        if training and self._ui.applyButton.enabled:
            self._ui.applyButton.toolTip = _("Save the state and stop. The training can go on later.")
        self._ui.stopButton.enabled = training and status.state is State.RUNNING
        self._ui.stopButton.toolTip = _("End the training now, and keep the model as it is.")

    def show_outcome(self, outcome: Outcome, unfinished: Mapping[str, Any] | None) -> None:
        """How a run ended."""
        if outcome.error is not None:
            # Without the log that may follow the message.
            text = str(outcome.error).split("\n", maxsplit=1)[0]
        elif outcome.cancelled is not None:
            text = outcome.cancelled or (_("Paused.") if unfinished is not None else _("Cancelled."))
        else:
            text = wording.ended_line(outcome.result) if isinstance(outcome.result, Trained) else ""
        if unfinished is not None:
            text = f"{text} {wording.paused_line(unfinished)}"
        self.say(with_warnings(text, outcome.warnings))

    def show_unfinished(self, unfinished: Mapping[str, Any]) -> None:
        """A training was found that can go on."""
        self.say(wording.paused_line(unfinished))

    def show_curves(self, curves: Curves | None, view: Node | None) -> None:
        """Loss and Dice so far; None while there are none."""
        if curves is None or curves.chart is None or view is None:
            self._ui.curvesCollapsibleButton.collapsed = True
            self._ui.figuresLabel.text = _("No training yet.")
            return
        self._ui.curvesCollapsibleButton.collapsed = False
        if self.plot is None:
            self._make_plot()
        if view.GetPlotChartNodeID() != curves.chart.GetID():
            view.SetPlotChartNodeID(curves.chart.GetID())
            self.plot.setMRMLPlotViewNode(view)
        self.plot.fitToContent()
        self._ui.figuresLabel.text = wording.figures_text(curves.loss, curves.dice)

    def _make_plot(self) -> None:
        """Not by the .ui file: Slicer's loader of these does not know the class."""
        self.plot = slicer.qMRMLPlotView()
        self.plot.setMRMLScene(slicer.mrmlScene)
        self.plot.minimumHeight = _HEIGHT
        self.plot.toolTip = _(
            "Loss of the training and Dice of the validation cases, which are nodes of the scene, too."
        )
        self._ui.plotWidget.layout().addWidget(self.plot)
        self.plot.show()

    def show_preview(self, path: Path) -> None:
        """The picture of a validation case, if there is one that is not shown yet."""
        try:
            changed = path.stat().st_mtime if path.is_file() else 0.0
        except OSError:
            changed = 0.0
        if (path, changed) != self._picture:
            self._picture = path, changed
            if changed:
                picture = qt.QPixmap(str(path))
                width = min(picture.width(), max(_LEAST, self._ui.curvesCollapsibleButton.width - _MARGIN))
                self._ui.previewLabel.setPixmap(picture.scaledToWidth(width, qt.Qt.SmoothTransformation))
        self._ui.previewLabel.visible = self._ui.previewCaptionLabel.visible = bool(changed)
