"""The "segment" job as it goes to the worker and comes back; importable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..choices import check_choices
from ..errors import UsageError
from ..image import Image, Kind
from ..models import ModelCard, find_model
from ..summary import Segmentation, Summary
from .volumes import Volumes

TASK = "segment"
MODES = ("exact", "fast")


@dataclass(frozen=True)
class Request:
    """What to do with an image.

    Attributes:
        model: name of a model, or path of a model folder; None for the default model.
        modality: DICOM code of the image if known, e.g. "MR".
        force: go on although the modality does not fit.
        mode: "exact" or "fast"; None for the model's own default.
        input: for a model that sees several volumes, which of them the first one is, see :class:`.volumes.Volumes`.
    """

    model: str | None = None
    modality: str | None = None
    force: bool = False
    mode: str | None = None
    input: str | None = None

    def __post_init__(self) -> None:
        if self.mode is not None:
            check_choices(self, {"mode": MODES})

    def with_modality(self, modality: str | None) -> Request:
        """The same with the modality that a file tells, unless the user gave one."""
        return replace(self, modality=self.modality or modality)

    def card(self) -> ModelCard:
        """The model's card; raises ModelError if there is no such model."""
        return find_model(self.model)

    def message(
        self, image: Image, others: Mapping[str, Image] | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Parameters and arrays for ``Worker.submit(TASK, parameters, arrays)``.

        Args:
            image: the volume whose grid the result has.
            others: further volumes by the names of the model's inputs.
        """
        card = self.card()
        parameters = {
            **asdict(self),
            "model": str(card.folder.resolve()),
            "name": image.name,
            "affine": image.affine.tolist(),
        }
        arrays = {"image": image.array}
        if others:
            parameters["others"] = [
                {"input": name, "name": other.name, "affine": other.affine.tolist()} for name, other in others.items()
            ]
            arrays |= {f"other{number}": other.array for number, other in enumerate(others.values())}
        return parameters, arrays


def read_message(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[Volumes, Request]:
    """On the worker's side: what :meth:`Request.message` wrote.

    Raises:
        UsageError: a parameter is missing or unknown.
    """
    fields = dict(parameters)
    try:
        image = Image(arrays["image"], np.asarray(fields.pop("affine"), float), str(fields.pop("name")))
        others = {
            str(one["input"]): Image(arrays[f"other{number}"], np.asarray(one["affine"], float), str(one["name"]))
            for number, one in enumerate(fields.pop("others", ()))
        }
        request = Request(**fields)
        return Volumes(image, others, request.input), request
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"The segment job is incomplete or has unknown parameters: {error}.") from error


def answer(result: Segmentation) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """On the worker's side: the result as parameters (the summary's JSON form) and arrays."""
    return result.summary.to_json(), {"labels": result.labels.array}


def read_answer(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], image: Image) -> Segmentation:
    """What :func:`answer` wrote, on the grid of the image that was sent."""
    labels = Image(arrays["labels"], image.affine, image.name, Kind.LABEL)
    return Segmentation(labels, Summary.from_json(parameters))
