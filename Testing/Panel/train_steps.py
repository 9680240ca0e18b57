"""What a user does in the tab Train, and a worker that does as it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from Panel.conftest import ScriptedWorker
from Panel.steps import press

TRAIN = 2
FOLDER, SCENE = range(2)
"""Where the cases come from, in the order of the chooser."""
REPORT = {"cases": 3, "classes": [{"name": "Ball", "value": 1, "cases": 3, "ml": 1.25}], "problems": []}


class TrainWorker(ScriptedWorker):
    """Stands in for :class:`MedAILib.worker.client.Worker`."""

    def __init__(self) -> None:
        super().__init__()
        self.device = ""
        self.closed = 0

    def __call__(self, device: str = "auto") -> TrainWorker:
        self.device = device
        super().__call__(device)
        return self

    def close(self) -> None:
        self.closed += 1

    @property
    def task(self) -> str:
        """Of the newest job."""
        return self.messages[-1][0]

    @property
    def asked(self) -> Mapping[str, Any]:
        """Parameters of the newest job."""
        return self.messages[-1][1]

    def answer(self, parameters: dict[str, Any]) -> None:
        """End the newest job well."""
        from MedAILib.worker.events import Finished

        self.jobs[-1].push(Finished(parameters))

    def report(self, *problems: tuple[str, str, bool]) -> None:
        """Answer a look at the cases."""
        found = [dict(zip(("where", "message", "fatal"), problem, strict=True)) for problem in problems]
        self.answer({**REPORT, "problems": found})

    def write(self, *lines: dict[str, Any], finished: str = "") -> Path:
        """Be the training whose folder was asked for: request, checkpoint, log."""
        folder = Path(self.asked["output"])
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / "run.json"
        request = json.loads(known.read_text()) if known.is_file() else dict(self.asked)
        known.write_text(json.dumps({**request, **({"finished": finished} if finished else {})}))
        (folder / "checkpoint.safetensors").write_bytes(b"weights")
        with (folder / "log.jsonl").open("a") as stream:
            stream.writelines(json.dumps(line) + "\n" for line in lines)
        return folder


def losses(*values: float, first: int = 10) -> list[dict[str, Any]]:
    """Lines of a log."""
    return [{"step": first + 10 * n, "seconds": float(first + 10 * n), "loss": loss} for n, loss in enumerate(values)]


def checked(step: int, **dice: float) -> dict[str, Any]:
    """A line about a validation."""
    mean = float(np.mean(list(dice.values())))
    return {"step": step, "seconds": float(step), "validation": {"dice": mean, "classes": dice}}


def ui_of(panel: Any) -> Any:
    """The tab's widgets."""
    return panel._train.ui


def open_tab(panel: Any) -> Any:
    """Show the tab; its widgets."""
    panel.ui.tabWidget.setCurrentIndex(TRAIN)
    return ui_of(panel)


def busy(panel: Any) -> bool:
    return panel._train.controller.busy


def until_idle(desk: Any, panel: Any) -> None:
    assert desk.wait(lambda: not busy(panel))


def begin(desk: Any, panel: Any, worker: TrainWorker, task: str) -> None:
    """Wait until the worker has a job of this kind."""
    assert desk.wait(lambda: bool(worker.messages) and worker.task == task and not worker.jobs[-1].done)


def choose_source(ui: Any, number: int) -> None:
    ui.sourceComboBox.setCurrentIndex(number)


def curves(panel: Any) -> dict[str, tuple[tuple[float, float], ...]]:
    """Name to points of what the plot shows."""
    plot = panel._train._panel.plot
    return {} if plot is None else {curve.name: curve.points for curve in plot.qt_object.curves()}


def train(desk: Any, panel: Any, trainer: TrainWorker) -> Path:
    """Press Train with good cases; the folder of the training that is on now."""
    press(ui_of(panel).applyButton)
    begin(desk, panel, trainer, "check_cases")
    trainer.report()
    begin(desk, panel, trainer, "train")
    return trainer.write()


def look(desk: Any, panel: Any) -> None:
    """Let the tab read the log now."""
    panel._train._look()


def charts(desk: Any) -> list[Any]:
    scene = desk.scene.scene
    return [
        scene.GetNthNodeByClass(number, "vtkMRMLPlotChartNode")
        for number in range(scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode"))
    ]
