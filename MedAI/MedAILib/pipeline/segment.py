"""From an image to named structures on the image's own grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..image import Image
from ..models import ModelCard, load_network
from ..statistics import LabelStatistics, label_statistics
from ..summary import Segmentation, Summary, tested_on
from . import places, structures
from .extent import check_extent
from .modality import check_modality
from .plausibility import warnings_of
from .request import Request
from .stages import Stages
from .structures import Structures, fast_mode, find_structures
from .volumes import Volumes, stacked

if TYPE_CHECKING:
    import torch

    Load = Callable[[ModelCard], torch.nn.Module]

_CHECKING, _MEASURING = "Checking the volume", "Measuring"
STAGES = {_CHECKING: 0.01, **{name: 0.85 * share for name, share in structures.STAGES.items()}, _MEASURING: 0.14}
"""Stages after the model is loaded, with their measured shares of the time (1 mm head, CPU)."""


def stages_of(given: Volumes, card: ModelCard) -> dict[str, float]:
    """:data:`STAGES`, or those of a run in which another model finds the places."""
    if not places.are_needed(given.first, card):
        return STAGES
    return {_CHECKING: 0.01, **places.stages_of(card), _MEASURING: 0.02}


def segment(
    given: Image | Volumes,
    network: torch.nn.Module,
    card: ModelCard,
    request: Request,
    device: str,
    stages: Stages,
    load: Load = load_network,
) -> Segmentation:
    """Segment one volume.

    The volume is turned to the closest RAS axes, or its slices to the front for a network that sees slices (an oblique
    one stays oblique: the network's grid follows the image's own axes), cropped to what stands out from the background,
    brought to the model's spacing, and segmented; the engine interpolates its scores straight onto the image's voxels,
    so no label is ever resampled. If the card has ``instances``, the result's labels are the objects, one by one. If it
    has ``places`` and the volume is larger than the model was made for, only crops around them are segmented.

    Args:
        given: one image (k, j, i), any orientation and spacing; or the several that the model sees.
        network: the card's, on any device; it is left on the one that ran it.
        card: the model's.
        request: what the user asked for.
        device: "auto" or a device name.
        stages: progress, with :func:`stages_of`.
        load: gives the network of the model that finds the places.

    Returns:
        Labels (k, j, i) uint8 or uint16 with the card's label values, those of each place, or the objects' numbers, on
        the image's grid, and the summary.

    Raises:
        GeometryError, ContentError, ModalityError, ModelError, UsageError, DeviceError, OutOfMemory, Cancelled.
    """
    several = given if isinstance(given, Volumes) else Volumes(given, input=request.input)
    stages.begin(_CHECKING)
    checked, together, notes = stacked(several, card, bool(getattr(network, "subsets", False)))
    for code, message in notes:
        stages.warn(code, message)
    if not request.force:
        check_modality(checked, card, request.modality)
    if places.are_needed(checked, card):
        found = places.find_at_places(checked, together, network, card, request, device, stages, load)
    else:
        if not request.force:
            check_extent(checked, card)
        found = find_structures(checked, together, network, card, request, device, stages)

    stages.begin(_MEASURING)
    volumes = tuple(label_statistics(found.labels, checked, found.table))
    there = {row.name for row in volumes if row.voxels}
    confidence = {name: value for name, value in found.confidence.items() if name in there}
    for warned in warnings_of(found.labels, volumes, confidence, found.card):
        stages.warn(warned.code, warned.message)
    stages.end()
    return Segmentation(found.labels, _summary(several, card, request, found, volumes, confidence, stages))


def _summary(
    given: Volumes,
    card: ModelCard,
    request: Request,
    found: Structures,
    volumes: tuple[LabelStatistics, ...],
    confidence: dict[str, float],
    stages: Stages,
) -> Summary:
    return Summary(
        image=given.first.name,
        model=card.name,
        version=card.version,
        sha256=card.sha256,
        parameters={
            "mode": "fast" if fast_mode(card, request) else "exact",
            "modality": request.modality,
            "force": request.force,
            **({"inputs": [other.name for other in given.others.values()]} if given.others else {}),
        },
        device=found.device,
        precision=found.precision,
        table=found.table,
        volumes=volumes,
        confidence=confidence,
        warnings=tuple(stages.warnings),
        timings=stages.seconds,
        tested_on=tested_on(card),
        finder=found.finder,
    )
