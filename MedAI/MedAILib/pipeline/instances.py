"""From scores of a mask and its boundary to objects one by one: seeds, and a watershed from them (Li et al. 2021)."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..image import Image
from ..labels import Label
from ..models import ModelCard

MOST = 65535
"""Objects that a label map of 16 bits can hold."""


class Scored(nn.Module):
    """A network whose answer holds all that objects are found by.

    A network may have a method ``scores`` that gives, for an image (n, inputs, k, j, i), class logits and the logit of
    the boundary (n, classes + 1, k, j, i); the answer of one that has none is its class logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        if hasattr(network, "multiple"):
            self.multiple = network.multiple

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = getattr(self.network, "scores", self.network)
        found: torch.Tensor = scores(x)
        return found


@dataclass(frozen=True, eq=False)
class Objects:
    """What was told apart.

    Attributes:
        numbers: (k, j, i) uint16; the largest object is 1, 0 is none.
        table: one label for each object; if there is none, the card's label.
        confidence: name to mean probability of the mask in the object, 0 to 1.
        left_out: objects beyond :data:`MOST`.
    """

    numbers: np.ndarray
    table: tuple[Label, ...]
    confidence: dict[str, float]
    left_out: int = 0


def objects_of(scores: np.ndarray, region: Image, card: ModelCard) -> Objects:
    """The objects of a card's only label.

    Args:
        scores: (2 or 3, k, j, i) logits of background, object and, if there is a third, boundary.
        region: what they are of; its voxels may be of another size.
        card: with ``instances``.
    """
    mask, boundary = probabilities(scores)
    voxel_ml = math.prod(region.spacing) / 1000 * math.prod(region.shape) / mask.size
    found = find_instances(mask, boundary, voxel_ml, **(card.instances or {}))
    sizes = np.bincount(found.ravel())
    kept = min(len(sizes) - 1, MOST)
    numbers = np.where(found > kept, 0, found).astype(np.uint16)
    label = card.labels[0]
    table = tuple(_named(label, number) for number in range(1, kept + 1)) or (label,)
    means = np.bincount(numbers.ravel(), mask.ravel(), len(sizes))[1 : kept + 1] / sizes[1 : kept + 1]
    confidence = {each.name: float(mean) for each, mean in zip(table, means, strict=False)}
    return Objects(numbers, table, confidence, len(sizes) - 1 - kept)


def probabilities(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Probabilities (k, j, i), float32, of the mask and, if there are three logits, of the boundary."""
    mask = _sigmoid(scores[1].astype(np.float32) - scores[0].astype(np.float32))
    return mask, _sigmoid(scores[2].astype(np.float32)) if len(scores) > 2 else None


def find_instances(
    inside: np.ndarray,
    edge: np.ndarray | None,
    voxel_ml: float,
    threshold: float = 0.9,
    boundary: float = 0.8,
    mask: float = 0.5,
    seed_ml: float = 0.0,
    smallest_ml: float = 0.0,
) -> np.ndarray:
    """Objects by a marker-controlled watershed.

    A seed is a connected part of what is surely of the mask and not surely of the boundary: ``inside > T1`` and
    ``edge < T2``. The survey's text prints ``edge > T2``, which would put the seeds on the boundary; the published code
    has it as here. From its seeds each connected part of the mask is flooded, low boundary first, so that objects
    meet on the ridge between them.

    The text leaves open what is flooded and how far. Chosen here: the probability of the boundary (the published code
    floods the negative mask, which is flat where objects touch; it is taken where there is no boundary), within
    ``inside > mask``, which the published code has at 0.85, as its weighted loss makes masks too large; parts are
    connected by faces. Parts of the mask without a seed are no objects.

    Args:
        inside: probability of the mask (k, j, i), 0 to 1.
        edge: probability of the boundary (k, j, i), or None: seeds are then found by the mask alone.
        voxel_ml: volume of a voxel.
        threshold: T1.
        boundary: T2.
        mask: what belongs to objects is above this.
        seed_ml: smaller seeds are none.
        smallest_ml: smaller objects are left out.

    Returns:
        (k, j, i) int32, 0 outside; objects are numbered from the largest.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    parts, _ = ndimage.label(inside > mask)
    sure = (inside > threshold) & (parts > 0)
    if edge is not None:
        sure &= edge < boundary
    seeds, count = ndimage.label(sure)
    small = np.bincount(seeds.ravel(), minlength=count + 1) * voxel_ml < seed_ml
    seeds[small[seeds]] = 0
    found = np.zeros(parts.shape, np.int32)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        part, markers = parts[box] == number, np.where(parts[box] == number, seeds[box], 0)
        own = np.unique(markers[markers > 0])
        if len(own) > 1:
            height = -inside[box] if edge is None else edge[box]
            found[box] += watershed(height, markers, mask=part).astype(np.int32)
        elif len(own):
            found[box][part] = own[0]
    return _by_size(found, smallest_ml / voxel_ml)


def _by_size(numbers: np.ndarray, smallest: float) -> np.ndarray:
    """Objects of ``smallest`` voxels or more, numbered from the largest; of equals the one found first comes first."""
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")
    kept = order[(sizes[order] > 0) & (sizes[order] >= smallest)]
    renumbered = np.zeros(len(sizes), np.int32)
    renumbered[kept] = np.arange(1, len(kept) + 1)
    return renumbered[numbers]


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.reciprocal(1.0 + np.exp(-np.clip(logits, -80.0, 80.0)))


def _named(label: Label, number: int) -> Label:
    """The label of one object; neighbors in number differ in color (steps of the golden section around the circle)."""
    hue, saturation, value = colorsys.rgb_to_hsv(*label.color)
    color = colorsys.hsv_to_rgb((hue + 0.618034 * (number - 1)) % 1.0, max(saturation, 0.6), max(value, 0.7))
    return replace(label, value=number, name=f"{label.name} {number}", color=color)
