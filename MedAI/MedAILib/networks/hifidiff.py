"""The two U-Nets of HiFi-Diff: one reads the neighboring slices, the other removes noise with what the first saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

_EMBEDDING = 128


def groups_of(channels: int) -> int:
    """Few groups of many channels: with one channel each, a picture's brightness, and with it that of the noise, would
    get lost."""
    return math.gcd(8, max(1, channels // 8))


def _norm(channels: int) -> nn.GroupNorm:
    """Group normalization without weights of its own, since what follows sets scale and bias."""
    return nn.GroupNorm(groups_of(channels), channels, affine=False)


class ChannelModulation(nn.Module):
    """ChannelMod(h, s, b) = s·GroupNorm(h) + b, s and b (one per channel) an affine function of an embedding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalize = _norm(channels)
        self.affine = nn.Linear(_EMBEDDING, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.cat([torch.ones(channels), torch.zeros(channels)]))

    def forward(self, h: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        scale, bias = self.affine(embedding)[..., None, None].chunk(2, 1)
        return scale * self.normalize(h) + bias


class ElementModulation(nn.Module):
    """ElementMod(h, s, b) = s·GroupNorm(h) + b, s and b of the size of h, convolved from the condition's features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalize = _norm(channels)
        self.affine = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            bias = torch.cat([torch.ones(channels), torch.zeros(channels)])
            self.affine.bias.copy_(bias)  # type: ignore[union-attr]

    def forward(self, h: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, bias = self.affine(condition).chunk(2, 1)
        return scale * self.normalize(h) + bias


class _Residual(nn.Module):
    """A residual block with channel-wise and, if ``conditional``, element-wise modulation (Fig. 3b and c)."""

    def __init__(self, inputs: int, channels: int, conditional: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, channels, 3, padding=1)
        self.channel = ChannelModulation(channels)
        self.element = ElementModulation(channels) if conditional else None
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(inputs, channels, 1) if inputs != channels else nn.Identity()

    def forward(self, x: torch.Tensor, embedding: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        h = self.channel(self.first(x), embedding)
        if self.element is not None and condition is not None:
            h = self.element(functional.silu(h), condition)
        return self.skip(x) + self.second(functional.silu(h))


class _UNet(nn.Module):
    """A U-Net of residual blocks, whose features at all levels, down and up, are the pyramid."""

    def __init__(self, inputs: int, widths: Sequence[int], conditional: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, widths[0], 3, padding=1)
        before = (widths[0], *widths[:-1])
        self.down = nn.ModuleList(_Residual(a, b, conditional) for a, b in zip(before, widths, strict=True))
        self.up = nn.ModuleList(
            _Residual(a + b, b, conditional) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )

    def forward(
        self, x: torch.Tensor, embedding: torch.Tensor, pyramid: Sequence[torch.Tensor | None]
    ) -> list[torch.Tensor]:
        """The features of all blocks: down, finest first, then up, coarsest first; ``pyramid`` in that same
        order."""
        x, found = self.stem(x), []
        for level, block in enumerate(self.down):
            x = block(functional.avg_pool2d(x, 2) if level else x, embedding, pyramid[level])
            found.append(x)
        for level, block in enumerate(self.up):
            skip = found[len(self.down) - 2 - level]
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skip], 1), embedding, pyramid[len(self.down) + level])
            found.append(x)
        return found


def _embedded() -> nn.Sequential:
    """Two fully connected layers to the embedding of 128 numbers."""
    return nn.Sequential(nn.Linear(_EMBEDDING, _EMBEDDING), nn.SiLU(), nn.Linear(_EMBEDDING, _EMBEDDING))


def _waves(values: torch.Tensor, highest: float) -> torch.Tensor:
    """Sines and cosines (b, 128) of numbers (b,), from one wave per 2π·``highest``⁻¹ up."""
    rates = torch.exp(torch.linspace(0.0, math.log(highest), _EMBEDDING // 2, device=values.device))
    angles = values.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


class HiFiDiff(nn.Module):
    """Predicts the noise in a slice between two others.

    Wang et al. 2023, "Arbitrary Reduction of MRI Inter-slice Spacing Using Hierarchical Feature Conditional Diffusion"
    (MLMI 2023), section 2.2. The hierarchical feature extraction (HiFE) is a U-Net of residual blocks on the two
    slices, modulated by the offset k; the main branch is the same U-Net on the noisy slice, modulated by the timestep t
    and, element by element, by HiFE's features of the same level.

    The paper does not give widths, levels or the embedding's input: 4 levels here, one block per level and direction,
    sines and cosines before the two fully connected layers.

    Args:
        widths: channels of the levels, finest first.

    Attributes:
        multiple: both sides of a slice must be divisible by this.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 128)) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.offset, self.time = _embedded(), _embedded()
        self.extractor = _UNet(2, widths, conditional=False)
        self.main = _UNet(1, widths, conditional=True)
        self.head = nn.Sequential(nn.GroupNorm(groups_of(widths[0]), widths[0]), nn.SiLU())
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def features(self, pair: torch.Tensor, offset: torch.Tensor) -> list[torch.Tensor]:
        """The feature pyramid x_cond of two slices (b, 2, y, x), about −1 to 1, and an offset (b,) of 0 to 1."""
        blocks = len(self.extractor.down) + len(self.extractor.up)
        return self.extractor(pair, self.offset(_waves(offset, 100.0)), [None] * blocks)  # type: ignore[no-any-return]

    def noise(self, noisy: torch.Tensor, time: torch.Tensor, pyramid: Sequence[torch.Tensor]) -> torch.Tensor:
        """The noise ε in slices (b, 1, y, x) at times (b,), which are 0 to 1."""
        found = self.main(noisy, self.time(_waves(time, 1000.0)), pyramid)
        return self.last(self.head(found[-1]))  # type: ignore[no-any-return]

    def forward(
        self, noisy: torch.Tensor, time: torch.Tensor, pair: torch.Tensor, offset: torch.Tensor
    ) -> torch.Tensor:
        """ε_θ(x_t, t, F_φ(x_i, x_i+1, k)); shapes as in :meth:`features` and :meth:`noise`."""
        return self.noise(noisy, time, self.features(pair, offset))
