"""The network that comes with MedAI, from which training on a scan may start: its card and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..models.task_card import TaskCard, card_facts, card_values, write_card
from ..models.weights import build_network
from ..networks.thick_slice import ThickSliceNetwork

FOLDER = Path(__file__).parent.parent / "models" / "superres" / "thick-slices"
CARD_NAME = "superres.json"


class SuperresCard(TaskCard):
    """A checked ``superres.json``."""


def read_superres_card(folder: str | Path) -> SuperresCard:
    """Read and check ``folder/superres.json``; the weights are not looked at.

    Raises:
        ModelError: no card, not JSON, made for a newer MedAI, or a field is missing or wrong.
    """
    path = Path(folder) / CARD_NAME
    return SuperresCard(**card_facts(path, card_values(path, "Get the network again.")))


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
    write_card(network.half(), folder / CARD_NAME, {"task": "superres", **card})
    network.float()
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
