"""The MedAI panel on the fake desktop, with a model that needs no network and a worker that does as it is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from Harness import desktop, missing

MATRIX = np.diag([1.0, 1.5, 2.0, 1.0])
SHAPE = (6, 7, 8)
OWN = ("MedAILib", "MedAISlicer")
NOTHING: Mapping = MappingProxyType({})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Qt the tests of this folder that need it are skipped, with the reason."""
    reason = missing()
    if reason:
        for item in items:
            if Path(__file__).parent in item.path.parents and "desk" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def same_modules() -> Iterator[None]:
    """A test that reloads a module leaves the next one with the classes that it began with."""
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in OWN}
    yield
    now = {name: module for name, module in sys.modules.items() if name.split(".")[0] in OWN}
    if any(now.get(name) is not module for name, module in before.items()):
        for name in now:
            del sys.modules[name]
        sys.modules.update(before)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder, with the card of one model in it; nothing loads its weights."""
    from tiny_model import card_fields

    folder = tmp_path / "models"
    (folder / "tiny").mkdir(parents=True)
    measured = [{"dataset": "the balls", "metric": "Dice", "value": 0.97, "command": "medai segment"}]
    card = card_fields(measured=measured)
    (folder / "tiny" / "model.json").write_text(json.dumps(card), encoding="utf-8")
    monkeypatch.setenv("MEDAI_MODELS", str(folder))
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Any]:
    """The desktop with an empty scene."""
    here = desktop()
    here.new_scene(tmp_path)
    yield here
    for widget in list(here.widgets.values()):
        here.unload(widget)
    here.close_scene()


class ScriptedWorker:
    """Takes jobs like a worker; the test says what happens to them."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.messages: list[tuple[str, Mapping, Mapping]] = []
        self.devices: list[str] = []
        self.concluded: list[Any] = []
        self.slow_to_stop = False

    def __call__(self, device: str = "auto") -> ScriptedWorker:
        self.devices.append(device)
        return self

    def submit(
        self, task: str, parameters: Mapping = MappingProxyType({}), arrays: Mapping = MappingProxyType({})
    ) -> Any:
        from MedAILib.worker.job import Job

        self.jobs.append(Job(task, self._cancelled, self.concluded.append))
        self.messages.append((task, parameters, {name: np.array(array) for name, array in arrays.items()}))
        return self.jobs[-1]

    def _cancelled(self, job: Any) -> None:
        from MedAILib.worker.events import Failed

        if not self.slow_to_stop:
            job.push(Failed("cancelled", "The run was cancelled; nothing was changed."))

    def step(self, stage: str, fraction: float, remaining: float | None = None) -> None:
        from MedAILib.progress import Step

        self.jobs[-1].push(Step(stage, fraction, remaining))

    def finish(self, labels: np.ndarray | None = None, warnings: tuple = (), finder: str = "") -> None:
        """Answer the newest job as the pipeline does."""
        from MedAILib.image import Image, Kind
        from MedAILib.pipeline.request import answer
        from MedAILib.summary import Segmentation
        from MedAILib.worker.events import Finished

        _, parameters, arrays = self.messages[-1]
        seen = arrays["image"]
        image = Image(seen[0] if seen.ndim == 4 else seen, np.asarray(parameters["affine"]), parameters["name"])
        labels = _two_structures(image.shape) if labels is None else labels
        result = Segmentation(image.with_array(labels, kind=Kind.LABEL), _summary(image, labels, warnings, finder))
        self.jobs[-1].push(Finished(*answer(result)))

    def fail(self, code: str, message: str, log: str = "") -> None:
        from MedAILib.worker.events import Failed

        self.jobs[-1].push(Failed(code, message, log))


def _two_structures(shape: tuple[int, ...]) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[1:5, 1:6, 1:7] = 10
    labels[2:4, 2:4, 2:4] = 20
    return labels


def _summary(image: Any, labels: np.ndarray, warnings: tuple, finder: str) -> Any:
    from MedAILib.image import Kind
    from MedAILib.models import find_model
    from MedAILib.statistics import label_statistics
    from MedAILib.summary import Summary, Warned, tested_on

    card = find_model("tiny")
    rows = label_statistics(image.with_array(labels, kind=Kind.LABEL), image, card.labels)
    return Summary(
        image=image.name,
        model=card.name,
        version=card.version,
        sha256=card.sha256,
        parameters={"mode": "exact"},
        device="cpu",
        precision="float32",
        table=card.labels,
        volumes=tuple(rows),
        confidence={"Ball": 0.96, "Core": 0.71},
        warnings=tuple(Warned(*pair) for pair in warnings),
        timings={"Finding structures": 2.5},
        tested_on=tested_on(card),
        finder=finder,
    )


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> ScriptedWorker:
    """Stands in for the shared worker of every device."""
    fresh = ScriptedWorker()
    import MedAILib.worker.client

    monkeypatch.setattr(MedAILib.worker.client, "shared_worker", fresh)
    return fresh


@pytest.fixture
def registration(desk: Any, worker: ScriptedWorker) -> Any:
    """The open MedAI Registration panel."""
    return desk.load("MedAIRegistration")


@pytest.fixture
def add_volume(desk: Any) -> Callable[..., Any]:
    """Puts a volume into the scene."""

    def add(name: str = "T1", array: np.ndarray | None = None) -> Any:
        import slicer

        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) if array is None else array
        slicer.util.updateVolumeFromArray(node, array)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(MATRIX))
        return node

    return add


@pytest.fixture
def add_sequence(add_volume: Callable[..., Any]) -> Callable[..., Any]:
    """Puts a sequence of volumes into the scene; nothing plays it yet."""

    def add(name: str = "Perfusion", frames: int = 3) -> Any:
        import slicer

        scene = slicer.mrmlScene
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
        for number in range(frames):
            volume = add_volume("frame")
            sequence.SetDataNodeAtValue(volume, str(number))
            scene.RemoveNode(volume)
        return sequence

    return add


@pytest.fixture
def panel(desk: Any, models: Path, worker: ScriptedWorker) -> Any:
    """The open MedAI panel with the tiny model chosen."""
    widget = desk.load("MedAI")
    widget.ui.modelComboBox.setCurrentIndex(widget.ui.modelComboBox.findData("tiny"))
    return widget


@pytest.fixture
def answerers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Stands in for the assistants of AI assist in the worker; gives the newest one who was asked."""
    from MedAISlicer.assist import assistants, desk
    from MRML.assist import Answerer

    Answerer.made.clear()
    plain = assistants.Assistants
    monkeypatch.setattr("MedAISlicer.assist.controller.Assistants", lambda: plain(Answerer))
    monkeypatch.setattr(desk, "ensure", lambda: None)
    yield lambda: Answerer.made[-1]
    Answerer.made.clear()


@pytest.fixture
def bench(desk: Any, answerers: Any) -> Iterator[Any]:
    """A Segment Editor with AI assist at work on an empty segment."""
    from Panel.assist_steps import open_bench

    opened = open_bench(desk, np.diag([2.0, 2.0, 2.0, 1.0]))
    yield opened
    opened.editor.setActiveEffectByName("")
    opened.effect.cleanup()


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The worker of the training."""
    import MedAILib.worker.client
    from Panel.train_steps import TrainWorker

    fresh = TrainWorker()
    monkeypatch.setattr(MedAILib.worker.client, "Worker", fresh)
    return fresh


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder that is chosen in the tab Train."""
    folder = tmp_path / "cases"
    folder.mkdir()
    return folder


@pytest.fixture
def ui(panel: Any, trainer: Any, data: Path) -> Any:
    """The open tab Train with a folder chosen."""
    from Panel.train_steps import open_tab

    widgets = open_tab(panel)
    widgets.dataFolderPathEdit.setCurrentPath(str(data))
    return widgets


@pytest.fixture
def add_case(desk: Any, add_volume: Callable[..., Any]) -> Callable[..., Any]:
    """Puts a volume and a segmentation of it into the scene."""

    def add(name: str, *structures: str, on: Any = None) -> Any:
        import slicer

        from MedAISlicer import mrml

        volume = on or add_volume(name)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} segmentation")
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        for number, structure in enumerate(structures):
            array = np.zeros((6, 7, 8), np.uint8)
            array[1 + number, 1:4, 1:5] = 1
            segment = slicer.vtkSegment()
            segment.SetName(structure)
            segment.AddRepresentation("Binary labelmap", mrml.layer_from_array(array, mrml.local_affine(volume)))
            node.GetSegmentation().AddSegment(segment)
        return node

    return add
