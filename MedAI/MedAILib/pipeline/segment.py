"""From an image to named structures on the image's own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_scalar_volume
from ..errors import UsageError
from ..image import Image, Kind
from ..inference.engine import EngineResult, WindowOptions, predict_labels
from ..inference.output import OutputMap
from ..models import ModelCard
from ..region import box_shape, box_start, foreground_box
from ..spatial import SLICES, crop, network_axes, network_spacing, rescale, restore_labels
from ..statistics import LabelStatistics, label_statistics
from ..summary import Segmentation, Summary, tested_on
from .cleaning import keep_largest, remove_crumbs
from .intensity import prepare
from .modality import check_modality
from .plausibility import warnings_of
from .request import Request
from .stages import Stages

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
    image: Image, network: torch.nn.Module, card: ModelCard, request: Request, device: str, stages: Stages
) -> Segmentation:
    """Segment one scalar volume.

    The volume is turned to the closest RAS axes, or its slices to the front for a network that sees slices (an oblique
    one stays oblique: the network's grid follows the image's own axes), cropped to what stands out from the background,
    brought to the model's spacing, and segmented; the engine interpolates its scores straight onto the image's voxels,
    so no label is ever resampled.

    Args:
        image: (k, j, i), any orientation and spacing.
        network: the card's, on any device; it is left on the one that ran it.
        card: the model's.
        request: what the user asked for.
        device: "auto" or a device name.
        stages: progress, with :data:`STAGES`.

    Returns:
        Labels (k, j, i) uint8 or uint16 with the card's label values on the image's grid, and the summary.

    Raises:
        GeometryError, ContentError, ModalityError, UsageError, DeviceError, OutOfMemory, Cancelled.
    """
    if card.input_channels != 1:
        raise UsageError(f"The model {card.name} needs {card.input_channels} volumes at once, one was given.")
    stages.begin("Checking the volume")
    checked, notes = check_scalar_volume(image, slice_allowed=card.orientation == SLICES)
    for code, message in notes:
        stages.warn(code, message)
    if not request.force:
        check_modality(checked, card, request.modality)

    stages.begin("Preparing the volume")
    upright = network_axes(checked, card.orientation)
    box = foreground_box(upright.array, upright.spacing)
    region = crop(upright, box_start(box), box_shape(box))
    coarse = rescale(region, network_spacing(region, card.orientation, card.spacing))
    volume = prepare(coarse.array, card.intensity)

    stages.begin("Finding structures")
    result = predict_labels(
        network,
        volume[np.newaxis],
        _options(card, request),
        device=device,
        output_shape=region.shape,
        output_map=grid_map(region, coarse),
        progress=stages.progress.update,
    )
    for code, message in result.notes:
        stages.warn(code, message)

    stages.begin("Cleaning up")
    found = restore_labels(_shown(result.labels, card, region), image)

    stages.begin("Measuring")
    volumes = tuple(label_statistics(found, checked, card.labels))
    confidence = _confidence(result, card, volumes)
    for warned in warnings_of(found, volumes, confidence, card):
        stages.warn(warned.code, warned.message)
    stages.end()
    return Segmentation(found, _summary(image, card, request, result, volumes, confidence, stages))


def grid_map(fine: Image, coarse: Image) -> OutputMap:
    """Per axis (k, j, i), (scale, offset) with coarse index = scale * fine index + offset, for parallel grids."""
    matrix = np.linalg.inv(coarse.affine) @ fine.affine
    i, j, k = ((float(matrix[axis, axis]), float(matrix[axis, 3])) for axis in range(3))
    return k, j, i


def fast_mode(card: ModelCard, request: Request) -> bool:
    """Whether the fast mode is used: as asked for, else as the card allows."""
    return card.fast_by_default if request.mode is None else request.mode == "fast"


def _options(card: ModelCard, request: Request) -> WindowOptions:
    fast = fast_mode(card, request)
    # Windows are not skipped: the volume is a close box around what stands out, so that none of them is empty.
    return WindowOptions(
        patch=card.patch,
        overlap=card.fast_overlap if fast else card.overlap,
        precision="auto" if fast else "float32",
        confidence=True,
    )


def _shown(classes: np.ndarray, card: ModelCard, region: Image) -> Image:
    """Class indices to label values: hidden classes dropped, stray parts and crumbs removed."""
    highest = max(label.value for label in card.classes)
    dtype = np.uint8 if highest < 256 else np.uint16
    shown = np.array([0, *(0 if label.value in card.hidden else label.value for label in card.classes)], dtype)
    kept = classes.copy()
    kept[shown[classes] == 0] = 0
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
    image: Image,
    card: ModelCard,
    request: Request,
    result: EngineResult,
    volumes: tuple[LabelStatistics, ...],
    confidence: dict[str, float],
    stages: Stages,
) -> Summary:
    return Summary(
        image=image.name,
        model=card.name,
        version=card.version,
        sha256=card.sha256,
        parameters={
            "mode": "fast" if fast_mode(card, request) else "exact",
            "modality": request.modality,
            "force": request.force,
        },
        device=result.device,
        precision=result.precision,
        table=card.labels,
        volumes=volumes,
        confidence=confidence,
        warnings=tuple(stages.warnings),
        timings=stages.seconds,
        tested_on=tested_on(card),
    )
