"""What a user does with the MedAI Super Resolution panel, and what the worker answers."""

from __future__ import annotations

from typing import Any

from superres_answers import result, thick


def add_thick(desk: Any, name: str = "Head") -> Any:
    """A volume with thick slices in the scene."""
    from MedAISlicer import mrml

    node = mrml.volume_from_image(desk.scene.scene, thick())
    node.SetName(name)
    return node


def add_frames(desk: Any, name: str = "Heart", frames: int = 3) -> Any:
    """A sequence of volumes with thick slices; nothing plays it yet."""
    scene = desk.scene.scene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    for number in range(frames):
        node = add_thick(desk, "frame")
        sequence.SetDataNodeAtValue(node, str(number))
        scene.RemoveNode(node)
    return sequence


def finish(worker: Any, warnings: tuple = (), **facts: Any) -> None:
    """Answer the newest job as the pipeline does."""
    from MedAILib.superres.request import answer, read_message
    from MedAILib.worker.events import Finished

    _task, parameters, arrays = worker.messages[-1]
    worker.jobs[-1].push(Finished(*answer(result(*read_message(parameters, arrays), warnings, **facts))))


def choose(combo: Any, title: str) -> None:
    """Choose an item by the beginning of its title."""
    titles = [combo.itemText(number) for number in range(combo.count)]
    combo.setCurrentIndex(next(number for number, text in enumerate(titles) if text.startswith(title)))


class Database:
    """A DICOM database that knows one instance."""

    def __init__(self, **values: str) -> None:
        tags = {"thickness": "0018,0050", "between": "0018,0088", "modality": "0008,0060"}
        self._values = {tags[name]: value for name, value in values.items()}

    def instanceValue(self, uid: str, tag: str) -> str:
        assert uid == "1.2.3"
        return self._values.get(tag, "")
