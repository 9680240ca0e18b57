"""PE-MED: prompt enhancement for interactive segmentation of slices (Chang et al., MLMI 2023).

What the paper says is built as it says: the self-loop at the first click (Sec. 2.1), PALM-I and PALM-O (Sec. 2.2,
Eqs. 1 to 3), TSIP (Sec. 2.3, Eq. 4), four transformer blocks at 1/4 to 1/32 of the image, a fusion of a convolution and
a normalization, a decoder that is a multilayer perceptron. Attention is divided by d_k as printed there, not by its
square root.

The paper leaves open, and here is chosen: the transformer blocks are those of SegFormer (Xie et al. 2021: overlapping
patches, attention with reduced keys, mixing feed-forward); the patch embedding of the positive and of the negative map
is one and the same, each with the previous mask, and that of the global map sees all three; the outcome of PALM-O takes
the place of the features after block 1, which fixes the prompts' patches to 4 pixels; TSIP acts on logits and is left
out where there is no previous output; clicks are disks of radius 5 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

RADIUS = 5.0
"""Pixels of a click's disk."""
_REDUCED = (8, 4, 2, 1)
"""Sides of the squares of tokens that become one key, per block; SegFormer's."""


@dataclass(frozen=True)
class PEMedSize:
    """Widths and depths.

    Attributes:
        widths: channels after the four blocks.
        depths: transformer layers in each.
        heads: of their attention.
        decoder: channels of the decoder.
    """

    widths: tuple[int, int, int, int] = (32, 64, 160, 256)
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)
    heads: tuple[int, int, int, int] = (1, 2, 5, 8)
    decoder: int = 128


def disks(clicks: torch.Tensor, shape: tuple[int, int], radius: float = RADIUS) -> torch.Tensor:
    """A map of clicks.

    Args:
        clicks: (n, 2) rows and columns.
        shape: of the image.
        radius: pixels.

    Returns:
        (1, h, w) float32: 1 where a click is at most ``radius`` away.
    """
    rows = torch.arange(shape[0], dtype=torch.float32, device=clicks.device)[:, None, None]
    columns = torch.arange(shape[1], dtype=torch.float32, device=clicks.device)[None, :, None]
    near = (rows - clicks[:, 0]) ** 2 + (columns - clicks[:, 1]) ** 2 <= radius**2
    return near.any(dim=-1)[None].float()


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Softmax(Q K^T / d_k) V (Sec. 2.2), for tokens (b, n, c)."""
    return functional.softmax(query @ key.transpose(1, 2) / query.shape[-1], dim=-1) @ value


class PromptFeatures(nn.Module):
    """PALM-I: what the prompts say, by themselves (Eqs. 1 and 2).

    Args:
        channels: of its tokens.
        patch: pixels along a token's side.
    """

    def __init__(self, channels: int, patch: int = 4) -> None:
        super().__init__()
        self.one = nn.Conv2d(2, channels, patch, patch)
        self.all = nn.Conv2d(3, channels, patch, patch)

    def enhanced(
        self, positive: torch.Tensor, negative: torch.Tensor, previous: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The positive, the negative and the global tokens (b, n, c) after their attention.

        Args:
            positive, negative: (b, 1, h, w) maps of clicks.
            previous: (b, 1, h, w) mask, 0 to 1.
        """
        own = _tokens(self.one(torch.cat([positive, previous], 1)))
        other = _tokens(self.one(torch.cat([negative, previous], 1)))
        both = _tokens(self.all(torch.cat([positive, negative, previous], 1)))
        return attend(other, own, own), attend(own, other, other), attend(both, both, both)

    def forward(self, positive: torch.Tensor, negative: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """E_p (b, n, c); arguments as of :meth:`enhanced`."""
        own, other, both = self.enhanced(positive, negative, previous)
        return attend(own, both, both) + attend(other, both, both)


class PromptMixture(nn.Module):
    """PALM-O: prompts and image features look at each other (Eq. 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.image_norm = nn.LayerNorm(channels)
        self.prompt_norm = nn.LayerNorm(channels)

    def forward(self, image: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """(b, n, c) of image features after block 1 and prompt features, both (b, n, c)."""
        seen = self.image_norm(attend(image, prompt, prompt))
        heard = self.prompt_norm(attend(prompt, image, image))
        return image + seen + prompt + heard


class PEMed(nn.Module):
    """The network.

    Args:
        channels: of the image.
        size: widths and depths; also as they stand in a card.
        palm, tsip: parts that can be left out, for the paper's ablation.

    Attributes:
        channels: as given.
    """

    def __init__(
        self,
        channels: int = 1,
        size: PEMedSize | Mapping[str, Any] = PEMedSize(),
        palm: bool = True,
        tsip: bool = True,
    ) -> None:
        super().__init__()
        self.channels = channels
        size = size if isinstance(size, PEMedSize) else PEMedSize(**size)
        widths = (channels + 3, *size.widths)
        self.blocks = nn.ModuleList(
            _Block(widths[n], widths[n + 1], size.depths[n], size.heads[n], _REDUCED[n], 7 if n == 0 else 3)
            for n in range(4)
        )
        self.prompts = PromptFeatures(size.widths[0]) if palm else None
        self.mixture = PromptMixture(size.widths[0]) if palm else None
        self.to_decoder = nn.ModuleList(nn.Conv2d(width, size.decoder, 1) for width in size.widths)
        self.fusion = nn.Sequential(
            nn.Conv2d(4 * size.decoder, size.decoder, 1, bias=False), nn.BatchNorm2d(size.decoder)
        )
        self.decoder = nn.Sequential(nn.ReLU(), nn.Conv2d(size.decoder, 1, 1))
        self.memory = nn.Sequential(nn.Conv2d(1, 16, 1), nn.ReLU(), nn.Conv2d(16, 1, 1)) if tsip else None

    def forward(
        self,
        image: torch.Tensor,
        positive: torch.Tensor,
        negative: torch.Tensor,
        previous: torch.Tensor | None = None,
        output: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Answer one interaction.

        Args:
            image: (b, channels, h, w); h and w are multiples of 32.
            positive, negative: (b, 1, h, w) maps of all clicks so far, see :func:`disks`.
            previous: (b, 1, h, w) mask before, 0 to 1; None at the first click, which makes the network run twice.
            output: what the call before returned; None at the first click.

        Returns:
            (b, 1, h, w) logits.
        """
        if previous is None:
            nothing = torch.zeros_like(positive)
            previous = torch.sigmoid(self.once(image, positive, negative, nothing))
        logits = self.once(image, positive, negative, previous)
        if self.memory is not None and output is not None:
            logits = logits + torch.sigmoid(self.memory(output))
        return logits

    def once(
        self, image: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, previous: torch.Tensor
    ) -> torch.Tensor:
        """F of Eq. 4: one pass without memory; arguments and result as of :meth:`forward`."""
        x = torch.cat([image, positive, negative, previous], 1)
        features = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number == 0 and self.prompts is not None and self.mixture is not None:
                mixed = self.mixture(_tokens(x), self.prompts(positive, negative, previous))
                x = mixed.transpose(1, 2).reshape(x.shape)
            features.append(x)
        shape = features[0].shape[2:]
        wide = [
            functional.interpolate(project(each), shape, mode="bilinear", align_corners=False)
            for project, each in zip(self.to_decoder, features, strict=True)
        ]
        logits = self.decoder(self.fusion(torch.cat(wide, 1)))
        return functional.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)


def _tokens(features: torch.Tensor) -> torch.Tensor:
    """(b, c, h, w) to (b, h * w, c)."""
    return features.flatten(2).transpose(1, 2)


class _Block(nn.Module):
    """Overlapping patches and some transformer layers, as in SegFormer."""

    def __init__(self, before: int, after: int, depth: int, heads: int, reduced: int, kernel: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(before, after, kernel, 4 if kernel == 7 else 2, kernel // 2)
        self.norm = nn.LayerNorm(after)
        self.layers = nn.ModuleList(_Layer(after, heads, reduced) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x)
        shape = x.shape
        tokens = self.norm(_tokens(x))
        for layer in self.layers:
            tokens = layer(tokens, shape[2:])
        return tokens.transpose(1, 2).reshape(shape)


class _Layer(nn.Module):
    """Attention to reduced keys, then a feed-forward net with a 3x3 convolution inside, both residual."""

    def __init__(self, channels: int, heads: int, reduced: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mixing = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query, self.key_value = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)
        self.reduce = nn.Conv2d(channels, channels, reduced, reduced) if reduced > 1 else None
        self.reduced_norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, channels)
        self.wide, self.narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.mix = nn.Conv2d(4 * channels, 4 * channels, 3, padding=1, groups=4 * channels)

    def forward(self, x: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        x = x + self._attended(self.before_attention(x), shape)
        wide = self.wide(self.before_mixing(x))
        mixed = self.mix(wide.transpose(1, 2).reshape(len(x), -1, *shape))
        return x + self.narrow(functional.gelu(_tokens(mixed)))

    def _attended(self, x: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        batch, count, channels = x.shape
        seen = x
        if self.reduce is not None:
            seen = self.reduced_norm(_tokens(self.reduce(x.transpose(1, 2).reshape(batch, channels, *shape))))

        def split(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.reshape(batch, -1, self.heads, channels // self.heads).transpose(1, 2)

        key, value = self.key_value(seen).chunk(2, dim=-1)
        found = functional.scaled_dot_product_attention(split(self.query(x)), split(key), split(value))
        return self.project(found.transpose(1, 2).reshape(batch, count, channels))
