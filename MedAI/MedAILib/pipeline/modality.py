"""Refuse a volume of another modality than the model was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModalityError
from ..image import Image

if TYPE_CHECKING:
    from ..models import ModelCard

_AIR_HU = -500.0


def check_modality(image: Image, card: ModelCard, modality: str | None = None) -> None:
    """Compare what is known or visible of the volume's modality with the model's card.

    Args:
        image: finite scalar volume.
        card: the model's.
        modality: DICOM code from the file's metadata or the user, or None if unknown.

    Raises:
        ModalityError: the modality is known and is another one, or is unknown and the values are those of a CT in
            Hounsfield units (air at -500 or below over 1 % of the volume or more) while the model is not for CT.
    """
    wanted = "/".join(card.modality)
    advice = "Choose a model made for it. If you are sure, use --force in the shell or force=True in Python."
    if modality:
        if modality.upper() not in card.modality:
            raise ModalityError(f"{image.name}: is {modality.upper()}, the model {card.name} is for {wanted}. {advice}")
    elif "CT" not in card.modality and looks_like_ct(image.array):
        raise ModalityError(
            f"{image.name}: its values look like CT (air at {_AIR_HU:g} and below), "
            f"the model {card.name} is for {wanted}. {advice}"
        )


def looks_like_ct(array: np.ndarray) -> bool:
    """Whether air in Hounsfield units takes 1 % of the volume or more."""
    thin = array[tuple(slice(None, None, max(1, length // 64)) for length in array.shape)]
    return bool((thin <= _AIR_HU).mean() >= 0.01)
