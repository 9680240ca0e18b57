"""From an image to what a network sees of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..geometry import Shape, Spacing
from ..image import Image
from ..inference.output import OutputMap
from ..models.card import Preparation
from ..region import Box, box_shape, box_start, foreground_box
from ..spatial import crop, network_axes, network_spacing
from .intensity import is_missing, prepare
from .network_grid import GRIDS, NetworkGrid


class GridCard(Protocol):
    """What is said of a network's grid, by a model's card or the plan of a training."""

    @property
    def orientation(self) -> str: ...
    @property
    def spacing(self) -> Spacing: ...
    @property
    def intensity(self) -> Mapping[str, Any]: ...
    @property
    def preparation(self) -> Preparation: ...


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the network sees.

    Attributes:
        region: the part of the image that is looked at, turned as the network wants it.
        grid: the same on the network's grid, intensities prepared.
        volume: (c, k, j, i) float32, the array of ``grid``.
    """

    region: Image
    grid: NetworkGrid

    @property
    def volume(self) -> np.ndarray:
        array = self.grid.image.array
        return array if array.ndim == 4 else array[np.newaxis]

    def output(self) -> tuple[Shape, OutputMap]:
        """Output grid and map for the engine."""
        return self.grid.output(self.region)

    def on_region(self, labels: np.ndarray) -> np.ndarray:
        """The engine's labels on the grid of ``region``."""
        return self.grid.on_region(labels, self.region)


def prepared(image: Image, card: GridCard) -> Prepared:
    """Turn, crop and rescale an image, and prepare its intensities, in the order that the card names.

    Args:
        image: (k, j, i) or (c, k, j, i), checked.
        card: of the model, or a plan; see :class:`~MedAILib.models.card.Preparation`.
    """
    how = card.preparation
    upright = network_axes(image, card.orientation)
    region = _cropped(upright, _BOXES[how.crop](upright))
    spacing = network_spacing(region, card.orientation, card.spacing)
    if how.intensity_first:
        grid = GRIDS[how.resampling](_with_intensity(region, card), spacing)
    else:
        grid = GRIDS[how.resampling](region, spacing)
        grid = replace(grid, image=_with_intensity(grid.image, card))
    if how.crop == "positive":
        grid = replace(grid, image=_cropped(grid.image, _box_of(_any_channel(grid.image.array > 0))))
    return Prepared(region, grid)


def _with_intensity(image: Image, card: GridCard) -> Image:
    spec = card.intensity
    mask = None
    if card.preparation.crop == "nonzero" and _looks_at_foreground(spec):
        from scipy import ndimage

        mask = ndimage.binary_fill_holes(_nonzero(image.array))
    return image.with_array(prepare(image.array, spec, mask))


def _looks_at_foreground(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("foreground")) or any(_looks_at_foreground(each) for each in spec.get("channels", ()))


def _seen_channel(array: np.ndarray) -> np.ndarray:
    """The first channel that is there and shows something: a color may be the same everywhere."""
    if array.ndim == 3:
        return array
    there = [channel for channel in array if not is_missing(channel)]
    return next((channel for channel in there if channel.min() < channel.max()), there[0])


def _whole(image: Image) -> Box:
    k, j, i = image.shape
    return slice(0, k), slice(0, j), slice(0, i)


def _any_channel(mask: np.ndarray) -> np.ndarray:
    return np.asarray(mask.any(axis=0)) if mask.ndim == 4 else mask


def _nonzero(array: np.ndarray) -> np.ndarray:
    """(k, j, i) bool: something that is there is not 0."""
    if array.ndim == 3:
        return array != 0
    return np.any([channel != 0 for channel in array if not is_missing(channel)], axis=0)


def _box_of(mask: np.ndarray) -> Box:
    """The box of what is True; everything if nothing is."""
    sides = []
    for axis in range(3):
        where = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, mask.shape[axis]))
    return sides[0], sides[1], sides[2]


def _cropped(image: Image, box: Box) -> Image:
    return crop(image, box_start(box), box_shape(box))


_BOXES = {
    "object": lambda image: foreground_box(_seen_channel(image.array), image.spacing),
    "nonzero": lambda image: _box_of(_nonzero(image.array)),
    "positive": _whole,
    "none": _whole,
}
"""What a card's ``preparation.crop`` may name; "positive" crops on the network's grid, when all is prepared."""
