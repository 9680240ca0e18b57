"""Cards of the networks that register, sharpen or answer prompts: a JSON file beside the weights. No torch needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, WriteError
from .weights import write_weights

if TYPE_CHECKING:
    import torch

WEIGHTS = "weights.safetensors"
SCHEMA_VERSION = 1
FEWEST_STEPS = 100
"""A network of fewer training steps is not used."""


@dataclass(frozen=True)
class TaskCard:
    """A checked card.

    Attributes:
        path: of the card's file.
        name: of the recipe.
        network, network_arguments: for :func:`MedAILib.networks.build`.
        weights_file, sha256: the weights and their checksum.
        trained: False for weights that only test the machinery.
        training: data, command, steps, seconds; for people, and for provenance.
    """

    path: Path
    name: str
    network: str
    network_arguments: Mapping[str, Any]
    weights_file: str
    sha256: str
    trained: bool
    training: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return self.path.parent


def card_values(path: Path, advice: str) -> Any:
    """A card's parsed JSON.

    Args:
        path: of the file.
        advice: what to do where there is none.

    Raises:
        ModelError: it is missing, or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}). {advice}") from error
    except ValueError as error:
        raise wrong_field(path, error) from error


def card_facts(path: Path, data: Any) -> dict[str, Any]:
    """Arguments of :class:`TaskCard` from a card's parsed JSON.

    Raises:
        ModelError: it was made for a newer MedAI, or a field is missing or wrong.
    """
    try:
        if data["schema_version"] > SCHEMA_VERSION:
            raise ModelError(f"{path}: was made by a newer MedAI. Update MedAI.")
        return {
            "path": path,
            "name": str(data["name"]),
            "network": str(data["network"]["name"]),
            "network_arguments": dict(data["network"]["arguments"]),
            "weights_file": str(data["weights"]["file"]),
            "sha256": str(data["weights"]["sha256"]),
            "trained": bool(data["trained"]) and int(data["training"]["steps"]) >= FEWEST_STEPS,
            "training": dict(data["training"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise wrong_field(path, error) from error


def wrong_field(path: Path, error: Exception) -> ModelError:
    """What is said of a card that cannot be understood."""
    return ModelError(f"{path}: a field is missing or wrong ({error}). Get the network again.")


def write_card(network: torch.nn.Module, path: Path, card: Mapping[str, Any], what: str = "network") -> Path:
    """Write weights and card; older ones in the folder are replaced.

    Args:
        network: trained, or not: see ``card``.
        path: of the card's file; its folder is made if missing.
        card: at least ``task``, ``name``, ``network`` and ``training`` with its ``steps``.
        what: is written, for the message.

    Returns:
        The folder.

    Raises:
        WriteError: the folder cannot be written.
    """
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sha256 = write_weights(network, folder / WEIGHTS)
        whole = {
            "schema_version": SCHEMA_VERSION,
            **card,
            "weights": {"file": WEIGHTS, "sha256": sha256},
            "intended_use": "research only",
            "trained": int(card["training"]["steps"]) >= FEWEST_STEPS,
        }
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{folder}: the {what} cannot be written ({error.strerror}).") from error
    return folder
