"""Several volumes of one patient become one image with a channel for each input of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..checks import Warnings, check_scalar_volume
from ..errors import ContentError, UsageError
from ..image import Image
from ..models import ModelCard
from ..spatial import resample, sees_slices

_LITTLE = 0.5
"""Below this share of the first volume's voxels that another volume covers, the user hears of it."""


@dataclass(frozen=True, eq=False)
class Volumes:
    """What a model is to see.

    Attributes:
        first: whose grid the result has; for a picture in colors, with a channel for each.
        others: further volumes by the names of the model's inputs, anywhere in the same space.
        input: the input that the first one is; None for the first input that the others leave.
    """

    first: Image
    others: Mapping[str, Image] = field(default_factory=dict)
    input: str | None = None


def stacked(volumes: Volumes, card: ModelCard, subsets: bool) -> tuple[Image, Image, Warnings]:
    """Check all volumes, and bring them onto the grid of the first one.

    Args:
        volumes: as the user gave them.
        card: of the model.
        subsets: the model can do without some of its inputs.

    Returns:
        The first volume, repaired where needed, (k, j, i); what the network's input is made from: the same for a model
        with one input, else (c, k, j, i) float32, a missing input NaN everywhere; warnings as (code, sentence) pairs.

    Raises:
        UsageError: an input that the model does not have or needs, or two volumes for one.
        ContentError: two volumes do not overlap; and what :func:`check_scalar_volume` raises.
    """
    first = volumes.first
    slices = sees_slices(card.orientation)
    if first.array.ndim == 4 and len(first.array) == card.input_channels > 1 and not volumes.others:
        return _colors(first, slices)
    mine = _check_inputs(volumes, card, subsets)
    checked, warnings = check_scalar_volume(first, slice_allowed=slices)
    if card.input_channels == 1:
        return checked, checked, warnings
    array = np.full((card.input_channels, *first.shape), np.nan, np.float32)
    array[card.inputs.index(mine)] = checked.array
    for name, other in volumes.others.items():
        repaired, more = check_scalar_volume(other, slice_allowed=slices)
        channel, seen = _on_grid(repaired, checked)
        array[card.inputs.index(name)] = channel
        warnings = (*warnings, *more, *_covered(seen, other, first))
    return checked, checked.with_array(array), warnings


def _colors(picture: Image, slices: bool) -> tuple[Image, Image, Warnings]:
    """A picture in colors; one of them may be the same everywhere, as in a stain without blue."""
    found, warnings = list[np.ndarray](), Warnings()
    for number, channel in enumerate(picture.array, start=1):
        one = Image(channel, picture.affine, f"{picture.name}, channel {number}")
        checked, more = check_scalar_volume(one, slice_allowed=slices, constant_allowed=True)
        found.append(checked.array)
        warnings = (*warnings, *more)
    shown = [array for array in found if array.min() < array.max()]
    if not shown:
        raise ContentError(f"{picture.name} is constant: it has one color everywhere. Choose an image with content.")
    return picture.with_array(shown[0]), picture.with_array(np.stack(found).astype(np.float32)), warnings


def _check_inputs(volumes: Volumes, card: ModelCard, subsets: bool) -> str:
    """The name of the input that the first volume is."""
    given = list(volumes.others)
    if card.input_channels == 1 and (given or volumes.input not in (None, *card.inputs)):
        raise UsageError(f"The model {card.name} sees one volume; give no other one.")
    known = ", ".join(card.inputs)
    for name in [*given, *([volumes.input] if volumes.input is not None else [])]:
        if name not in card.inputs:
            raise UsageError(f"The model {card.name} has no input {name!r}; its inputs are {known}.")
    left = [name for name in card.inputs if name not in given]
    mine = volumes.input if volumes.input is not None else (left[0] if left else "")
    if mine not in left:
        raise UsageError(f"The model {card.name} was given two volumes for {mine or card.inputs[0]}; give one.")
    missing = [name for name in left if name != mine]
    if missing and not subsets:
        raise UsageError(
            f"The model {card.name} sees {card.input_channels} volumes of a patient at once ({known}); "
            f"{_listed(missing)} missing."
        )
    return mine


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _on_grid(image: Image, like: Image) -> tuple[np.ndarray, float]:
    """The image on another one's grid, lowest value around it, and the share of that grid that it covers."""
    moved = resample(image, like.shape, like.affine, fill=np.nan).array.astype(np.float32)
    outside = np.isnan(moved)
    if outside.all():
        raise ContentError(
            f"{image.name} and {like.name} do not overlap anywhere. Check that they are of one patient and one visit, "
            "and that no transform was lost."
        )
    moved[outside] = float(image.array.min())
    return moved, 1.0 - float(outside.mean())


def _covered(share: float, other: Image, first: Image) -> Warnings:
    if share >= _LITTLE:
        return ()
    return (("coverage", f"{other.name} covers only {100 * share:.0f} % of {first.name}."),)
