"""Refuse a volume that shows far more than the model was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ContentError
from ..image import Image

if TYPE_CHECKING:
    from ..models import ModelCard


def longest_side(image: Image) -> float:
    """In mm."""
    return max(size * step for size, step in zip(image.shape, image.spacing, strict=True))


def is_too_large(image: Image, card: ModelCard) -> bool:
    """Whether a side of the image is longer than the card's ``largest_mm``."""
    return card.largest_mm is not None and longest_side(image) > card.largest_mm


def check_extent(image: Image, card: ModelCard) -> None:
    """A model of crops was never shown what lies around them, and takes minutes for a larger volume.

    Args:
        image: (k, j, i).
        card: the model's; its ``largest_mm`` is the longest side that it was made for, None for any.

    Raises:
        ContentError: a side is longer.
    """
    if is_too_large(image, card):
        raise ContentError(
            f"{image.name} is {longest_side(image):.0f} mm long; the model {card.name} is for a crop of at most "
            f"{card.largest_mm:g} mm around its structure ({card.anatomy}). Crop the volume first, in Slicer with the "
            "module Crop Volume. If you are sure, use --force in the shell or force=True in Python."
        )
