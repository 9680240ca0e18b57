"""The network that comes with MedAI, from which training on a scan may start: its card and its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError, WriteError
from ..models.weights import build_network, write_weights
from ..networks.thick_slice import ThickSliceNetwork

FOLDER = Path(__file__).parent.parent / "models" / "superres" / "thick-slices"
CARD_NAME = "superres.json"
WEIGHTS = "weights.safetensors"
SCHEMA_VERSION = 1
FEWEST_STEPS = 100


@dataclass(frozen=True)
class SuperresCard:
    """A checked ``superres.json``.

    Attributes:
        folder: where it lies.
        name: of the recipe.
        network, network_arguments: for :func:`MedAILib.networks.build`.
        weights_file, sha256: the weights and their checksum.
        trained: False for weights that only test the machinery.
        training: data, command, steps, seconds; for people, and for provenance.
    """

    folder: Path
    name: str
    network: str
    network_arguments: Mapping[str, Any]
    weights_file: str
    sha256: str
    trained: bool
    training: Mapping[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / CARD_NAME


def read_superres_card(folder: str | Path) -> SuperresCard:
    """Read and check ``folder/superres.json``; the weights are not looked at.

    Raises:
        ModelError: no card, not JSON, made for a newer MedAI, or a field is missing or wrong.
    """
    path = Path(folder) / CARD_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema_version"] > SCHEMA_VERSION:
            raise ModelError(f"{path}: was made by a newer MedAI. Update MedAI.")
        return SuperresCard(
            folder=Path(folder),
            name=str(data["name"]),
            network=str(data["network"]["name"]),
            network_arguments=dict(data["network"]["arguments"]),
            weights_file=str(data["weights"]["file"]),
            sha256=str(data["weights"]["sha256"]),
            trained=bool(data["trained"]) and int(data["training"]["steps"]) >= FEWEST_STEPS,
            training=dict(data["training"]),
        )
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}). Get the network again.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: a field is missing or wrong ({error}). Get the network again.") from error


def write_network(network: ThickSliceNetwork, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write card and weights; an older network in the folder is replaced.

    Weights are stored as float16: training multiplies them in bfloat16, which is coarser.

    Args:
        network: trained.
        folder: made if missing.
        card: at least ``name``, ``network`` and ``training`` with its ``steps``.

    Raises:
        WriteError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sha256 = write_weights(network.half(), folder / WEIGHTS)
        network.float()
        whole = {
            "schema_version": SCHEMA_VERSION,
            "task": "superres",
            **card,
            "weights": {"file": WEIGHTS, "sha256": sha256},
            "intended_use": "research only",
            "trained": int(card["training"]["steps"]) >= FEWEST_STEPS,
        }
        (folder / CARD_NAME).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{folder}: the network cannot be written ({error.strerror}).") from error
    return folder


def shipped_network(folder: Path = FOLDER) -> ThickSliceNetwork | None:
    """The network to start from, float32 and ready to be trained; None where this installation lacks it.

    Raises:
        ModelError: it is there and damaged.
    """
    if not (folder / CARD_NAME).is_file():
        return None
    card = read_superres_card(folder)
    network = build_network(card)
    if not isinstance(network, ThickSliceNetwork):
        raise ModelError(f"{card.path}: the network {card.network!r} does not work on thick slices.")
    return network.float().train().requires_grad_(True)
