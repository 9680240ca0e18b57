"""Warnings drawn from a result: is this a brain at all, and can these volumes be believed?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..geometry import axis_codes
from ..image import Image
from ..labels import LEFT, RIGHT, Code, Label
from ..spatial import sees_slices
from ..statistics import LabelStatistics
from ..worker.events import Warned

if TYPE_CHECKING:
    from ..models import ModelCard

_LOW_CONFIDENCE = 0.6
_CUT_MM2 = 100.0
_UNEVEN = 2.0
_UNEVEN_FROM_ML = 0.3
_SIDES = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "upper", "I": "lower"}
_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}


def warnings_of(
    labels: Image, volumes: Sequence[LabelStatistics], confidence: Mapping[str, float], card: ModelCard
) -> list[Warned]:
    """All reasons to doubt a result, the gravest first.

    Args:
        labels: the result on the image's own grid.
        volumes: of all structures that the model can show.
        confidence: structure name to mean probability.
        card: with the believable volumes.
    """
    if not any(row.voxels for row in volumes):
        text = f"No {card.anatomy} was found: the result is empty. Check that the volume shows one."
        return [Warned("nothing-found", text)]
    return [
        *_total(volumes, card),
        *_ranges(volumes, card),
        *_doubtful(confidence),
        *_cut(labels),
        *_uneven(volumes, card.labels),
        *_thick(labels, card),
    ]


def _total(volumes: Sequence[LabelStatistics], card: ModelCard) -> Iterator[Warned]:
    total = sum(row.volume_ml for row in volumes)
    if card.total_ml and not card.total_ml[0] <= total <= card.total_ml[1]:
        yield Warned(
            "implausible-total",
            f"The {card.anatomy} found has {total:.0f} ml, believable are {card.total_ml[0]:g} to "
            f"{card.total_ml[1]:g} ml. The volume may not show a whole {card.anatomy}, its spacing may be wrong, "
            "or the segmentation failed.",
        )


def _ranges(volumes: Sequence[LabelStatistics], card: ModelCard) -> Iterator[Warned]:
    found = {row.name: row.volume_ml for row in volumes}
    outside = [
        f"{name} {found.get(name, 0.0):.1f} ml ({low:g} to {high:g})"
        for name, (low, high) in card.plausible_ml.items()
        if not low <= found.get(name, 0.0) <= high
    ]
    if outside:
        yield Warned(
            "implausible-volumes", f"Outside the believable range: {_listed(outside)}. Check these structures."
        )


def _doubtful(confidence: Mapping[str, float]) -> Iterator[Warned]:
    low = [f"{name} ({value:.2f})" for name, value in confidence.items() if value < _LOW_CONFIDENCE]
    if low:
        yield Warned("low-confidence", f"The network is unsure of: {_listed(low)}. Check these structures.")


def _cut(labels: Image) -> Iterator[Warned]:
    """Sides of the image on which foreground stands right at the border."""
    codes = axis_codes(labels.affine)
    k_size, j_size, i_size = labels.spacing
    faces = {2: k_size * j_size, 1: k_size * i_size, 0: j_size * i_size}
    cut = []
    for axis, code in ((2, codes[0]), (1, codes[1]), (0, codes[2])):
        for last, side in ((False, _OPPOSITE[code]), (True, code)):
            face = labels.array.take(-1 if last else 0, axis=axis)
            if np.count_nonzero(face) * faces[axis] > _CUT_MM2:
                cut.append(_SIDES[side])
    if cut:
        yield Warned(
            "cut-off",
            f"The result reaches the {_listed(cut)} border of the image; what lies beyond is missing from the volumes.",
        )


def _uneven(volumes: Sequence[LabelStatistics], table: Sequence[Label]) -> Iterator[Warned]:
    found = {row.value: row.volume_ml for row in volumes}
    pairs = [pair for kind in dict.fromkeys(label.type for label in table) for pair in _sides(kind, table)]
    uneven = []
    for one, other in pairs:
        small, large = sorted((found.get(one.value, 0.0), found.get(other.value, 0.0)))
        if large >= _UNEVEN_FROM_ML and large > _UNEVEN * small:
            volume = f"{found.get(one.value, 0.0):.1f} and {found.get(other.value, 0.0):.1f} ml"
            uneven.append(f"{one.name} and {other.name} ({volume})")
    if uneven:
        yield Warned(
            "uneven-sides",
            f"Left and right differ more than {_UNEVEN:g} to 1: {_listed(uneven)}. Check these structures.",
        )


def _sides(kind: Code, table: Sequence[Label]) -> Iterator[tuple[Label, Label]]:
    """Left and right of a type; parts of a structure may be of one type, and come in the same order on both sides."""
    left, right = (
        [label for label in table if label.type == kind and label.modifier == side] for side in (LEFT, RIGHT)
    )
    return zip(left, right, strict=False)


def _thick(labels: Image, card: ModelCard) -> Iterator[Warned]:
    thickest, limit = max(labels.spacing), 2.0 * max(card.spacing)
    if thickest > limit and not sees_slices(card.orientation):
        yield Warned(
            "thick-slices",
            f"The slices are {thickest:.1f} mm apart; above {limit:g} mm small structures are less reliable.",
        )


def _listed(items: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown
