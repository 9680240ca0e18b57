"""Synthetic training images from label maps.

Source: Billot et al. 2023, "SynthSeg: Segmentation of brain MRI scans of any contrast and resolution without
retraining", Medical Image Analysis 86. A label map is deformed, every tissue gets a random gray, and the artefacts of
a scanner are added; the network never sees a real image. What is done in its own way here: clean and ragged skull
strippings, partial volume by sub-voxel sampling instead of a finer grid, and the left-right flip in the same step as
the deformation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch.nn import functional

from ..geometry import Shape, Spacing
from .artefacts import ArtefactSettings, corrupt, cut_box
from .classes import ClassTable
from .contrast import ContrastSettings, draw_contrast
from .deform import DeformSettings, coordinates
from .draw import Draw
from .maps import LabelMap

# Corners of a regular tetrahedron: four samples per voxel see about the partial volume that a grid of half the spacing
# sees with eight.
CORNERS = ((-1.0, -1.0, -1.0), (-1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, -1.0))


@dataclass(frozen=True)
class GeneratorSettings:
    """What the generator does; see the parts.

    Attributes:
        spacing: of the images, mm.
        strip: probability of a skull stripping.
        strip_keeps_fluid: of these, share that keeps the fluid around the brain.
        strip_ragged: of these, share that leaves a ragged rim of other tissue.
        low, high: percentiles of the foreground that become 0 and 1 (see :mod:`MedAILib.pipeline.intensity`).
    """

    spacing: Spacing = (2.0, 2.0, 2.0)
    strip: float = 0.45
    strip_keeps_fluid: float = 0.25
    strip_ragged: float = 0.35
    low: float = 0.5
    high: float = 99.5
    deform: DeformSettings = field(default_factory=DeformSettings)
    contrast: ContrastSettings = field(default_factory=ContrastSettings)
    artefacts: ArtefactSettings = field(default_factory=ArtefactSettings)


def look_up(indices: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Nearest voxel of ``indices`` (k, j, i) at float voxel ``positions`` (3, …); outside, that of the border."""
    size = indices.shape
    flat = positions[0].round().clamp_(0, size[0] - 1).int()
    for axis in (1, 2):
        flat = flat.mul_(size[axis]).add_(positions[axis].round().clamp_(0, size[axis] - 1).int())
    return indices.view(-1).index_select(0, flat.view(-1)).view(positions.shape[1:])


def rescale(image: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """The torch twin of :func:`MedAILib.pipeline.intensity.prepare` for a (k, j, i) image."""
    values = image[image != 0]
    if values.numel() < 2:
        return torch.zeros_like(image)
    values = values[:: max(1, values.numel() // 20_000)]
    bottom, top = torch.quantile(values, torch.tensor([low / 100, high / 100], device=image.device))
    return ((image - bottom) / (top - bottom).clamp_min(1e-6)).clamp_(0.0, 1.0)


class Generator:
    """Makes (image, target) pairs.

    Args:
        maps: label maps to draw from.
        table: their codes.
        settings: ranges of everything random.
        device: where samples are made.
    """

    def __init__(
        self,
        maps: Sequence[LabelMap],
        table: ClassTable,
        settings: GeneratorSettings,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.maps = [m.to(self.device) for m in maps]
        self.table, self.settings = table, settings
        self._outside = torch.from_numpy(table.outside)
        self._fluid = torch.from_numpy(table.fluid)
        self._target = torch.from_numpy(table.target)
        self._mirror = torch.from_numpy(table.mirror)

    def sample(self, seed: Sequence[int], shape: Shape, coarseness: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """One synthetic image with its truth.

        Args:
            seed: numbers that decide everything about the sample.
            shape: of the patch.
            coarseness: voxels are so many times as large as the settings say.

        Returns:
            Image, float32 (k, j, i), 0 to 1, and target, uint8 (k, j, i), class numbers.
        """
        draw, settings = Draw(seed, self.device), self.settings
        chosen = self.maps[draw.integer(0, len(self.maps) - 1)]
        flip = draw.chance(settings.deform.flip)
        center, target_of = torch.tensor(chosen.center), self._target
        mm = torch.tensor(chosen.spacing)
        k, j, i = (size * coarseness for size in settings.spacing)
        spacing = (k, j, i)
        positions, linear = coordinates(draw, settings.deform, shape, spacing, center * mm, flip)
        positions /= mm.to(self.device)[:, None, None, None]
        means, deviations = draw_contrast(draw, settings.contrast, self.table)
        target_of = target_of[self._mirror] if flip else target_of
        stripped = draw.chance(settings.strip)
        ragged = stripped and draw.chance(settings.strip_ragged)
        if stripped and not ragged:
            gone = self._outside & ~self._fluid if draw.chance(settings.strip_keeps_fluid) else self._outside
            means, deviations, target_of = means.clone(), deviations.clone(), target_of.clone()
            means[gone], deviations[gone], target_of[gone] = 0.0, 0.0, 0
            means[0], deviations[0] = 0.0, 0.0
        quarter = torch.diag(1 / mm) @ linear @ torch.diag(torch.tensor(spacing) / 4)
        image = self._paint(draw, chosen.indices, positions, quarter, means, deviations)
        centers = look_up(chosen.indices, positions).int()
        target = target_of.to(torch.uint8).to(self.device).index_select(0, centers.view(-1)).view(*shape)
        if ragged:
            kept = self._ragged_mask(draw, centers)
            image, target = image * kept, target * kept
        image = corrupt(draw, image, settings.artefacts, spacing)
        if stripped and draw.chance(0.6):
            image = image * (target > 0)  # a stripped image is exactly 0 outside, whatever the scanner did before
        box = cut_box(draw, tuple(shape), settings.artefacts.cut)
        if box is not None:
            inner = torch.zeros_like(target)
            inner[box] = 1
            image, target = image * inner, target * inner
        image = rescale(image, settings.low, settings.high)
        gamma = 2.0 ** draw.normal(settings.artefacts.gamma)
        return image.pow_(gamma) if draw.chance(0.7) else image, target

    def _paint(
        self,
        draw: Draw,
        indices: torch.Tensor,
        positions: torch.Tensor,
        quarter: torch.Tensor,
        means: torch.Tensor,
        deviations: torch.Tensor,
    ) -> torch.Tensor:
        """Mean gray of four points in each voxel, plus the noise that is left of theirs."""
        image = torch.zeros(positions.shape[1:], device=self.device)
        noise = torch.zeros_like(image)
        means, deviations = means.to(self.device), deviations.to(self.device)
        for corner in CORNERS:
            offset = (quarter @ torch.tensor(corner)).to(self.device)
            seen = look_up(indices, positions + offset[:, None, None, None]).int().view(-1)
            image += means.index_select(0, seen).view(image.shape)
            noise += deviations.index_select(0, seen).view(image.shape)
        return (image + draw.field(image.shape) * noise.mul_(0.6)).mul_(0.25).clamp_min_(0.0)

    def _ragged_mask(self, draw: Draw, centers: torch.Tensor) -> torch.Tensor:
        """uint8 mask of a stripping that left some rim: a blurred brain mask against a smooth random threshold."""
        inside = (~self._outside).clone()
        inside[0] = False
        brain = inside.to(self.device).index_select(0, centers.view(-1)).view(centers.shape).float()
        near = functional.avg_pool3d(brain[None, None], 5, 1, 2)[0, 0]
        rough = draw.smooth_field(centers.shape, 12) * draw.uniform(0.0, 0.2)
        return ((near + rough > draw.uniform(0.02, 0.45)) | (brain > 0)).to(torch.uint8)
