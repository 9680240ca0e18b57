"""The jobs "bridge", "straighten" and "restore" as they go to the worker and come back; importable without scipy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..choices import check_choices
from ..errors import GeometryError, UsageError
from ..image import Image, Kind
from .reformation import FIELD, KINDS, SPACING, STEP, Reformation
from .summary import BridgeSummary, RestoreSummary, StraightenSummary

BRIDGE, STRAIGHTEN, RESTORE = "bridge", "straighten", "restore"
"""Names of the worker's tasks."""
LIMIT = 50.0
Arrays = dict[str, np.ndarray]
Message = tuple[dict[str, Any], Arrays]


@dataclass(frozen=True)
class BridgeRequest:
    """How to mend the mask of a tube.

    Attributes:
        label: the tube's value in the label map; None where the map holds one value only.
        limit: longest gap in mm that is bridged.
    """

    label: int | None = None
    limit: float = LIMIT

    def __post_init__(self) -> None:
        check_positive("The longest gap", self.limit)

    def message(self, mask: Image, image: Image | None = None) -> Message:
        """Parameters and arrays for ``Worker.submit(BRIDGE, parameters, arrays)``."""
        return asdict(self) | _placed("mask", mask) | _placed("image", image), _arrays(mask=mask, image=image)


@dataclass(frozen=True)
class StraightenRequest:
    """How to lay an image out along a tube.

    Attributes:
        kind: "stretched" or "straightened", see :func:`MedAILib.tubes.reformation.lay_planes`.
        field: side of the planes in mm.
        spacing: mm within them.
        step: mm between them.
        line: line of interest, RAS; None for the direction that the tube has least extent along.
        label, limit: as in :class:`BridgeRequest`; gaps are bridged first.
    """

    kind: str = "stretched"
    field: float = FIELD
    spacing: float = SPACING
    step: float = STEP
    line: tuple[float, float, float] | None = None
    label: int | None = None
    limit: float = LIMIT

    def __post_init__(self) -> None:
        check_choices(self, {"kind": KINDS})
        for name in ("field", "spacing", "step", "limit"):
            check_positive(name, getattr(self, name))
        if self.field < self.spacing or self.field / self.spacing > 1024:
            raise UsageError(
                f"Planes of {self.field:g} mm with voxels of {self.spacing:g} mm make no sense; a side must have 1 to "
                "1024 voxels."
            )
        if self.line is not None:
            object.__setattr__(self, "line", tuple(float(part) for part in self.line))

    def message(self, image: Image, mask: Image, labels: Image | None = None) -> Message:
        """Parameters and arrays for ``Worker.submit(STRAIGHTEN, parameters, arrays)``."""
        placed = _placed("image", image) | _placed("mask", mask) | _placed("labels", labels)
        return asdict(self) | placed, _arrays(image=image, mask=mask, labels=labels)


@dataclass(frozen=True)
class RestoreRequest:
    """The way back.

    Attributes:
        planes: that the straightened volume was made with.
    """

    planes: Reformation

    def message(self, labels: Image) -> Message:
        """Parameters and arrays for ``Worker.submit(RESTORE, parameters, arrays)``."""
        return {"planes": self.planes.to_json()} | _placed("labels", labels), _arrays(labels=labels)


@dataclass(frozen=True, eq=False)
class Bridged:
    """A mended mask.

    Attributes:
        labels: the label map, the tube in one part.
        points: (n, 3) RAS mm, the tube's centerline.
        summary: figures, warnings, provenance.
    """

    labels: Image
    points: np.ndarray
    summary: BridgeSummary


@dataclass(frozen=True, eq=False)
class Straightened:
    """An image laid out along a tube.

    Attributes:
        image: a volume of its own, see :attr:`Reformation.place`.
        labels: the labels laid out likewise, if there were any.
        points: (n, 3) RAS mm, the tube's centerline in the image.
        planes: where each voxel was; needed for the way back.
        summary: figures, warnings, provenance.
    """

    image: Image
    labels: Image | None
    points: np.ndarray
    planes: Reformation
    summary: StraightenSummary


@dataclass(frozen=True, eq=False)
class RestoredLabels:
    """Labels brought back.

    Attributes:
        labels: on the grid that the tube was found on.
        summary: figures, warnings, provenance.
    """

    labels: Image
    summary: RestoreSummary


def read_bridge(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[Image, Image | None, Any]:
    """On the worker's side: mask, image and request."""
    rest, images = _read(parameters, arrays, ("mask", "image"))
    return _needed(images, "mask"), images["image"], _made(BridgeRequest, rest)


def read_straighten(
    parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[Image, Image, Image | None, Any]:
    """On the worker's side: image, mask, labels and request."""
    rest, images = _read(parameters, arrays, ("image", "mask", "labels"))
    return _needed(images, "image"), _needed(images, "mask"), images["labels"], _made(StraightenRequest, rest)


def read_restore(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[Image, RestoreRequest]:
    """On the worker's side: labels and request."""
    rest, images = _read(parameters, arrays, ("labels",))
    return _needed(images, "labels"), RestoreRequest(read_planes(rest["planes"]))


def read_planes(data: Any) -> Reformation:
    """The planes in JSON form; raises UsageError where it is something else."""
    try:
        return Reformation.from_json(data)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"The planes of the straightened volume are incomplete: {error}.") from error


def write_bridged(result: Bridged) -> Message:
    """On the worker's side: the answer of BRIDGE."""
    return {"summary": result.summary.to_json()}, {"labels": result.labels.array, "points": result.points}


def read_bridged(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], mask: Image) -> Bridged:
    """What :func:`write_bridged` wrote, on the grid of the mask that was sent."""
    labels = Image(arrays["labels"], mask.affine, mask.name, Kind.LABEL)
    return Bridged(labels, arrays["points"], BridgeSummary.from_json(parameters["summary"]))


def write_straightened(result: Straightened) -> Message:
    """On the worker's side: the answer of STRAIGHTEN."""
    parameters = {"summary": result.summary.to_json(), "planes": result.planes.to_json(), "name": result.image.name}
    return parameters, _arrays(image=result.image, labels=result.labels) | {"points": result.points}


def read_straightened(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Straightened:
    """What :func:`write_straightened` wrote."""
    planes = read_planes(parameters["planes"])
    image = Image(arrays["image"], planes.place, str(parameters["name"]))
    labels = Image(arrays["labels"], planes.place, image.name, Kind.LABEL) if "labels" in arrays else None
    return Straightened(image, labels, arrays["points"], planes, StraightenSummary.from_json(parameters["summary"]))


def write_restored(result: RestoredLabels) -> Message:
    """On the worker's side: the answer of RESTORE."""
    return {"summary": result.summary.to_json()}, {"labels": result.labels.array}


def read_restored(
    parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], planes: Reformation, name: str
) -> RestoredLabels:
    """What :func:`write_restored` wrote."""
    labels = Image(arrays["labels"], planes.affine, name, Kind.LABEL)
    return RestoredLabels(labels, RestoreSummary.from_json(parameters["summary"]))


def check_positive(name: str, value: float) -> None:
    """Raises UsageError for a length that is none."""
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name} must be above 0 mm; it is {value!r}.")


def check_same_grid(mask: Image, image: Image, what: str) -> None:
    """Raises GeometryError where two images have not the same voxels."""
    if mask.shape != image.shape or np.abs(mask.affine - image.affine).max() > 1e-3 * min(mask.spacing):
        raise GeometryError(
            f"{mask.name} and {image.name} have different grids. {what} on the image's own grid is needed."
        )


def _placed(name: str, image: Image | None) -> dict[str, Any]:
    return {} if image is None else {f"{name}_place": {"name": image.name, "affine": image.affine.tolist()}}


def _arrays(**images: Image | None) -> Arrays:
    return {name: image.array for name, image in images.items() if image is not None}


def _read(
    parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], names: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Image | None]]:
    rest, images = dict(parameters), dict[str, Image | None]()
    for name in names:
        place = rest.pop(f"{name}_place", None)
        kind = Kind.INTENSITY if name == "image" else Kind.LABEL
        given = place is not None and name in arrays
        images[name] = Image(arrays[name], np.asarray(place["affine"], float), place["name"], kind) if given else None
    return rest, images


def _needed(images: Mapping[str, Image | None], name: str) -> Image:
    image = images[name]
    if image is None:
        raise UsageError(f"The job has no {name}.")
    return image


def _made(kind: Any, parameters: Mapping[str, Any]) -> Any:
    try:
        return kind(**parameters)
    except TypeError as error:
        raise UsageError(f"The job has unknown parameters: {error}.") from error
