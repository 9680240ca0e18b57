"""Pairs made from label maps, or from shapes alone, whose contrasts have nothing in common.

Hoffmann et al. 2022, "SynthMorph: learning contrast-invariant registration without acquired images" (IEEE TMI 41). A
label map is deformed twice, and each copy is painted with grays of its own; the network sees the two images, the loss
their labels. Where there is no label map, one is made of smooth noise ("sm-shapes"): at each voxel the label is the
number of the noise image that is largest there. Deformation, painting and artefacts are those of the segmentation
trainer (:mod:`MedAILib.training.generator`), which differ from the paper's in detail; noise images here interpolate 3
to 8 points along each axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from ...geometry import Shape
from ..classes import ClassTable
from ..draw import Draw
from ..generator import Generator, GeneratorSettings
from ..maps import LabelMap
from .sample import TrainingPair

COARSEST, FINEST = 3, 8  # points along each axis of a shape's noise image
MARGIN = 1.25  # a map of shapes is so many times as large as the images that are cut from it


def table_of_codes(codes: Sequence[int]) -> ClassTable:
    """Each code but 0 is a class and a tissue of its own, without a mirror image."""
    present = np.array(sorted({0, *(int(code) for code in codes)}), np.int64)
    number = np.arange(len(present))
    nothing = np.zeros(len(present), bool)
    return ClassTable(
        codes=present,
        classes=tuple(int(code) for code in present),
        target=number,
        mirror=number,
        tissue=number,
        tissues=tuple(f"code {code}" for code in present),
        outside=nothing,
        fluid=nothing,
    )


def random_shapes(draw: Draw, shape: Shape, count: int) -> torch.Tensor:
    """uint8 (k, j, i) label map of ``count`` shapes, 0 to ``count`` − 1."""
    best = torch.full(tuple(shape), -torch.inf, device=draw.device)
    labels = torch.zeros(tuple(shape), dtype=torch.uint8, device=draw.device)
    for label in range(count):
        points = draw.integer(COARSEST, FINEST)
        noise = draw.field((1, 1, points, points, points))
        noise = functional.interpolate(noise, tuple(shape), mode="trilinear", align_corners=True)[0, 0]
        above = noise > best
        best[above], labels[above] = noise[above], label
    return labels


class ShapePairs:
    """Pairs of images of random shapes.

    Args:
        count: number of different shapes.
        settings: ranges of everything else random.
        device: where pairs are made.
    """

    def __init__(self, count: int, settings: GeneratorSettings, device: torch.device | str = "cpu") -> None:
        self.count, self.settings, self.device = count, settings, torch.device(device)
        self.table = table_of_codes(range(count))

    def sample(self, seed: Sequence[int], shape: Shape) -> TrainingPair:
        k, j, i = (round(n * MARGIN) for n in shape)
        labels = random_shapes(Draw((*seed, 7), self.device), (k, j, i), self.count)
        middle = ((k - 1) / 2, (j - 1) / 2, (i - 1) / 2)
        shapes = LabelMap("shapes", labels, self.settings.spacing, middle)
        generator = Generator([shapes], self.table, self.settings, self.device)
        return _pair(generator, generator, seed, shape)


class LabelMapPairs:
    """Pairs of images of label maps.

    Args:
        maps: to draw from.
        table: their codes.
        settings: ranges of everything random, without mirror images: only one image of a pair would be one.
        across: probability that the two images come from different maps.
        device: where pairs are made.
    """

    def __init__(
        self,
        maps: Sequence[LabelMap],
        table: ClassTable,
        settings: GeneratorSettings,
        across: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.across = across
        self.generators = [Generator([one], table, settings, device) for one in maps]

    def sample(self, seed: Sequence[int], shape: Shape) -> TrainingPair:
        draw = Draw((*seed, 7))
        count = len(self.generators)
        first = draw.integer(0, count - 1)
        second = (first + draw.integer(1, count - 1)) % count if count > 1 and draw.chance(self.across) else first
        return _pair(self.generators[first], self.generators[second], seed, shape)


def _pair(first: Generator, second: Generator, seed: Sequence[int], shape: Shape) -> TrainingPair:
    fixed, fixed_labels = first.sample((*seed, 0), shape)
    moving, moving_labels = second.sample((*seed, 1), shape)
    return TrainingPair(fixed, moving, fixed_labels, moving_labels)
