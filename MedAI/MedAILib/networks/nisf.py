"""NISF: a neural field that gives intensity and class at any coordinate, bent to a case by a latent vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from .latent_fit import Fit, FitSettings, fit_latent, held_out_cells
from .unet import normalization

CHUNK = 16384
"""Coordinates that are answered at a time where no gradient is needed."""
SURE = 20.0
"""Logit of the background where there is no image."""

Reconstruction = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Gabor(nn.Module):
    """A linear layer with a real Gabor wavelet: ``cos(frequency * a) * exp(-(scale * b)**2)`` of two projections.

    Args:
        inputs, outputs: channels.
        frequency, scale: see above.
        coordinates: how many of the inputs, the first ones, are coordinates.
    """

    def __init__(self, inputs: int, outputs: int, frequency: float, scale: float, coordinates: int = 0) -> None:
        super().__init__()
        self.frequency, self.scale = frequency, scale
        self.project = nn.Linear(inputs, 2 * outputs)
        # After Sitzmann et al. 2020: phases of up to 10 per unit of a coordinate, and small ones of features. With
        # torch's own start, eight residual layers have no gradient. Half their bound, as the residual sums grow.
        nn.init.uniform_(self.project.weight, -0.5 * (6.0 / outputs) ** 0.5, 0.5 * (6.0 / outputs) ** 0.5)
        nn.init.uniform_(self.project.weight[:, :coordinates], -10.0, 10.0)
        nn.init.uniform_(self.project.bias, -math.pi, math.pi)
        with torch.no_grad():
            self.project.weight.div_(frequency)
            self.project.bias.div_(frequency)
            self.project.bias[outputs:] = 0.0

    def wave(self, projected: torch.Tensor) -> torch.Tensor:
        """The wavelet of what :attr:`project` gives, (m, 2 * outputs) to (m, outputs)."""
        phase, width = projected.chunk(2, dim=-1)
        return torch.cos(self.frequency * phase) * torch.exp(-(self.scale * width).square())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.wave(self.project(x))


class Encoder(nn.Module):
    """A first guess of the latent vector: three strided convolutions of image and coordinates, pooled to 3x3x3."""

    def __init__(self, inputs: int, width: int, channels: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((inputs + 3, *channels), channels, strict=False):
            layers += [nn.Conv3d(before, after, 3, 2, 1, bias=False), normalization(after, 8), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(3), nn.Flatten())
        self.head = nn.Linear(27 * channels[-1], width)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """Latent vector (width,) of an image (inputs, k, j, i) with the coordinates (k, j, i, 3) of its voxels."""
        return cast(torch.Tensor, self.head(self.body(torch.cat((image, grid.movedim(-1, 0)))[None]))[0])


class NISF(nn.Module):
    """Neural implicit segmentation function (Stolt-Ansó et al. 2023, NISF; known here from a review of it).

    A multilayer perceptron of residual Gabor layers takes a coordinate and the case's latent vector to two heads: the
    intensity and the classes. Training finds weights and the latent vectors of all training cases together
    (auto-decoder; objective ``"autodecoder"``). A new case gets its latent vector by fitting the intensities alone,
    with the weights frozen (:mod:`.latent_fit`); the classes come along. It is a field, so it can be asked between
    voxels (:meth:`segment` with a factor).

    What the review leaves open is as in the authors' public code: the wavelet is the real one with two projections,
    the latent vector enters the first layer beside the coordinate and is its residual as well (so it is as long as
    the layers are wide), and the latent vectors start near zero.

    Deviations, each for a reason:

    * ``encoder``: a small convolutional encoder, trained along, predicts the latent vector; the vectors that are
      learned for the training cases and fitted for a new one are only what is added to it. This is the faster
      descendant. Without it, the start is zero and this is the paper's network.
    * The paper stops the fit after 672 steps, a number found with the labels of validation cases. Here every seventh
      cell of 4x4x4 voxels is held out from the fit, and the latent vector that explains these cells' intensities best
      is kept: no label is looked at.
    * Each step of the fit draws ``voxels`` of the case instead of all of them.
    * Coordinates are voxels of the model's grid from the center of the field of view, divided by ``reach``; the model's
      spacing is fixed, so they are millimeters. The field of view is what is left without border planes of exactly 0,
      which is what lies outside an image; padding never counts.

    A latent vector describes a whole case: patches must hold it whole, as in training. Where a case is larger than the
    patch, each window is fitted for itself. The latent vectors are part of the weights, and those of training cases
    show what these look like: who shares the weights shares that.

    Args:
        inputs: channels of the image, intensities from 0 to 1 (others are clipped).
        classes: background included.
        cases: how many training cases there are at most.
        width: of the layers and of the latent vector.
        layers: residual layers.
        frequency, scale: of the wavelets.
        encoder: predict the start of the latent vector.
        reach: voxels from the center to coordinate 1.
        steps, rate, voxels, penalty, every, patience: of the fit, see :class:`FitSettings`.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    multiple = 1

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        cases: int = 64,
        width: int = 128,
        layers: int = 8,
        frequency: float = 10.0,
        scale: float = 1.0,
        encoder: bool = True,
        reach: float = 32.0,
        steps: int = 100,
        rate: float = 5e-3,
        voxels: int = 4096,
        penalty: float = 1e-4,
        every: int = 10,
        patience: int = 3,
    ) -> None:
        super().__init__()
        self.inputs, self.classes, self.width, self.reach = inputs, classes, width, reach
        self.fitting = FitSettings(steps, rate, voxels, penalty, every, patience)
        self.layers = nn.ModuleList(
            Gabor(width + (0 if number else 3), width, frequency, scale, 0 if number else 3) for number in range(layers)
        )
        self.classify = nn.Linear(width, classes)
        self.intensity = nn.Linear(width, inputs)
        self.latents = nn.Embedding(cases, width)
        nn.init.normal_(self.latents.weight, std=1e-4)
        self.encoder = Encoder(inputs, width) if encoder else None

    def features(self, latent: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
        """What both heads see.

        Args:
            latent: (width,).
            coordinates: (m, 3).

        Returns:
            (m, width).
        """
        first = cast(Gabor, self.layers[0])
        weight = first.project.weight
        # The latent vector is the same everywhere: its share of the first projection is computed once.
        shared = functional.linear(latent, weight[:, 3:], first.project.bias)
        x = first.wave(functional.linear(coordinates, weight[:, :3]) + shared) + latent
        for layer in self.layers[1:]:
            x = layer(x) + x
        return x

    def forward(
        self, x: torch.Tensor, cases: Sequence[int] | None = None, picks: Sequence[torch.Tensor] | None = None
    ) -> torch.Tensor | list[Reconstruction]:
        """Segment by fitting, or in training reconstruct cases with their own latent vectors.

        Args:
            x: (n, inputs, k, j, i).
            cases: numbers of the training cases; asked for by the objective alone.
            picks: for each, which voxels of its patch are asked for, (m,) numbers in the flattened patch.

        Returns:
            Class logits (n, classes, k, j, i). With ``cases``, for each: class logits (m, classes), intensity logits
            (m, inputs), and what the case's own latent vector adds, (width,).
        """
        with torch.autocast(x.device.type, enabled=False):
            if cases is None or picks is None:
                return torch.stack([self.segment(image) for image in x])
            numbers = torch.tensor(cases, device=x.device)
            return [self._known(*each) for each in zip(x.float(), self.latents(numbers), picks, strict=True)]

    def _known(self, image: torch.Tensor, own: torch.Tensor, picks: torch.Tensor) -> Reconstruction:
        """Classes and intensities of a training case at some of its voxels."""
        box = field_of_view(image)
        places = torch.stack(torch.unravel_index(picks, image.shape[1:]), 1)
        start = self._start(image, box)
        features = self.features(start + own, self._coordinates(places.float(), box))
        return self.classify(features), self.intensity(features), own

    def segment(self, image: torch.Tensor, factor: int = 1) -> torch.Tensor:
        """Class logits of one image, which may be finer than it.

        Args:
            image: (inputs, k, j, i).
            factor: voxels of the answer per voxel of the image along each axis.

        Returns:
            (classes, factor * k, factor * j, factor * i) over the same field of view.
        """
        # The engine works in inference mode, whose tensors can take no part in a fit.
        with torch.inference_mode(False), torch.autocast(image.device.type, enabled=False):
            image = image.detach().clone().float()
            return self.draw(self.fit(image).latent, image, factor)

    def fit(self, image: torch.Tensor, watch: Callable[[int, torch.Tensor], None] = lambda step, latent: None) -> Fit:
        """The latent vector of an image (inputs, k, j, i), from its intensities; ``watch``: see :func:`fit_latent`."""
        box = field_of_view(image)
        places = _places(box, image.device)
        inside = image[(slice(None), *box)].reshape(self.inputs, -1).t().clamp(0.0, 1.0)
        with torch.no_grad():
            start = self._start(image, box)
        with torch.enable_grad():
            return fit_latent(
                lambda latent, coordinates: self.intensity(self.features(latent, coordinates)),
                start,
                self._coordinates(places.float(), box),
                inside,
                held_out_cells(places - places[0]),
                self.fitting,
                watch,
            )

    @torch.no_grad()
    def draw(self, latent: torch.Tensor, image: torch.Tensor, factor: int = 1) -> torch.Tensor:
        """Class logits of a latent vector on the grid of an image, or a finer one; as :meth:`segment` answers."""
        box = field_of_view(image)
        fine = tuple(slice(factor * part.start, factor * part.stop) for part in box)
        # Voxel n of the finer grid has its center at (n + 0.5) / factor - 0.5 of the image's.
        places = (_places((fine[0], fine[1], fine[2]), image.device).float() + 0.5) / factor - 0.5
        rows = [self.classify(self.features(latent, part)) for part in self._coordinates(places, box).split(CHUNK)]
        logits = image.new_zeros(self.classes, *(factor * size for size in image.shape[1:]))
        logits[0] = SURE
        inside = [part.stop - part.start for part in fine]
        logits[(slice(None), *fine)] = torch.cat(rows).t().reshape(self.classes, *inside)
        return logits

    def _start(self, image: torch.Tensor, box: tuple[slice, slice, slice]) -> torch.Tensor:
        """What the encoder makes of an image, or zero."""
        if self.encoder is None:
            return torch.zeros(self.width, device=image.device)
        inside = image[(slice(None), *box)].clamp(0.0, 1.0)
        grid = self._coordinates(_places(box, image.device).float(), box).reshape(*inside.shape[1:], 3)
        return cast(torch.Tensor, self.encoder(inside, grid))

    def _coordinates(self, places: torch.Tensor, box: tuple[slice, slice, slice]) -> torch.Tensor:
        """Voxels (m, 3) as the network sees them."""
        center = torch.tensor([0.5 * (part.start + part.stop - 1) for part in box], device=places.device)
        return (places - center) / self.reach


def field_of_view(image: torch.Tensor) -> tuple[slice, slice, slice]:
    """The box of an image (channels, k, j, i) without border planes of exactly 0; all of it where it is 0."""
    filled = (image != 0).any(0)
    spans = []
    for axis, others in enumerate(((1, 2), (0, 2), (0, 1))):
        present = filled.any(others[1]).any(others[0]).nonzero()[:, 0]
        spans.append(slice(int(present[0]), int(present[-1]) + 1) if len(present) else slice(0, filled.shape[axis]))
    return spans[0], spans[1], spans[2]


def _places(box: tuple[slice, slice, slice], device: torch.device) -> torch.Tensor:
    """(voxels, 3) indices (k, j, i) of a box."""
    return torch.cartesian_prod(*(torch.arange(part.start, part.stop, device=device) for part in box))
