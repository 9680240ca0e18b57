"""A model from elsewhere on its way into a model folder of MedAI."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError, WriteError
from ..files.label_maps import made_up_label
from ..models.card import CARD_NAME, SCHEMA_VERSION
from ..models.weights import check_tensors, write_weights
from ..networks import build
from ..networks.scripted import Scripted
from ..spatial import STORED
from .reading import Tensors

WEIGHTS, CODE = "weights.safetensors", "network.ts"
_LIMIT = "MedAI has not measured it; what its authors say of it holds."
_MODALITIES = {
    "CT": ("ct", "cta", "cbct"),
    "MR": (
        "mr",
        "mri",
        "t1",
        "t1w",
        "t1ce",
        "t1c",
        "t1n",
        "t1gd",
        "t2",
        "t2w",
        "t2f",
        "flair",
        "adc",
        "dwi",
        "dce",
        "lge",
    ),
    "PT": ("pt", "pet", "suv"),
    "US": ("us", "ultrasound"),
    "XA": ("xa",),
}


@dataclass(frozen=True)
class ForeignModel:
    """A model that was understood.

    Attributes:
        source: its folder.
        card: fields of model.json, but for the weights and what is the same for all imports.
        tensors: weights by their names in the card's network.
        script: TorchScript file instead of the tensors.
    """

    source: Path
    card: Mapping[str, Any]
    tensors: Tensors | None = None
    script: Path | None = None

    def write(self, parent: Path) -> Path:
        """Write it as a model folder of MedAI into ``parent``.

        Raises:
            ModelError: the weights do not fit the network.
            WriteError: the folder cannot be written.
        """
        folder = parent / self.card["name"]
        try:
            folder.mkdir()
            whole = {
                "schema_version": SCHEMA_VERSION,
                "version": "imported",
                "task": "segmentation",
                "measured": [],
                "cleaning": False,
                "intended_use": "research only",
                "trained": True,
                **self.card,
                "limits": [*self.card.get("limits", ()), *self._axes(), _LIMIT, "Research only; not a medical device."],
                "weights": self._write_weights(folder),
            }
            (folder / CARD_NAME).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise WriteError(f"{folder}: the model cannot be written ({error.strerror or error}).") from error
        return folder

    def _axes(self) -> list[str]:
        stored = self.card["orientation"].startswith(STORED)
        return (
            ["It sees the axes as an image is stored: store images like those that it was trained on."]
            if stored
            else []
        )

    def _write_weights(self, folder: Path) -> dict[str, Any]:
        if self.script is not None:
            content = self.script.read_bytes()
            self._try(content)
            (folder / CODE).write_bytes(content)
            return {"file": CODE, "sha256": hashlib.sha256(content).hexdigest(), "code_allowed": True}
        assert self.tensors is not None
        wanted = self.card["network"]
        try:
            with torch.device("meta"):
                network = build(wanted["name"], wanted["arguments"])
            tensors = {
                name: value.float() if value.is_floating_point() else value for name, value in self.tensors.items()
            }
            check_tensors(network, tensors, self.source)
            network.load_state_dict(tensors, assign=True)
        except (ModelError, TypeError) as error:
            raise ModelError(
                f"{self.source}: its network is not the one that its description tells of. {error} "
                "A changed network cannot be imported."
            ) from error
        return {"file": WEIGHTS, "sha256": write_weights(network, folder / WEIGHTS)}

    def _try(self, content: bytes) -> None:
        """Run the script once, which was allowed: only its answer tells how many classes it has."""
        window, inputs, classes = (
            self.card["window"]["patch"],
            self.card["input_channels"],
            len(self.card["labels"]) + 1,
        )
        try:
            with torch.inference_mode():
                found = Scripted(content, **self.card["network"]["arguments"]).eval()(torch.zeros(1, inputs, *window))
            shape = tuple(found.shape)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"{self.script}: cannot be run on a window of {window} voxels ({reason}).") from error
        if shape != (1, classes, *window):
            raise ModelError(
                f"{self.script}: answers a window of {window} voxels with {shape}, where {(1, classes, *window)} was "
                "expected. Correct num_channels in configs/metadata.json, or roi_size in configs/inference.json."
            )


def model_name(given: str | None, made: str) -> str:
    """A name as cards may have it: small letters, digits, dots, dashes.

    Raises:
        ModelError: the given one is none.
    """
    if given is not None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", given):
            raise ModelError(f"--name is {given!r}; small letters, digits, dots and dashes are allowed, as in lung-ct.")
        return given
    return re.sub(r"[^a-z0-9]+", "-", made.lower()).strip("-") or "imported"


def modality_of(given: str | None, channels: Sequence[str], source: Path) -> list[str]:
    """DICOM codes of what the channels are called.

    Raises:
        ModelError: a name tells nothing, and none was given.
    """
    if given:
        return [given.upper()]
    found: list[str] = []
    for channel in channels:
        words = re.split(r"[^a-z0-9]+", channel.lower())
        codes = [code for code, names in _MODALITIES.items() if any(word in names for word in words)]
        if not codes:
            raise ModelError(
                f"{source}: does not say of what modality its images are (it calls them {', '.join(channels)!r}). "
                "Import it with --modality, e.g. --modality CT or --modality MR."
            )
        found += [code for code in codes if code not in found]
    return found


def input_names(names: Sequence[str], count: int) -> list[str]:
    """A different name for each input channel, from what they are called."""
    given = [*names, *[""] * count][:count]
    return [
        name if name and given.count(name) == 1 else f"{name or 'input'} {number}"
        for number, name in enumerate(given, start=1)
    ]


def anatomy_of(labels: Mapping[int, str], most: int = 4) -> str:
    """What a model is for, in a few words."""
    names = [labels[value] for value in sorted(labels)]
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"


def label_entries(names: Mapping[int, str]) -> list[dict[str, Any]]:
    """The card's labels for values from 1 on."""
    return [made_up_label(value, name).to_json() for value, name in sorted(names.items())]


def intensity_of(channels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One entry for the card from one per channel."""
    return dict(channels[0]) if len(channels) == 1 else {"method": "channels", "channels": list(channels)}


def permuted(tensors: Tensors, order: Sequence[int]) -> Tensors:
    """The weights of a network whose axis n is the stored axis ``order[n]``, for one that has the stored axes.

    A network that was trained on turned arrays is the same as one with turned kernels, so nothing else has to turn.
    """
    back = [list(order).index(axis) for axis in range(len(order))]
    dims = len(order)
    return {
        name: value.permute(0, 1, *(2 + axis for axis in back)).contiguous() if value.ndim == 2 + dims else value
        for name, value in tensors.items()
    }


def stored_axes(values: Sequence[Any], order: Sequence[int]) -> list[Any]:
    """Values of the network's axes in the order of the stored ones, see :func:`permuted`."""
    return [values[list(order).index(axis)] for axis in range(len(order))]
