"""A model of crops in a larger volume: another model finds the places, and this one segments a crop around each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ContentError, ModelError
from ..image import Image, Kind
from ..label_boxes import mask_box
from ..labels import Label
from ..models import ModelCard, find_model
from ..models.card import Places
from ..region import Box, box_shape, box_start, grown_box
from ..spatial import crop
from ..statistics import label_statistics
from . import structures
from .cleaning import keep_largest
from .extent import check_extent, is_too_large, longest_side
from .modality import check_modality
from .plausibility import warnings_of
from .request import Request
from .stages import LOADING, Stages, stages_within
from .structures import Structures, find_structures

if TYPE_CHECKING:
    import torch

_SHADE = 0.8
"""How much darker each further place is shown, as the right sides of the brain's structures are."""


def are_needed(image: Image, card: ModelCard) -> bool:
    """Whether the image is larger than the model was made for, and the card says where to look."""
    return card.places is not None and is_too_large(image, card)


def stages_of(card: ModelCard) -> dict[str, float]:
    """Stages of :func:`find_at_places`, with their measured shares of its time (hippocampi in a 1 mm head, CPU)."""
    assert card.places is not None
    finder = stages_within(card.places.model, {LOADING: 0.04, **structures.STAGES}, 0.71)
    share = 0.27 / len(card.places.labels)
    return finder | dict(
        chain.from_iterable(stages_within(name, structures.STAGES, share).items() for name in card.places.labels)
    )


def find_at_places(
    image: Image,
    together: Image,
    network: torch.nn.Module,
    card: ModelCard,
    request: Request,
    device: str,
    stages: Stages,
    load: Callable[[ModelCard], torch.nn.Module],
) -> Structures:
    """Find the places, crop around each, segment the crops, and put all into one label map.

    A place is the largest part of a label of the other model.

    Args:
        image, together, network, card, request, device: as in :func:`.structures.find_structures`.
        stages: progress, with :func:`stages_of`.
        load: gives the network of the model that finds the places.

    Returns:
        Labels on the image's own grid. With several places in the card, each has labels of its own: their names begin
        with the place's side ("left") or name, they have its modifier, and values beyond those of the place before.
        What does not hang together with a place is left out.

    Raises:
        ModelError: the model that finds the places is not there, cannot be used, or does not know them.
        ContentError: no place was found.
        ModalityError, and what :func:`.structures.find_structures` raises.
    """
    assert card.places is not None
    finder, wanted = _finder(card, card.places)
    if not request.force:
        check_modality(image, finder, request.modality)
        check_extent(image, finder)
    with stages.within(finder.name):
        stages.begin(LOADING)
        seen = find_structures(image, image, load(finder), finder, request, device, stages)
    masks = [_largest_part(seen.labels.array == label.value) for label in wanted]
    missing = [label for label, mask in zip(wanted, masks, strict=True) if not mask.any()]
    _tell_missing(image, missing, card, card.places, stages)
    _tell_doubts(image, seen, [pair for pair in zip(wanted, masks, strict=True) if pair[0] not in missing], stages)
    cards = _cards(card, wanted)
    found: list[tuple[Box, Structures]] = []
    for label, own, mask in zip(wanted, cards, masks, strict=True):
        tight = mask_box(mask)
        if tight is not None:
            box = grown_box(tight, card.places.margin_mm, image.spacing, image.shape)
            part, parts = (crop(each, box_start(box), box_shape(box)) for each in (image, together))
            with stages.within(label.name):
                one = find_structures(part, parts, network, own, request, device, stages)
            _drop_apart(one.labels.array, mask[box])
            found.append((box, one))
            if _is_cut(one.labels.array, box, image):
                stages.warn(
                    "place-cut",
                    f"What was found at the {label.name} reaches the border of the crop around it, so some may be "
                    "missing. Check its ends.",
                )
    first = found[0][1]
    return replace(
        first,
        labels=_pasted(image, found),
        table=tuple(chain.from_iterable(own.labels for own in cards)),
        confidence={name: value for _box, one in found for name, value in one.confidence.items()},
        card=_joined([one.card for _box, one in found]),
        finder=f"{finder.name} {finder.version} (SHA-256 {finder.sha256[:12]})",
    )


def _finder(card: ModelCard, places: Places) -> tuple[ModelCard, list[Label]]:
    """The card of the model that finds the places, and its labels that are the places."""
    advice = f"Get it, or crop the volume to at most {card.largest_mm:g} mm first."
    try:
        finder = find_model(places.model)
    except ModelError as error:
        raise ModelError(
            f"The model {card.name} needs the model {places.model} to find its places in a volume of this size. "
            f"{error} {advice}"
        ) from error
    known = {label.name: label for label in finder.labels}
    missing = [name for name in places.labels if name not in known]
    if missing or finder.input_channels != 1 or finder.instances is not None:
        reason = f"does not find {missing[0]}" if missing else "does not find structures by name in a single volume"
        raise ModelError(
            f"{card.path}: places name the model {finder.name} {finder.version}, which {reason}. Correct the card, or "
            f"crop the volume to at most {card.largest_mm:g} mm first."
        )
    return finder, [known[name] for name in places.labels]


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """A mask (k, j, i) without the crumbs elsewhere, which are not the place."""
    part = mask.astype(np.uint8)
    keep_largest(part)
    return part != 0


def _tell_missing(image: Image, missing: Sequence[Label], card: ModelCard, places: Places, stages: Stages) -> None:
    names = " and ".join(label.name for label in missing)
    if len(missing) == len(places.labels):
        raise ContentError(
            f"{image.name} is {longest_side(image):.0f} mm long, so that the model {places.model} has to find the "
            f"places for the model {card.name}, but it did not find {names}. Check that the volume shows them in the "
            f"right orientation, or crop it to at most {card.largest_mm:g} mm around one, in Slicer with the module "
            "Crop Volume."
        )
    if missing:
        stages.warn("place-missing", f"The model {places.model} did not find {names}: nothing was segmented there.")


def _tell_doubts(image: Image, seen: Structures, there: Sequence[tuple[Label, np.ndarray]], stages: Stages) -> None:
    """What the other model's card and network say against the places: wrong places give a result that looks right."""
    finder, table = seen.card, tuple(label for label, _mask in there)
    array = np.zeros(image.shape, np.uint16)
    for label, mask in there:
        array[mask] = label.value
    shown = image.with_array(array, kind=Kind.LABEL)
    names = {label.name for label in table}
    believable = {name: limits for name, limits in finder.plausible_ml.items() if name in names}
    sure = {name: value for name, value in seen.confidence.items() if name in names}
    own = replace(finder, classes=table, plausible_ml=believable, total_ml=None)
    for warned in warnings_of(shown, label_statistics(shown, image, table), sure, own):
        stages.warn(f"place-{warned.code}", f"{finder.name}, which finds the places, says: {warned.message}")


def _cards(card: ModelCard, wanted: Sequence[Label]) -> list[ModelCard]:
    """For each place the card with labels of its own; the card itself if there is only one."""
    if len(wanted) == 1:
        return [card]
    highest = max(label.value for label in card.classes)
    return [_at(card, place, number * highest, _SHADE**number) for number, place in enumerate(wanted)]


def _at(card: ModelCard, place: Label, beyond: int, shade: float) -> ModelCard:
    """The card with labels named after a place, with values that much higher and colors that much darker."""
    side = place.modifier.meaning.lower() if place.modifier else place.name
    names = {label.name: f"{side} {_inner(label.name)}" for label in card.classes}
    classes = tuple(
        replace(
            label,
            value=label.value + beyond,
            name=names[label.name],
            color=(label.color[0] * shade, label.color[1] * shade, label.color[2] * shade),
            modifier=place.modifier or label.modifier,
        )
        for label in card.classes
    )
    return replace(
        card,
        classes=classes,
        hidden=frozenset(value + beyond for value in card.hidden),
        plausible_ml={names[name]: limits for name, limits in card.plausible_ml.items()},
    )


def _inner(name: str) -> str:
    """A name behind another word: lower case, unless it is an abbreviation."""
    return name[:1].lower() + name[1:] if name[1:2].islower() else name


def _joined(cards: Sequence[ModelCard]) -> ModelCard:
    """What is believable at all the places together."""
    low, high = cards[0].total_ml or (0.0, 0.0)
    return replace(
        cards[0],
        classes=tuple(chain.from_iterable(card.classes for card in cards)),
        hidden=frozenset(chain.from_iterable(card.hidden for card in cards)),
        plausible_ml={name: limits for card in cards for name, limits in card.plausible_ml.items()},
        total_ml=(low * len(cards), high * len(cards)) if cards[0].total_ml else None,
    )


def _drop_apart(labels: np.ndarray, place: np.ndarray) -> None:
    """Clear, in place, parts (26 neighbors) of what was found that have no voxel at the place: a model of crops takes
    what comes in sight at a crop's border for its structure.

    Args:
        labels: of the crop, (k, j, i).
        place: (k, j, i) bool, where the other model found the place.
    """
    from scipy import ndimage

    parts, _count = ndimage.label(labels, structure=np.ones((3, 3, 3), bool))
    labels[~np.isin(parts, parts[place])] = 0


def _pasted(image: Image, found: Sequence[tuple[Box, Structures]]) -> Image:
    """The crops' labels on the whole grid; where two places claim a voxel, it stays with the first."""
    array = np.zeros(image.shape, np.result_type(*(one.labels.array for _box, one in found)))
    for box, one in found:
        free = array[box] == 0
        array[box][free] = one.labels.array[free]
    return image.with_array(array, kind=Kind.LABEL)


def _is_cut(labels: np.ndarray, box: Box, image: Image) -> bool:
    """Whether labels (k, j, i) of a crop reach a border that is not the image's own."""
    return any(
        (side.start > 0 and labels.take(0, axis).any()) or (side.stop < size and labels.take(-1, axis).any())
        for axis, (side, size) in enumerate(zip(box, image.shape, strict=True))
    )
