"""The conditional Laplacian pyramid registration network: three small networks, coarse to fine, that add up.

Mok & Chung 2020, "Large Deformation Diffeomorphic Image Registration with Laplacian Pyramid Networks" (LapIRN), and
2021, "Conditional Deformable Image Registration with Convolutional Neural Network" (the conditional normalization),
both MICCAI; the base of the neural instance optimization in :mod:`MedAILib.registration.nio`. As in the authors' public
code: the displacement variant, five conditional blocks per level, 28 channels, leaky slope 0.2, largest displacement of
a level 0.4 of half the image's side. Where that code and this file differ:

- The images of a level are the means of 2x2x2 voxels of the next one (the NIO paper: trilinear interpolation with
  factor 0.5), and all grids agree on where their voxels lie (half a voxel from the border).
- The scale of the conditional normalization starts at 1 for every condition (there: at 2).
- The displacement that a level sees of the coarser ones may begin with a given field (``start``), as if there were one
  more level below. The papers have no such field.
- :meth:`LapIRN.start_from_zero` makes a network that displaces nothing; it is not part of the papers.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from .warping import halve, rescale_displacement, warp

SLOPE = 0.2


class ConditionalNorm(nn.Module):
    """Instance normalization whose scale and shift follow from a condition (Mok & Chung 2021).

    Args:
        channels: of the features.
        latent: length of the condition's code.
    """

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.style = nn.Linear(latent, 2 * channels)
        nn.init.zeros_(self.style.bias)

    def forward(self, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        scale, shift = self.style(code)[:, :, None, None, None].chunk(2, 1)
        return (1 + scale) * functional.instance_norm(x) + shift


class ConditionalBlock(nn.Module):
    """Residual block of two convolutions, each after a conditional normalization and a rectifier.

    Args:
        channels: of the features.
        latent: length of the code that four layers make of the condition.
    """

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (1, latent, latent, latent):
            layers += [nn.Linear(inputs, latent), nn.LeakyReLU(SLOPE)]
        self.mapping = nn.Sequential(*layers)
        self.norms = nn.ModuleList(ConditionalNorm(channels, latent) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        code, y = self.mapping(condition), x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution(functional.leaky_relu(norm(y, code), SLOPE))
        return x + y


class Level(nn.Module):
    """One network of the pyramid.

    Args:
        inputs: channels of its input.
        channels: of its features.
        blocks: conditional blocks, at half the level's resolution.
        latent: see :class:`ConditionalBlock`.
        reach: largest displacement, in units of half the image's side.
    """

    def __init__(self, inputs: int, channels: int, blocks: int, latent: int, reach: float) -> None:
        super().__init__()
        self.reach = reach
        self.encoder = nn.Sequential(
            _convolution(inputs, channels), nn.LeakyReLU(SLOPE), _convolution(channels, channels)
        )
        self.down = nn.Conv3d(channels, channels, 3, stride=2, padding=1, bias=False)
        self.blocks = nn.ModuleList(ConditionalBlock(channels, latent) for _ in range(blocks))
        self.up = nn.ConvTranspose3d(channels, channels, 2, stride=2, bias=False)
        self.head = nn.Sequential(
            _convolution(2 * channels, channels), nn.LeakyReLU(SLOPE), _convolution(channels, 3), nn.Softsign()
        )

    def forward(
        self, x: torch.Tensor, condition: torch.Tensor, coarser: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Displacement in voxels of ``x``'s grid, and features for the next level (both on that grid)."""
        fine = self.encoder(x)
        y = self.down(fine)
        if coarser is not None:
            y = y + coarser
        for block in self.blocks:
            y = functional.leaky_relu(block(y, condition), SLOPE)
        y = self.up(y)
        return self.head(torch.cat([y, fine], 1)) * (self.reach * half_sides(x)), y

    def start_from_zero(self) -> None:
        nn.init.zeros_(cast(nn.Conv3d, self.head[2]).weight)


def _convolution(inputs: int, outputs: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)


def half_sides(image: torch.Tensor) -> torch.Tensor:
    """(3, 1, 1, 1) half the number of voxels along each axis."""
    return torch.tensor(image.shape[2:], device=image.device, dtype=image.dtype).view(3, 1, 1, 1) / 2


class LapIRN(nn.Module):
    """Conditional LapIRN in its displacement variant.

    Args:
        channels: features of every level.
        levels: L, number of levels; the coarsest works at 1 / 2^(L−1) of the resolution.
        blocks: conditional blocks per level.
        latent: length of the condition's code.
        reach: largest displacement that one level adds, in units of half the image's side.

    Attributes:
        levels: L.
        multiple: every side of an image must be divisible by this, and one at least be longer.
    """

    def __init__(
        self, channels: int = 28, levels: int = 3, blocks: int = 5, latent: int = 64, reach: float = 0.4
    ) -> None:
        super().__init__()
        self.levels, self.multiple = levels, 2**levels
        self.networks = nn.ModuleList(
            Level(2 if number == 0 else 5, channels, blocks, latent, reach) for number in range(levels)
        )

    def start_from_zero(self) -> None:
        """Set the last layer of every level to zero, so that the network displaces nothing until it is trained."""
        for network in self.networks:
            cast(Level, network).start_from_zero()

    def level_parameters(self, level: int) -> list[nn.Parameter]:
        """The weights θ of one level, 1 the coarsest."""
        return list(self.networks[level - 1].parameters())

    def forward(
        self,
        moving: torch.Tensor,
        fixed: torch.Tensor,
        smoothness: float | torch.Tensor = 0.4,
        level: int | None = None,
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Register.

        Args:
            moving, fixed: (n, 1, k, j, i), 0 to 1, sides divisible by :attr:`multiple`.
            smoothness: λ, 0 to 1, the condition: one number or (n,).
            level: 1 to L, the last level that takes part; None: all.
            start: (n, 3, k, j, i) voxels, to which the network adds, or None.

        Returns:
            (n, 3, k, j, i) displacement in voxels at full resolution: the sum of the enlarged displacements of the
            levels, and of ``start``.
        """
        condition = torch.as_tensor(smoothness, dtype=fixed.dtype, device=fixed.device).reshape(-1, 1)
        condition = condition.expand(len(fixed), 1)
        total: torch.Tensor | None = None
        features: torch.Tensor | None = None
        for number, network in enumerate(self.networks[:level]):
            times = self.levels - 1 - number
            small_moving, small_fixed = halve(moving, times), halve(fixed, times)
            shape = small_fixed.shape[2:]
            total = None if total is None else rescale_displacement(total, shape)
            seen = _sum(total, None if start is None else rescale_displacement(start, shape))
            if seen is not None:
                small_moving = warp(small_moving, seen)
            images = [small_moving, small_fixed]
            if number:
                images.append(cast(torch.Tensor, seen) / half_sides(small_fixed))
            added, features = network(torch.cat(images, 1), condition, features)
            total = _sum(total, added)
        return cast(torch.Tensor, _sum(rescale_displacement(cast(torch.Tensor, total), fixed.shape[2:]), start))


def _sum(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second
