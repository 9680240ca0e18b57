"""The network that answers clicks as files: its card and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.task_card import TaskCard, card_facts, card_values, write_card

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parents[2] / "models" / "interactive" / "clicks"
"""Where the network lies that comes with MedAI."""
CARD_NAME = "clicks.json"


class ClicksCard(TaskCard):
    """A checked ``clicks.json``."""


def read_clicks_card(folder: str | Path) -> ClicksCard:
    """Read and check ``folder/clicks.json``; the weights are not looked at.

    Raises:
        ModelError: no card, not JSON, made for a newer MedAI, or a field is missing or wrong.
    """
    path = Path(folder) / CARD_NAME
    return ClicksCard(**card_facts(path, card_values(path, "Choose a folder with a network that answers clicks.")))


def write_network(network: nn.Module, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write card and weights; an older network in the folder is replaced.

    Weights are stored as float16: training multiplies them in bfloat16, which is coarser.

    Args:
        network: trained.
        folder: made if missing.
        card: at least ``name``, ``network`` and ``training`` with its ``steps``.

    Raises:
        WriteError: the folder cannot be written.
    """
    write_card(network.half(), folder / CARD_NAME, {"task": "clicks", **card})
    network.float()
    return folder
