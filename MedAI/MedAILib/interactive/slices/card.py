"""A network that answers slice by slice, as files: its card and its weights, which users bring."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import WriteError
from ...models.task_card import FEWEST_STEPS, SCHEMA_VERSION, WEIGHTS, TaskCard, card_facts, card_values, wrong_field
from ...models.weights import write_weights

if TYPE_CHECKING:
    from torch import nn

CARD_NAME = "slices.json"
SIDE = 256
"""Pixels along each side of what PE-MED sees, where its card does not say."""


@dataclass(frozen=True)
class SliceCard(TaskCard):
    """A checked ``slices.json``.

    Attributes:
        window: (lowest, highest) intensity that the network tells apart, e.g. Hounsfield units; None: each volume's
            own percentiles.
        side: pixels along each side of what PE-MED sees; the other networks have their own.
    """

    window: tuple[float, float] | None = None
    side: int = SIDE


def read_slice_card(folder: str | Path) -> SliceCard:
    """Read and check ``folder/slices.json``; the weights are not looked at.

    Who trained a network elsewhere need not say how many steps it took: ``trained`` is enough.

    Raises:
        ModelError: no card, not JSON, made for a newer MedAI, or a field is missing or wrong.
    """
    path = Path(folder) / CARD_NAME
    data = card_values(path, "Choose the folder of a network that answers slices.")
    try:
        training = {"steps": FEWEST_STEPS, **data.get("training", {})}
        window, side = data.get("window"), int(data.get("side", SIDE))
        if window is not None:
            low, high = (float(value) for value in window)
            if not low < high:
                raise ValueError("window must be two ascending numbers")
            window = (low, high)
        if side < 32 or side % 32:
            raise ValueError("side must be a multiple of 32")
    except (AttributeError, TypeError, ValueError) as error:
        raise wrong_field(path, error) from error
    return SliceCard(**card_facts(path, {**data, "training": training}), window=window, side=side)


def write_slice_network(network: nn.Module, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write weights and card; older ones in the folder are replaced.

    Args:
        network: with the weights.
        folder: made if missing.
        card: at least ``name``, ``network`` (its name and arguments) and ``trained``.

    Raises:
        WriteError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sha256 = write_weights(network, folder / WEIGHTS)
        facts = {"schema_version": SCHEMA_VERSION, "task": "slices", "training": {}, **card}
        whole = {**facts, "weights": {"file": WEIGHTS, "sha256": sha256}, "intended_use": "research only"}
        (folder / CARD_NAME).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{folder}: the network cannot be written ({error.strerror}).") from error
    return folder
