"""An image and an object to be found in it.

Label maps are painted in random contrast (:mod:`MedAILib.training.generator`); scans are deformed as they are, and some
get another brightness for each structure. The object is a structure, several, a part of one, or a shape that was drawn
into the image: level sets of smooth noise, which are blobs, shells (one narrow band) or tubes (where two cross).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from ...geometry import Shape, Spacing
from ..artefacts import blur, corrupt, cut_box
from ..deform import coordinates
from ..draw import Draw
from ..generator import Generator, GeneratorSettings, look_up
from ..maps import LabelMap
from ..registration.synthetic import table_of_codes
from .config import TargetSettings
from .subjects import Structure, Subject, split_kinds

_FEWEST, _LARGEST = 60, 0.95
"""Voxels that an object has at least, and the share of the region that it fills at most."""
_TRIALS = 8
_STRONG = 0.3
"""Painted shapes differ from what they hide by up to this share of the image's range, up or down, and a little more."""


@dataclass(frozen=True)
class Sample:
    """One object.

    Attributes:
        image: (k, j, i) float32, any scale.
        target: (k, j, i) bool.
        spacing: mm, (k, j, i).
    """

    image: torch.Tensor
    target: torch.Tensor
    spacing: Spacing


class Samples:
    """Draws samples.

    Args:
        subjects: to draw from.
        targets: which objects.
        generator: deformation (its shift is not used), contrast and artefacts.
        device: where samples are made.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        targets: TargetSettings,
        generator: GeneratorSettings,
        device: torch.device | str = "cpu",
    ) -> None:
        self.scans, self.maps = split_kinds(subjects)
        self.targets, self.device = targets, torch.device(device)
        self.settings = replace(generator, strip=0.0, deform=replace(generator.deform, translation=0.0))
        self._tables = {id(one): table_of_codes(range(int(one.labels.max()) + 1)) for one in self.maps}

    def draw(self, seed: Sequence[int], side: int) -> Sample:
        """A sample that follows from the seed, in a region of ``side`` voxels along each axis."""
        trial = 0
        while True:
            sample = self._try((*seed, trial), (side, side, side))
            trial += 1
            if _FEWEST <= int(sample.target.sum()) <= _LARGEST * side**3 or trial == _TRIALS:
                return sample

    def _try(self, seed: Sequence[int], shape: Shape) -> Sample:
        draw, targets = Draw(seed, self.device), self.targets
        real = bool(self.scans) and (not self.maps or draw.chance(targets.real))
        subjects = self.scans if real else self.maps
        subject = subjects[draw.index([len(one.structures) ** 0.5 for one in subjects])]
        # By their mean diameter: specks are not what users click on most.
        structure = subject.structures[draw.index([part.volume ** (1 / 3) for part in subject.structures])]
        low, high = np.log(targets.side)
        size = structure.extent * float(np.exp(draw.uniform(float(low), float(high)))) / shape[0]
        size = float(np.clip(size, max(targets.spacing[0], 0.5 * min(subject.spacing)), targets.spacing[1]))
        if draw.chance(targets.centered):
            middle = structure.middle
        else:
            k, j, i = structure.voxels[draw.integer(0, len(structure.voxels) - 1)].tolist()
            middle = (float(k), float(j), float(i))
        spacing = (size, size, size)
        shift = draw.vector(3, -0.12, 0.12) * size * shape[0] / torch.tensor(subject.spacing)
        middle = tuple((torch.tensor(middle) + shift).tolist())
        make = self._scan if real else self._map
        image, numbers = make(draw, subject, (middle[0], middle[1], middle[2]), shape, spacing)
        if draw.chance(targets.extreme):
            image = image + _extreme(draw, numbers)
        if draw.chance(targets.painted):
            image, target = _painted(draw, image)
        else:
            target = self._object(draw, numbers, structure)
        return Sample(image, target, spacing)

    def _settings(self, shape: Shape, spacing: Spacing) -> GeneratorSettings:
        """The deformation is as strong for small objects, in voxels, as for large ones."""
        deform = self.settings.deform
        scale = spacing[0] * shape[0] / 100.0
        return replace(self.settings, spacing=spacing, deform=replace(deform, elastic=deform.elastic * scale))

    def _map(
        self, draw: Draw, subject: Subject, middle: tuple[float, float, float], shape: Shape, spacing: Spacing
    ) -> tuple[torch.Tensor, torch.Tensor]:
        one = LabelMap(subject.name, subject.labels, subject.spacing, middle)
        generator = Generator([one], self._tables[id(subject)], self._settings(shape, spacing), self.device)
        return generator.sample((draw.integer(0, 2**31), 11), shape)

    def _scan(
        self, draw: Draw, subject: Subject, middle: tuple[float, float, float], shape: Shape, spacing: Spacing
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert subject.image is not None
        settings = self._settings(shape, spacing)
        mm = torch.tensor(subject.spacing)
        flip = draw.chance(settings.deform.flip)
        positions, _ = coordinates(draw, settings.deform, shape, spacing, torch.tensor(middle) * mm, flip)
        positions /= mm.to(self.device)[:, None, None, None]
        image = sampled(subject.image.to(self.device), positions)
        numbers = look_up(subject.labels.to(self.device), positions)
        beyond = torch.isnan(image)
        image = image.nan_to_num(float(subject.image.min()))
        low, high = torch.quantile(image.reshape(-1)[::7], torch.tensor([0.01, 0.99], device=self.device))
        image = (image - low) / (high - low).clamp_min(1e-6)
        if draw.chance(self.targets.recolored):
            offsets = draw.normals(256) * draw.uniform(0.02, 0.3)
            image = image + blur(offsets.to(self.device)[numbers.long()], 0.7)
        if draw.chance(0.5):
            mild = replace(settings.artefacts, bias=0.5 * settings.artefacts.bias, noise=0.6 * settings.artefacts.noise)
            image = corrupt(draw, image, mild, spacing)
        if draw.chance(0.3):
            image = image.clamp(0.0, 1.5) ** (2.0 ** draw.normal(settings.artefacts.gamma))
        if draw.chance(0.15):
            image = -image
        image[beyond] = torch.nan
        box = cut_box(draw, shape, settings.artefacts.cut)
        if box is not None:
            beyond = torch.ones_like(beyond)
            beyond[box] = False
            image[beyond] = torch.nan
        numbers[torch.isnan(image)] = 0
        return image, numbers

    def _object(self, draw: Draw, numbers: torch.Tensor, structure: Structure) -> torch.Tensor:
        chosen = [structure.number]
        if draw.chance(self.targets.union):
            present = torch.bincount(numbers.reshape(-1).int(), minlength=2)[1:].nonzero()[:, 0] + 1
            chosen += [
                int(present[draw.integer(0, len(present) - 1)]) for _ in range(draw.integer(1, 3)) if len(present)
            ]
        target = torch.isin(numbers, torch.tensor(chosen, dtype=numbers.dtype, device=numbers.device))
        if draw.chance(self.targets.cut):
            target &= half_space(draw, target)
        return target


def sampled(image: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Linear interpolation of (k, j, i) at voxel positions (3, …); NaN beyond the image."""
    shape = torch.tensor(image.shape, device=image.device)
    scale = (2.0 / (shape - 1).clamp_min(1)).to(positions.dtype)
    # grid_sample wants (i, j, k) from −1 to 1.
    grid = (positions.movedim(0, -1) * scale - 1.0).flip(-1)[None]
    values = functional.grid_sample(image[None, None], grid, padding_mode="border", align_corners=True)[0, 0]
    last = (shape - 0.5)[:, None, None, None]
    values[((positions < -0.5) | (positions > last)).any(0)] = torch.nan
    return values


def half_space(draw: Draw, target: torch.Tensor) -> torch.Tensor:
    """(k, j, i) bool: one side of a plane in a random direction through a voxel of the target."""
    voxels = target.nonzero()
    if len(voxels) == 0:
        return target
    through = voxels[draw.integer(0, len(voxels) - 1)].float()
    normal = functional.normalize(draw.normals(3), dim=0).to(target.device)
    axes = [torch.arange(n, device=target.device) - c for n, c in zip(target.shape, through, strict=True)]
    k, j, i = (axis * part for axis, part in zip(axes, normal, strict=True))
    return k[:, None, None] + j[None, :, None] + i[None, None, :] > 0


def random_shape(draw: Draw, shape: Shape) -> torch.Tensor:
    """(k, j, i) bool: a blob, a shell or a tube near the middle of the region."""
    points = draw.integer(3, 6)
    noise = draw.smooth_field(shape, points)
    kind = draw.index((0.5, 0.2, 0.3))
    level = float(noise[tuple(n // 2 for n in shape)])  # the middle is part of it
    if kind == 0:
        high = noise > level - draw.uniform(0.05, 0.5)
        low = noise < level + draw.uniform(0.05, 0.5)
        found = high if draw.chance(0.4) else (low if draw.chance(0.4) else high & low)
    else:
        found = (noise - level).abs() < draw.uniform(0.06, 0.2)
        if kind == 2:
            other = draw.smooth_field(shape, points)
            found &= (other - other[tuple(n // 2 for n in shape)]).abs() < draw.uniform(0.08, 0.25)
    radius = draw.uniform(0.2, 0.75) * shape[0] / 2
    axes = [torch.arange(n, device=draw.device) - n / 2 for n in shape]
    far = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2
    return found & (far < radius**2)


def _extreme(draw: Draw, numbers: torch.Tensor) -> torch.Tensor:
    """(k, j, i) what has to be added so that a structure, or what belongs to none, is far brighter or darker than all
    others, as bone and air are in CT."""
    present = torch.bincount(numbers.reshape(-1).int()).nonzero()[:, 0]
    chosen = numbers == int(present[draw.integer(0, len(present) - 1)])
    return blur(chosen.float(), 0.5) * draw.uniform(1.0, 5.0) * (1.0 if draw.chance(0.5) else -1.0)


def _painted(draw: Draw, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The image with a shape in it, and the shape."""
    shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
    target = random_shape(draw, shape) & ~torch.isnan(image)
    known = image[~torch.isnan(image)]
    if known.numel() < 2:
        return image, target
    low, high = torch.quantile(known[:: max(1, known.numel() // 20_000)], torch.tensor([0.02, 0.98]).to(image))
    span = float((high - low).clamp_min(1e-3))
    change = span * (0.08 + _STRONG * abs(draw.normal())) * (1.0 if draw.chance(0.5) else -1.0)
    soft = blur(target.float(), draw.uniform(0.3, 0.8))
    if draw.chance(0.5):  # a body of its own texture
        texture = float(low) + span * draw.uniform(0.0, 1.0) + draw.field(shape) * span * draw.uniform(0.0, 0.08)
        return image * (1.0 - soft) + texture * soft, target
    return image + change * soft, target
