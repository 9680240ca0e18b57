"""The tab in which a network is trained on cases of one's own. The training goes on while other tabs are used."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from MedAILib.training.cases.request import TrainRequest, model_name
from MedAILib.training.cases.run_folder import PREVIEW, RUN_LOG
from MedAILib.worker import client

from ..choices import CheckedNodes, ItemDataConnector
from ..devices import DeviceQuestion
from ..pulse import Pulse
from ..reporting import report
from ..requirements import ensure
from ..run import Outcome, RunController, Status
from . import asked
from .cases import cases_of, source_of
from .connectors import ChosenPath, TypedText
from .curves import Curves, forget, view_node
from .folder import is_folder, newest_unfinished, unfinished
from .panel import TrainPanel
from .parameters import Source, parameters, usual_folder
from .run import CheckRun, Report, Trained, TrainingRun

Node = Any

TRAIN = 2
"""The tab's number."""

_LOOK_S = 1.0
"""Time between two looks at the log."""

_TOLD_MS = 10000
"""How long Slicer's status bar tells that a training has ended."""

_END_S = 5.0
"""Patience for the last checkpoint when Slicer closes."""


class TrainTab:
    """Makes its widgets when it is seen for the first time.

    Args:
        ui: the named child widgets of MedAI.ui.
        load: makes the widget of a .ui file.
        trained: told the name of each new model.
    """

    def __init__(self, ui: Any, load: Callable[[str], Any], trained: Callable[[str], None]) -> None:
        self._tab, self._load, self._trained = ui, load, trained
        self._panel: Any = None
        self._parameters: Any = None
        self._tags: list[int] = []
        self._observation = 0
        self._run: CheckRun | TrainingRun | None = None
        self._then: TrainRequest | None = None
        """The training that follows when nothing is wrong with the cases."""
        self._checked: Path | None = None
        self._source: Source | None = None
        self._worker: Any = None
        self._curves: Curves | None = None
        self._looked = 0.0
        self.controller = RunController(Pulse(self._beat), self._changed, self._ended)

    @property
    def shown(self) -> bool:
        """Whether it is this tab that the user sees."""
        return bool(self._tab.tabWidget.currentIndex == TRAIN)

    @property
    def training(self) -> bool:
        """Whether a network is being trained now."""
        return self.controller.busy and isinstance(self._run, TrainingRun)

    def enter(self) -> None:
        """The user opened the tab, or the module with it."""
        if self._panel is None:
            self._make()
        self._connect()

    def leave(self) -> None:
        """The user went to another tab, or to another module; a training goes on."""
        self._disconnect()

    def scene_closes(self) -> None:
        """All nodes are about to go away, the curves too. A training needs none, and goes on."""
        self._disconnect()
        if isinstance(self._run, TrainingRun):
            self._curves = _curves_of(self._run)  # drawn anew, in the scene to come
        else:
            self.controller.cancel(_("The scene was closed."))
            self._curves = None
        if self._panel is not None:
            self._panel.show_report(None)
            self._panel.show_curves(None, None)

    def node_goes(self, node: Node) -> None:
        """A node is about to be removed: cases that are being written may lack it."""
        if self.controller.busy and self._run is not None and self._run.uses(node):
            self.controller.cancel(_("{name} was deleted.").format(name=node.GetName()))

    def close(self) -> None:
        """The module goes away; a training gets the time to save its state."""
        if self._panel is not None:
            self._devices.stop()
        self._disconnect()
        self._curves = None  # no nodes any more, in a scene that may be about to go
        try:
            if self.training:
                self.controller.cancel()
                end = time.monotonic() + _END_S
                while self.controller.busy and time.monotonic() < end:
                    time.sleep(0.05)
                    self.controller.tick()
        finally:
            self.controller.abandon()
            self._close_worker()

    def _make(self) -> None:
        widget = self._load("UI/MedAITrain.ui")
        self._tab.trainTab.layout().addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self._panel = TrainPanel(self.ui)
        self._devices = DeviceQuestion(self._devices_known)
        self.ui.applyButton.connect("clicked(bool)", self.on_apply)
        self.ui.stopButton.connect("clicked(bool)", self.on_stop)
        self.ui.checkButton.connect("clicked(bool)", self.on_check)
        self.ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self._on_advanced)

    def _connect(self) -> None:
        self._disconnect()
        node = self._parameters = parameters()
        node.network = self._panel.load_choices(node.network, node.start)
        if not node.outputFolder or not is_folder(asked.root_folder(node).parent):
            # None yet, or that of the computer that a scene comes from.
            node.outputFolder = str(usual_folder())
        if not node.modelName:
            self._choose_name(node)
        connectors = {
            "dataFolder": ChosenPath(self.ui.dataFolderPathEdit),
            "outputFolder": ChosenPath(self.ui.outputFolderPathEdit),
            "modelName": TypedText(self.ui.nameLineEdit),
            "network": ItemDataConnector(self.ui.networkComboBox),
            "start": ItemDataConnector(self.ui.startComboBox),
            "device": ItemDataConnector(self.ui.deviceComboBox),
            "segmentations": CheckedNodes(self.ui.segmentationsSelector),
        }
        self._tags = [node.connectGui(self.ui), node.connectParametersToGui(connectors)]
        self._observation = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_parameters)
        self._update()

    def _disconnect(self) -> None:
        if self._parameters is not None:
            self._parameters.RemoveObserver(self._observation)
            for tag in self._tags:
                self._parameters.disconnectGui(tag)
        self._parameters, self._tags = None, []

    def _choose_name(self, node: Any) -> None:
        """That of the training which is on, else of one which waits to be resumed, else one that is free."""
        if isinstance(self._run, TrainingRun):
            node.modelName = self._run.name
            return
        root = asked.root_folder(node)
        waiting = newest_unfinished(root)
        if waiting is not None:
            self._panel.show_unfinished(waiting)
        node.modelName = (waiting or {}).get("title") or asked.free_title(root)

    def _on_parameters(self, caller: Any = None, event: Any = None) -> None:
        node = self._parameters
        if node is None or slicer.mrmlScene.IsImporting():
            return
        came, self._source = self._source is not node.source, node.source
        if came and node.source is Source.SCENE and not asked.chosen_segmentations(node):
            # All that can be cases are, until the user unchecks some.
            node.segmentations = [one for one in _segmentations() if source_of(one) is not None]
        node.network = self._panel.network_for(node.network, node.start)
        self._update()

    def _update(self) -> None:
        node = self._parameters
        if node is None:
            return
        self._panel.show_choices(node)
        if not self.controller.busy:
            reason, waiting = asked.why_no_cases(node), unfinished(asked.training_folder(node))
            self._panel.show_check(asked.why_no_look(node, waiting))
            self._panel.show_ready(reason or asked.why_no_name(node), waiting)

    def on_check(self) -> None:
        """Look at the cases without training."""
        with slicer.util.tryWithErrorDisplay(None):
            self._check(self._parameters)

    def on_apply(self) -> None:
        """Train, or go on; while a run is on, pause or cancel it."""
        if self.controller.busy:
            self.controller.cancel()
            return
        with slicer.util.tryWithErrorDisplay(None):
            node = self._parameters
            if unfinished(asked.training_folder(node)) is not None:
                self._train(asked.request_to_resume(node), node.device)
            elif self._checked == asked.data_folder(node):
                self._train(asked.request_of(node), node.device)
            else:
                self._check(node, asked.request_of(node))

    def on_stop(self) -> None:
        """End the training with what it has."""
        self.controller.conclude()

    def _check(self, node: Any, then: TrainRequest | None = None) -> None:
        ensure()
        # Kept as it is asked for now: the user may go to another tab, or read another scene meanwhile.
        self._then = then
        folder, scene = asked.data_folder(node), None
        if node.source is Source.SCENE:
            scene = cases_of(asked.chosen_segmentations(node))
            if not scene.cases:
                self._panel.show_report(Report(folder, problems=scene.problems))
                return
        logging.info("MedAI: looking at the cases in %s", folder)
        how = {"network": node.network, "plan": asked.plan_of(node)}
        self._start(CheckRun(self._get_worker(node.device), folder, scene, how))

    def _train(self, request: TrainRequest, device: str) -> None:
        ensure()
        run = TrainingRun(self._get_worker(device), request)
        logging.info("MedAI: training %s in %s", run.name, run.folder)
        forget(run.folder)
        self._curves = _curves_of(run)
        self._panel.show_curves(None, None)
        self._start(run)

    def _start(self, run: CheckRun | TrainingRun) -> None:
        self._run = run
        self.controller.start(run)

    def _beat(self) -> None:
        self.controller.tick()
        if self.training and time.monotonic() - self._looked > _LOOK_S:
            self._look()

    def _look(self) -> None:
        """Bring what the training has written into the scene and the tab."""
        self._looked = time.monotonic()
        if self._curves is None or not isinstance(self._run, TrainingRun) or slicer.mrmlScene.IsBatchProcessing():
            return
        if self._curves.update():
            self._panel.show_curves(self._curves, view_node(parameters().parameterNode))
        self._panel.show_preview(self._run.folder / PREVIEW)

    def _changed(self, status: Status) -> None:
        self._panel.show_busy(status, isinstance(self._run, TrainingRun))

    def _ended(self, outcome: Outcome) -> None:
        self._look()
        run, self._run = self._run, None
        waiting = unfinished(run.folder) if isinstance(run, TrainingRun) else None
        if isinstance(run, TrainingRun):
            self._close_worker()
            if outcome.cancelled is None:
                # Hours may have gone by, and the user be in another module.
                text = _("MedAI: the training {name} has ended.").format(name=run.name)
                slicer.util.showStatusMessage(text, _TOLD_MS)
        self._panel.show_outcome(outcome, waiting)
        if isinstance(outcome.result, Trained) and outcome.result.model:
            logging.info("MedAI: the model %s is trained", outcome.result.model)
            self._trained(outcome.result.model)
            node = parameters()
            if model_name(node.modelName) == outcome.result.model:
                # So that the next training can begin at once.
                node.modelName = asked.free_title(asked.root_folder(node), node.modelName)
        if self._parameters is not None:
            self._panel.load_choices(self._parameters.network, self._parameters.start)
        self._update()
        if isinstance(outcome.result, Report):
            self._on_report(outcome.result)
        report(outcome)

    def _on_report(self, found: Report) -> None:
        self._panel.show_report(found)
        # The scene may change unseen, a folder hardly.
        self._checked = None if found.fatal or found.of_scene else found.folder
        if self._then is not None and not found.fatal:
            self._train(self._then, parameters().device)

    def _get_worker(self, device: str) -> Any:
        if self._worker is None or self._worker.device != device:
            self._close_worker()
            self._worker = client.Worker(device)
        return self._worker

    def _close_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _on_advanced(self, collapsed: bool) -> None:
        if not collapsed:
            with slicer.util.tryWithErrorDisplay(_("The devices could not be listed.")):
                self._devices.ask()

    def _devices_known(self, found: list[tuple[str, str]]) -> None:
        self._panel.show_devices(found, self.ui.deviceComboBox.currentData)


def _curves_of(run: TrainingRun) -> Curves:
    return Curves(run.folder, run.folder / RUN_LOG, run.name)


def _segmentations() -> list[Node]:
    scene, kind = slicer.mrmlScene, "vtkMRMLSegmentationNode"
    return [scene.GetNthNodeByClass(number, kind) for number in range(scene.GetNumberOfNodesByClass(kind))]
