"""DLEST: an autoencoder of slices with a small latent code, and the energy that moves codes to a target site."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

_START = 4
"""Pixels along each side of the decoder's first map."""
_SLOPE = 0.2


def langevin(
    energy: Callable[[torch.Tensor], torch.Tensor],
    codes: torch.Tensor,
    steps: int,
    size: float,
    noise: float = 1.0,
    uphill: bool = False,
    differentiable: bool = False,
) -> torch.Tensor:
    """Stochastic gradient Langevin dynamics, Eq. 7: Z ← Z − η/2·∂E/∂Z + √η·ε, with the same η in every step.

    Args:
        energy: codes (b, d) to energies (b,).
        codes: (b, d), to begin with.
        steps: T.
        size: η.
        noise: factor of √η·ε; 1 in the paper, 0 gives the same result each time.
        uphill: with + instead of −, which is the paper's P⁻¹.
        differentiable: gradients of the result reach the energy's weights and ``codes``.
    """
    sign = 1.0 if uphill else -1.0
    with torch.enable_grad():
        for _ in range(steps):
            if not (differentiable and codes.requires_grad):
                codes = codes.detach().requires_grad_()
            (slope,) = torch.autograd.grad(energy(codes).sum(), codes, create_graph=differentiable)
            codes = codes + sign * 0.5 * size * slope
            if noise > 0.0:
                codes = codes + noise * math.sqrt(size) * torch.randn_like(codes)
    return codes if differentiable else codes.detach()


def _perceptron(sizes: list[int], activation: type[nn.Module] = nn.LeakyReLU) -> nn.Sequential:
    """Fully connected layers with an activation between them."""
    parts: list[nn.Module] = []
    for before, after in pairwise(sizes):
        parts += [nn.Linear(before, after), activation()]
    return nn.Sequential(*parts[:-1])


def _unit(latent: int) -> nn.LayerNorm:
    """Codes of mean 0 and variance 1, so that the noise of the dynamics is as large for every training."""
    return nn.LayerNorm(latent, elementwise_affine=False)


class _Block(nn.Module):
    """Of the decoder: a convolution, noise, and a scale and a bias per channel that follow from the code."""

    def __init__(self, inputs: int, channels: int, latent: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, channels, 3, padding=1)
        self.noise = nn.Parameter(torch.zeros(channels, 1, 1))
        self.affine = nn.Linear(latent, 2 * channels)

    def forward(self, x: torch.Tensor, codes: torch.Tensor, noisy: bool) -> torch.Tensor:
        x = self.convolution(x)
        if noisy:
            x = x + self.noise * torch.randn_like(x[:, :1])
        scale, bias = self.affine(codes)[..., None, None].chunk(2, 1)
        return functional.leaky_relu(x, _SLOPE) * (1.0 + scale) + bias


class _Decoder(nn.Module):
    """G: a code (b, latent) to a slice (b, 1, side, side)."""

    def __init__(self, widths: list[int], latent: int) -> None:
        super().__init__()
        self.start = nn.Linear(latent, widths[0] * _START**2)
        before = [widths[0], *widths[:-1]]
        self.blocks = nn.ModuleList(_Block(a, b, latent) for a, b in zip(before, widths, strict=True))
        self.last = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, codes: torch.Tensor, noisy: bool = False) -> torch.Tensor:
        x = self.start(codes).reshape(len(codes), -1, _START, _START)
        for level, block in enumerate(self.blocks):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest") if level else x
            x = block(x, codes, noisy)
        return self.last(x)  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    """E: a slice (b, 1, side, side) to its code (b, latent)."""

    def __init__(self, widths: list[int], latent: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.last = nn.Sequential(nn.Linear(widths[-1] * _START**2, latent), _unit(latent))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for level, block in enumerate(self.blocks):
            x = functional.avg_pool2d(x, 2) if level else x
            x = functional.leaky_relu(block(x), _SLOPE)
        return self.last(x.flatten(1))  # type: ignore[no-any-return]


class DLEST(nn.Module):
    """Disentangled latent energy-based style translation.

    Wu et al. 2023, "Structural MRI Harmonization via Disentangled Latent Energy-Based Style Translation" (MLMI 2023),
    section 2. F maps noise to codes (8 layers), E and G are the latent autoencoder (7 blocks of 64 to 256 filters for
    slices of 256 x 256), D judges codes (3 layers), and the energy of a code (2 layers) is low where it is one of the
    target site. All codes have 512 numbers.

    What the paper does not give, chosen here: one convolution per block, average pooling and nearest neighbors between
    them, so that the first map has 4 x 4 pixels; the code sets that map and, in each block of G, a scale and a bias per
    channel; the noise η of G has a learned strength per channel, 0 at first; F and E end in a normalization of codes;
    smooth activations in the energy, whose gradient is followed. Other sides than 256 have more or fewer blocks.

    Args:
        side: pixels along both sides of a slice, a power of 2, 8 or more.
        least, most: filters of the finest block, which double towards the coarser ones, and their limit.
        latent: numbers in a code.
        layers: of F.
        steps, size: T and η of the Langevin dynamics; the paper gives neither.
    """

    def __init__(
        self,
        side: int = 256,
        least: int = 64,
        most: int = 256,
        latent: int = 512,
        layers: int = 8,
        steps: int = 20,
        size: float = 0.1,
    ) -> None:
        super().__init__()
        blocks = side.bit_length() - 2
        if side < 2 * _START or side != 2 ** (blocks + 1):
            raise ValueError("side must be a power of 2, 8 or more")
        if steps < 1 or size <= 0.0:
            raise ValueError("steps must be 1 or more, and size above 0")
        widths = [min(most, least * 2**level) for level in range(blocks)]
        self.side, self.latent, self.steps, self.size = side, latent, steps, size
        self.mapping = nn.Sequential(_perceptron([latent] * (layers + 1)), _unit(latent))
        self.encoder, self.decoder = _Encoder(widths, latent), _Decoder(widths[::-1], latent)
        self.discriminator = _perceptron([latent, latent, latent, 1])
        self.energy_layers = _perceptron([latent, latent, 1], nn.SiLU)

    def energy(self, codes: torch.Tensor) -> torch.Tensor:
        """E_θ of codes (b, latent): (b,)."""
        return self.energy_layers(codes)[:, 0]  # type: ignore[no-any-return]

    def translate(
        self, codes: torch.Tensor, noise: float = 1.0, uphill: bool = False, differentiable: bool = False
    ) -> torch.Tensor:
        """P_θ, or P_θ⁻¹ if ``uphill``, of codes (b, latent); see :func:`langevin`."""
        return langevin(self.energy, codes, self.steps, self.size, noise, uphill, differentiable)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Slices (b, 1, side, side), about 0 to 1, in the style of the target site; the same result each time."""
        return self.decoder(self.translate(self.encoder(pictures), noise=0.0))  # type: ignore[no-any-return]
