"""From a checked image to labels on its grid, by one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..image import Image, Kind
from ..inference.engine import EngineResult, WindowOptions, predict_labels
from ..labels import Label
from ..models import ModelCard
from ..spatial import restore_labels
from .cleaning import keep_largest, remove_crumbs
from .instances import Scored, objects_of
from .preparation import prepared
from .request import Request
from .stages import Stages

if TYPE_CHECKING:
    import torch

STAGES = {"Preparing the volume": 0.13, "Finding structures": 0.81, "Cleaning up": 0.06}
"""Stages of :func:`find_structures`, with their measured shares of its time (1 mm head, CPU)."""


@dataclass(frozen=True, eq=False)
class Structures:
    """What was found in an image.

    Attributes:
        labels: (k, j, i) uint8 or uint16, values of the table, on the image's own grid.
        table: what could have been found.
        confidence: name to the network's mean probability (0 to 1) inside it; those not found may be missing.
        device, precision: where and how it was computed.
        card: what volumes are believable.
        finder: the model that found the places, in words for people; empty if none did.
    """

    labels: Image
    table: tuple[Label, ...]
    confidence: Mapping[str, float]
    device: str
    precision: str
    card: ModelCard
    finder: str = ""


def find_structures(
    image: Image,
    together: Image,
    network: torch.nn.Module,
    card: ModelCard,
    request: Request,
    device: str,
    stages: Stages,
) -> Structures:
    """Prepare, predict, clean up.

    Args:
        image: (k, j, i), checked.
        together: what the network's input is made from, on the same grid, see :func:`.volumes.stacked`.
        network: the card's, on any device; it is left on the one that ran it.
        card: the model's.
        request: what the user asked for.
        device: "auto" or a device name.
        stages: progress, with :data:`STAGES`.

    Raises:
        GeometryError, ContentError, UsageError, DeviceError, OutOfMemory, Cancelled.
    """
    stages.begin("Preparing the volume")
    seen = prepared(together, card)
    output_shape, output_map = seen.output()

    stages.begin("Finding structures")
    result = predict_labels(
        network if card.instances is None else Scored(network),
        seen.volume,
        _options(card, request),
        device=device,
        output_shape=output_shape,
        output_map=output_map,
        progress=stages.progress.update,
    )
    for code, message in result.notes:
        stages.warn(code, message)

    stages.begin("Cleaning up")
    if result.scores is None:
        shown, table = _shown(seen.on_region(result.labels), card, seen.region), card.labels
        confidence = _confidence(result, card)
    else:
        objects = objects_of(result.scores, seen.region, card)
        shown, table = seen.region.with_array(seen.on_region(objects.numbers), kind=Kind.LABEL), objects.table
        confidence = objects.confidence
        if objects.left_out:
            stages.warn("too-many", f"Only the largest {len(table)} objects are shown; there are more.")
    found = restore_labels(shown, image)
    stages.end()
    return Structures(found, table, confidence, result.device, result.precision, card)


def fast_mode(card: ModelCard, request: Request) -> bool:
    """Whether the fast mode is used: as asked for, else as the card allows."""
    return card.fast_by_default if request.mode is None else request.mode == "fast"


def _options(card: ModelCard, request: Request) -> WindowOptions:
    fast = fast_mode(card, request)
    # Windows are not skipped: the volume is a close box around what stands out, so that none of them is empty.
    return WindowOptions(
        patch=card.patch,
        overlap=card.fast_overlap if fast else card.overlap,
        weighting=card.weighting,
        precision="auto" if fast else "float32",
        confidence=True,
        scores=card.instances is not None,
    )


def _shown(classes: np.ndarray, card: ModelCard, region: Image) -> Image:
    """Class indices to label values: hidden classes dropped, stray parts and crumbs removed if the card wants it."""
    highest = max(label.value for label in card.classes)
    dtype = np.uint8 if highest < 256 else np.uint16
    shown = np.array([0, *(0 if label.value in card.hidden else label.value for label in card.classes)], dtype)
    kept = classes.copy()
    kept[shown[classes] == 0] = 0
    if card.cleaning:
        keep_largest(kept)
        remove_crumbs(kept)
    return region.with_array(shown[kept], kind=Kind.LABEL)


def _confidence(result: EngineResult, card: ModelCard) -> dict[str, float]:
    if result.confidence is None:
        return {}
    pairs = zip(card.classes, result.confidence[1:], strict=True)
    return {label.name: float(value) for label, value in pairs if np.isfinite(value)}
