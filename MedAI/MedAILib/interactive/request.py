"""The jobs "interact" and "refine" as they go to the worker and come back; importable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..geometry import Shape
from ..image import Image
from ..label_boxes import mask_box
from ..worker.arrays import Kept
from .marks import Box
from .prompt_file import from_json, to_json
from .prompts import Prompt
from .segmenter import NOTHING, Answer

TASK = "interact"
REFINE_TASK = "refine"
ENGINES = ("auto", "online", "network")

Message = tuple[dict[str, Any], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Engine:
    """Who answers.

    Attributes:
        name: "online" learns from what is drawn, on any image; "network" is a trained one; "auto" learns from what is
            drawn, and after a point asks the network for its opinion.
        model: folder of a network to use; None for the one that MedAI brings.
    """

    name: str = "auto"
    model: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise UsageError(f"engine must be one of {', '.join(ENGINES)}, not {self.name!r}.")
        if self.model is not None:  # the worker works in another folder
            object.__setattr__(self, "model", str(Path(self.model).absolute()))


AUTO = Engine()


@dataclass(frozen=True, eq=False)
class Reply(Answer):
    """An answer and what made it.

    Attributes:
        engine: "online", "network", or "online with network".
        seconds: that it took, without the way to the worker.
        device: where it was computed.
    """

    engine: str = ""
    seconds: float = 0.0
    device: str = ""


@dataclass(frozen=True, eq=False)
class Question:
    """What the worker is asked.

    Attributes:
        kept: the image's array as "image", with what makes it an image in :attr:`place`.
        place: name and affine of the image.
        current: (k, j, i) bool, the object as it is.
        engine: who shall answer.
        prompts: all of them.
        label: that is asked for.
        width: mm, for a refinement.
    """

    kept: Kept
    place: Mapping[str, Any]
    current: np.ndarray
    engine: Engine = AUTO
    prompts: Sequence[Prompt] = ()
    label: int = 1
    width: float = 0.0

    def message(self) -> Message:
        """Parameters and arrays for ``Worker.submit``; only the box of the mask is sent."""
        box = mask_box(self.current) or NOTHING
        parameters = {
            "kept": self.kept.to_json(),
            "place": dict(self.place),
            "engine": self.engine.name,
            "model": self.engine.model,
            "prompts": [to_json(each) for each in self.prompts],
            "label": self.label,
            "width": self.width,
            "box": _sides(box),
        }
        return parameters, {"current": self.current[box]}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], shape: Shape) -> Question:
        """On the worker's side: what :meth:`message` wrote, about an image of that shape.

        Raises:
            UsageError: a parameter is missing.
        """
        try:
            current = np.zeros(shape, bool)
            current[_box(parameters["box"])] = arrays["current"]
            return cls(
                Kept.from_json(parameters["kept"]),
                parameters["place"],
                current,
                Engine(parameters["engine"], parameters["model"]),
                [from_json(each, number) for number, each in enumerate(parameters["prompts"], 1)],
                int(parameters["label"]),
                float(parameters["width"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"The job is incomplete: {error}.") from error


def kept_image(parameters: Mapping[str, Any]) -> Image:
    """On the worker's side: the image that a message is about; raises WorkerError if it is gone."""
    place = parameters["place"]
    array = Kept.from_json(parameters["kept"]).arrays()["image"]
    return Image(array, np.asarray(place["affine"], float), str(place["name"]))


def place_of(image: Image) -> dict[str, Any]:
    """All of an image but its array, in JSON form."""
    return {"name": image.name, "affine": image.affine.tolist()}


def write_reply(reply: Reply) -> Message:
    """On the worker's side: a reply as parameters and arrays."""
    parameters = {
        "box": _sides(reply.box),
        "notes": list(reply.notes),
        "engine": reply.engine,
        "seconds": reply.seconds,
        "device": reply.device,
    }
    return parameters, {"inside": reply.inside}


def read_reply(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Reply:
    """What :func:`write_reply` wrote."""
    box, inside = _box(parameters["box"]), arrays["inside"].astype(bool, copy=False)
    notes = tuple(str(note) for note in parameters["notes"])
    return Reply(box, inside, notes, parameters["engine"], float(parameters["seconds"]), parameters["device"])


def _sides(box: Box) -> list[list[int]]:
    return [[int(side.start), int(side.stop)] for side in box]


def _box(sides: Sequence[Sequence[int]]) -> Box:
    k, j, i = (slice(int(start), int(stop)) for start, stop in sides)
    return k, j, i
