"""From an image to named structures on the image's own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..image import Image, Kind
from ..inference.engine import EngineResult, WindowOptions, predict_labels
from ..labels import Label
from ..models import ModelCard
from ..spatial import restore_labels
from ..statistics import LabelStatistics, label_statistics
from ..summary import Segmentation, Summary, tested_on
from .cleaning import keep_largest, remove_crumbs
from .extent import check_extent
from .instances import Scored, objects_of
from .modality import check_modality
from .plausibility import warnings_of
from .preparation import prepared
from .request import Request
from .stages import Stages
from .volumes import Volumes, stacked

if TYPE_CHECKING:
    import torch

STAGES = {
    "Checking the volume": 0.01,
    "Preparing the volume": 0.11,
    "Finding structures": 0.68,
    "Cleaning up": 0.05,
    "Measuring": 0.13,
}
"""Stages after the model is loaded, with their measured shares of the time (1 mm head, CPU)."""


def segment(
    given: Image | Volumes, network: torch.nn.Module, card: ModelCard, request: Request, device: str, stages: Stages
) -> Segmentation:
    """Segment one volume.

    The volume is turned to the closest RAS axes, or its slices to the front for a network that sees slices (an oblique
    one stays oblique: the network's grid follows the image's own axes), cropped to what stands out from the background,
    brought to the model's spacing, and segmented; the engine interpolates its scores straight onto the image's voxels,
    so no label is ever resampled. If the card has ``instances``, the result's labels are the objects, one by one.

    Args:
        given: one image (k, j, i), any orientation and spacing; or the several that the model sees.
        network: the card's, on any device; it is left on the one that ran it.
        card: the model's.
        request: what the user asked for.
        device: "auto" or a device name.
        stages: progress, with :data:`STAGES`.

    Returns:
        Labels (k, j, i) uint8 or uint16 with the card's label values, or the objects' numbers, on the image's grid,
        and the summary.

    Raises:
        GeometryError, ContentError, ModalityError, UsageError, DeviceError, OutOfMemory, Cancelled.
    """
    several = given if isinstance(given, Volumes) else Volumes(given, input=request.input)
    stages.begin("Checking the volume")
    checked, together, notes = stacked(several, card, bool(getattr(network, "subsets", False)))
    for code, message in notes:
        stages.warn(code, message)
    if not request.force:
        check_modality(checked, card, request.modality)
        check_extent(checked, card)

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
    objects = None if result.scores is None else objects_of(result.scores, seen.region, card)
    if objects is None:
        shown, table = _shown(seen.on_region(result.labels), card, seen.region), card.labels
    else:
        shown, table = seen.region.with_array(seen.on_region(objects.numbers), kind=Kind.LABEL), objects.table
        if objects.left_out:
            stages.warn("too-many", f"Only the largest {len(table)} objects are shown; there are more.")
    found = restore_labels(shown, checked)

    stages.begin("Measuring")
    volumes = tuple(label_statistics(found, checked, table))
    confidence = _confidence(result, card, volumes) if objects is None else objects.confidence
    for warned in warnings_of(found, volumes, confidence, card):
        stages.warn(warned.code, warned.message)
    stages.end()
    return Segmentation(found, _summary(several, card, request, result, table, volumes, confidence, stages))


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


def _confidence(result: EngineResult, card: ModelCard, volumes: tuple[LabelStatistics, ...]) -> dict[str, float]:
    if result.confidence is None:
        return {}
    found = {row.name for row in volumes if row.voxels}
    pairs = zip(card.classes, result.confidence[1:], strict=True)
    return {label.name: float(value) for label, value in pairs if label.name in found and np.isfinite(value)}


def _summary(
    given: Volumes,
    card: ModelCard,
    request: Request,
    result: EngineResult,
    table: tuple[Label, ...],
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
        device=result.device,
        precision=result.precision,
        table=table,
        volumes=volumes,
        confidence=confidence,
        warnings=tuple(stages.warnings),
        timings=stages.seconds,
        tested_on=tested_on(card),
    )
