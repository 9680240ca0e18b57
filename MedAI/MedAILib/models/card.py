"""A model's card: everything about it except the weights, read from ``model.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..geometry import Shape, Spacing
from ..labels import Label
from .json_object import read_object
from .schema import problems

CARD_NAME = "model.json"
SCHEMA_VERSION = 1
_LARGEST_CARD = 4 << 20


@dataclass(frozen=True)
class Measured:
    """One figure and the command that makes it again."""

    dataset: str
    metric: str
    value: float
    command: str

    def __str__(self) -> str:
        return f"{self.metric} {self.value:g} on {self.dataset}"


@dataclass(frozen=True)
class Preparation:
    """How an image is brought to the network's grid; the defaults are MedAI's own way.

    Attributes:
        crop: to the "object" that stands out, to what is not exactly 0 ("nonzero"), to what is above 0 when all is
            prepared ("positive"), or "none".
        resampling: "smooth", "nnunet" or "corner", see :mod:`MedAILib.pipeline.network_grid`.
        intensity_first: intensities are prepared before resampling.
    """

    crop: str = "object"
    resampling: str = "smooth"
    intensity_first: bool = False


@dataclass(frozen=True)
class Places:
    """Where a model of crops looks in a larger volume, see :mod:`MedAILib.pipeline.places`.

    Attributes:
        model: name of the model that finds the places.
        labels: its structures that are the places; with several, the result tells them apart.
        margin_mm: how far a crop reaches beyond what that model found, on each side.
    """

    model: str
    labels: tuple[str, ...]
    margin_mm: float

    def __str__(self) -> str:
        return f"{self.model} finds {' and '.join(self.labels)} first, with {self.margin_mm:g} mm around"


@dataclass(frozen=True)
class ModelCard:
    """A checked ``model.json``.

    Attributes:
        folder: where the model lies.
        name, title, version, task, anatomy, license: as in the file.
        modality: DICOM modality codes it was made for.
        input_channels: channels of the network's input.
        inputs: what each of them is called, e.g. "T1".
        spacing, orientation: the network's grid, (k, j, i) mm, and what :func:`MedAILib.spatial.network_axes` needs.
        intensity: what :func:`MedAILib.pipeline.intensity.prepare` needs.
        preparation: how an image comes to the network's grid.
        network: its name in ``MedAILib.networks`` and its arguments.
        classes: the network's outputs 1, 2, ... in order (output 0 is background).
        hidden: values of the classes that the result does not show.
        patch, overlap: sliding window on the network's grid, (k, j, i).
        weighting: how much the voxels of a window count, see :data:`MedAILib.inference.options.WEIGHTINGS`.
        cleaning: parts away from the largest one, and crumbs, are removed from a result.
        fast_overlap, fast_by_default: the fast mode, see the engine.
        plausible_ml: structure name to (lowest, highest) believable volume in ml.
        total_ml: the same for all shown structures together, or None.
        largest_mm: longest side of a volume that the model was made for, or None for any.
        places: where it looks in a larger one; None: a larger one is refused.
        instances: how the objects of the one label are told apart, see
            :func:`MedAILib.pipeline.instances.find_instances`; None: they are not.
        weights_file, sha256: the weights and their checksum.
        code_allowed: the weights are TorchScript, which is code, and whoever imported them allowed it.
        measured, limits, citations, training: for people, and for provenance.
        trained: False for weights that only test the machinery.
    """

    folder: Path
    name: str
    title: str
    version: str
    task: str
    anatomy: str
    license: str
    description: str
    modality: tuple[str, ...]
    input_channels: int
    inputs: tuple[str, ...]
    spacing: Spacing
    orientation: str
    intensity: Mapping[str, Any]
    network: str
    network_arguments: Mapping[str, Any]
    classes: tuple[Label, ...]
    hidden: frozenset[int]
    patch: Shape
    overlap: float
    fast_overlap: float
    fast_by_default: bool
    plausible_ml: Mapping[str, tuple[float, float]]
    total_ml: tuple[float, float] | None
    largest_mm: float | None
    weights_file: str
    sha256: str
    training: Mapping[str, Any]
    trained: bool
    measured: tuple[Measured, ...] = ()
    limits: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    instances: Mapping[str, float] | None = None
    places: Places | None = None
    preparation: Preparation = Preparation()
    weighting: str = "gaussian"
    cleaning: bool = True
    code_allowed: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The structures that the result shows."""
        return tuple(label for label in self.classes if label.value not in self.hidden)

    @property
    def path(self) -> Path:
        return self.folder / CARD_NAME

    def text(self) -> str:
        """The card for people: a few lines of plain text."""
        lines = [
            f"{self.title} ({self.name} {self.version})",
            *([self.description] if self.description else []),
            f"For: {'/'.join(self.modality)}, {self.anatomy}. Intended use: {self.raw['intended_use']}.",
            f"Structures ({len(self.labels)}): {', '.join(label.name for label in self.labels)}.",
            *([f"In a volume of more than {self.largest_mm:g} mm {self.places}."] if self.places else []),
            f"Works at {' x '.join(f'{s:g}' for s in self.spacing)} mm (k, j, i). License: {self.license}.",
            *(["Its weights hold code (TorchScript), which was allowed when it was imported."] * self.code_allowed),
            "Measured:" if self.measured else "Measured: nothing yet.",
            *(f"  {figure}" for figure in self.measured),
            "Limits:",
            *(f"  {limit}" for limit in self.limits),
            *(["Cite:"] if self.citations else []),
            *(f"  {citation}" for citation in self.citations),
            f"Weights SHA-256: {self.sha256}",
        ]
        return "\n".join(lines)


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The shipped JSON schema of ``model.json``."""
    return json.loads((Path(__file__).parent / "model.schema.json").read_text(encoding="utf-8"))


def read_card(folder: str | Path) -> ModelCard:
    """Read and check ``folder/model.json``; the weights are not looked at.

    Raises:
        ModelError: no card, not JSON, made for a newer MedAI, or fields that do not fit; the message names file
            and field.
    """
    folder = Path(folder)
    path = folder / CARD_NAME
    data = _load(path)
    version = data.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ModelError(
            f"{path}: the card has schema version {version}, this MedAI knows up to {SCHEMA_VERSION}. Update MedAI."
        )
    found = problems(data, schema()) or _contradictions(data)
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise ModelError(f"{path}: {'; '.join(found[:3])}{more}. Correct the card or get the model again.")
    return _card(folder, data)


def _load(path: Path) -> dict[str, Any]:
    with suppress(OSError):  # the reading tells it
        if path.is_symlink():
            raise ModelError(f"{path}: is a symbolic link; a model folder holds its own files only.")
    missing = f"{path.parent}: holds no {CARD_NAME}, so it is not a model folder."
    return read_object(path, "the model's card", _LARGEST_CARD, missing)


def _contradictions(data: Mapping[str, Any]) -> list[str]:
    """What a schema cannot say: uniqueness, references by name, ordered ranges."""
    labels = data["labels"]
    names, values = [label["name"] for label in labels], [label["value"] for label in labels]
    found = []
    axes = data["orientation"]
    if axes.isupper() and len({letter for pair in ("RL", "AP", "SI") for letter in axes if letter in pair}) != 3:
        found.append(f"orientation: {axes} does not name each of R/L, A/P and S/I once")
    for what, seen in (("value", values), ("name", names)):
        twice = sorted({item for item in seen if seen.count(item) > 1})
        if twice:
            found.append(f"labels: the {what} {twice[0]!r} is used twice")
    inputs = data.get("inputs", [])
    if inputs and (len(inputs) != data["input_channels"] or len(set(inputs)) != len(inputs)):
        found.append(f"inputs: must name each of the {data['input_channels']} input channels once")
    if not any(label.get("output", True) for label in labels):
        found.append("labels: every one has output false, so a result would always be empty")
    if "instances" in data and len(names) > 1:
        found.append("instances: objects of several labels cannot be told apart; give one label")
    ranges = dict(data.get("plausible_volumes_ml", {}))
    if "instances" in data and ranges:
        found.append("plausible_volumes_ml: objects have no names of their own; give total_ml")
    if "places" in data and "largest_mm" not in data:
        found.append("places: give largest_mm, the longest side of a volume that needs none")
    if "places" in data and "instances" in data:
        found.append("places: objects one by one cannot be looked for in places")
    found += [f"plausible_volumes_ml.{name}: no label has this name" for name in ranges if name not in names]
    if "total_ml" in data:
        ranges["total_ml"] = data["total_ml"]
    if "channels" in data["intensity"] and len(data["intensity"]["channels"]) != data["input_channels"]:
        found.append(f"intensity.channels: must have one entry for each of the {data['input_channels']} input channels")
    found += [
        f"{name}: the range {low:g} to {high:g} ml is upside down" for name, (low, high) in ranges.items() if low > high
    ]
    return found


def _three(values: list[Any]) -> tuple[Any, Any, Any]:
    return values[0], values[1], values[2]


def _range(values: list[float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _places(values: Mapping[str, Any]) -> Places:
    return Places(values["model"], tuple(values["labels"]), float(values["margin_mm"]))


def _card(folder: Path, data: dict[str, Any]) -> ModelCard:
    window, fast = data["window"], data.get("fast", {})
    return ModelCard(
        folder=folder,
        **{
            key: data[key]
            for key in ("name", "title", "version", "task", "anatomy", "license", "trained", "training", "orientation")
        },
        description=data.get("description", ""),
        modality=tuple(data["modality"]),
        input_channels=data["input_channels"],
        inputs=tuple(data.get("inputs") or (f"input {n}" for n in range(1, data["input_channels"] + 1))),
        spacing=_three([float(value) for value in data["spacing"]]),
        intensity=data["intensity"],
        network=data["network"]["name"],
        network_arguments=data["network"]["arguments"],
        classes=tuple(Label.from_json(label) for label in data["labels"]),
        hidden=frozenset(label["value"] for label in data["labels"] if not label.get("output", True)),
        patch=_three(window["patch"]),
        overlap=float(window["overlap"]),
        fast_overlap=float(fast.get("overlap", window["overlap"])),
        fast_by_default=fast.get("default", False),
        plausible_ml={name: _range(limits) for name, limits in data.get("plausible_volumes_ml", {}).items()},
        total_ml=_range(data["total_ml"]) if "total_ml" in data else None,
        largest_mm=data.get("largest_mm"),
        weights_file=data["weights"]["file"],
        sha256=data["weights"]["sha256"],
        measured=tuple(
            Measured(item["dataset"], item["metric"], float(item["value"]), item["command"])
            for item in data["measured"]
        ),
        limits=tuple(data["limits"]),
        citations=tuple(data.get("citations", ())),
        instances=data.get("instances"),
        places=_places(data["places"]) if "places" in data else None,
        preparation=Preparation(**data.get("preparation", {})),
        weighting=window.get("weighting", "gaussian"),
        cleaning=data.get("cleaning", True),
        code_allowed=data["weights"].get("code_allowed", False),
        raw=data,
    )
