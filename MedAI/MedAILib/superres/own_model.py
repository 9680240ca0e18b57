"""Models that users train on scans of their own, as nothing is shipped: where they lie, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from torch import nn

from ..errors import ModelError
from ..models.store import user_folder
from ..models.weights import build_network
from .warm_start import CARD_NAME, SuperresCard, read_superres_card

T = TypeVar("T", bound=nn.Module)


def read_own_model(kind: type[T], name: str, recipe: str, folder: Path | None = None) -> tuple[T, SuperresCard]:
    """A trained network in evaluation mode, and its card.

    Args:
        kind: of the network.
        name: of the model's folder in the user's model folder.
        recipe: that trains one.
        folder: of the model; None: the user's.

    Raises:
        ModelError: there is none, it is damaged, it was hardly trained, or it is of another kind.
    """
    folder = user_folder() / name if folder is None else folder
    how = (
        f"Train one (medai train {recipe} --data VOLUMES --output RUN), put its model folder there, or choose another "
        "method."
    )
    if not (folder / CARD_NAME).is_file():
        raise ModelError(f"{folder}: there is no trained {name} model. {how}")
    card = read_superres_card(folder)
    if not card.trained:
        raise ModelError(f"{card.path}: this model is not trained (trained: false) and gives no usable result. {how}")
    network = build_network(card)
    if not isinstance(network, kind):
        raise ModelError(f"{card.path}: the network {card.network!r} is of another method than {name}. {how}")
    return network, card
