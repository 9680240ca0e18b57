"""FET, a transformer for pictures that keeps high frequencies by a wavelet transform within its attention.

Azad et al. 2023, "Unlocking Fine-Grained Details with Wavelet-Based High-Frequency Enhancement in Transformers" (MLMI
2023). A U of four levels; each block is LN -> FET -> LN -> Mix-FFN, both with residuals (Fig. 1). The FET attention
(Fig. 2a) takes queries from the tokens X, keys and values from the wavelet transform of a projection of X to a quarter
of the channels, so that there are four times fewer of them, and has three branches:

- spatial: softmax attention between places;
- channel: efficient attention (Eq. 2);
- boundary: the three high-frequency bands, stacked in a new dimension, go through a "3x1x1" convolution, a Gaussian
  pyramid and a "3x1x1" convolution over its levels, and are added to the values of the spatial branch.

MSCE (Fig. 2b) is in the skip connections: the tokens of all levels, cut to the same depth, are one sequence for an
efficient attention, go back to their levels and through a FET each, whose global query comes from the sequence by
squeeze and excitation.

What the paper leaves open, and how it is here (the authors' public code, where it is not in conflict with the paper):

- Haar wavelet (any orthogonal one can be chosen), patch embeddings of 7x7 stride 4 and 3x3 stride 2, two blocks for
  each level of encoder and decoder, 32 channels per head, one MSCE; the fourth level has plain attention instead of
  FET, as its maps may have odd sides. Its own query is the global one too (the code forgets it there).
- The pyramid has three levels: the bands and two Gaussians with sigma 1.6 * 2^(1/3) and 1.6 * 2^(2/3), of 3 and 5 taps.
  The code takes differences of these; a learned weight of each level follows, to which both are the same.
- The boundary features are widened to the values' depth by a linear layer and pass a sigmoid before they are added.
- The queries' softmax goes over channels, as Eq. 2 says (over places in the code, which also mixes heads and places up
  by a reshape).
- The recipe learns with AdamW instead of SGD at 0.05, which was behind on the patient for validation after 400 steps
  (Dice 0.58 against 0.72).
- The 3x3 convolution on the bands is followed by group normalization and ReLU (batch normalization in the code); the
  projection before the transform is linear, as the paper says.

Parameters: the paper's 47.01 million are those of a three-level variant in the authors' code (widths 128, 320, 512
here), its 33.00 million "without MSCE" those of the four-level one; both count 12.4 million of layers that are built
for the decoder's lowest level and never run. Without these, the four levels of the paper's text and Fig. 2 have 26.1
million, 20.5 without MSCE, and the three-level variant 34.1. The paper's "1.9 %" over HiFormer are relative (1.53
points of Dice), and HiFormer's Hausdorff distance is the better one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from .blocks.conv2d import ConvNorm2d
from .blocks.efficient_attention import EfficientAttention, efficient_attention, multi_head_attention
from .blocks.squeeze import ChannelGate
from .blocks.tokens import Embedding, Expansion, MixFFN
from .blocks.wavelet import Wavelet2d

_KERNELS, _STRIDES = (7, 3, 3, 3), (4, 2, 2, 2)
_SIGMAS = (1.6 * 2 ** (1 / 3), 1.6 * 2 ** (2 / 3))


class FrequencyAttention(nn.Module):
    """The FET attention.

    Args:
        channels: of the tokens, divisible by 4 and by ``heads``.
        heads: of the spatial branch.
        wavelet: see :class:`Wavelet2d`.
        own_query: make queries from the tokens; else they are given.
    """

    def __init__(self, channels: int, heads: int, wavelet: str, own_query: bool = True) -> None:
        super().__init__()
        quarter = channels // 4
        self.heads = heads
        self.query = nn.Linear(channels, channels) if own_query else None
        self.reduce = nn.Linear(channels, quarter)
        self.transform = Wavelet2d(wavelet)
        self.filter = ConvNorm2d(channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.keys_values = nn.Linear(channels, 2 * channels)
        self.bands = nn.Conv3d(quarter, quarter, (3, 1, 1), groups=quarter, bias=False)
        self.levels = nn.Conv3d(quarter, quarter, (3, 1, 1), groups=quarter, bias=False)
        self.widen = nn.Linear(quarter, channels)
        self.project = nn.Linear(2 * channels, channels)

    def boundary(self, bands: torch.Tensor) -> torch.Tensor:
        """What is added to the values, (n, t / 4, c), 0 to 1, of the four bands (n, 4, c / 4, j, i)."""
        finest = self.bands(bands[:, 1:].transpose(1, 2))[:, :, 0]
        pyramid = torch.stack([finest, *(blurred(finest, sigma, n + 1) for n, sigma in enumerate(_SIGMAS))], 2)
        return torch.sigmoid(self.widen(self.levels(pyramid)[:, :, 0].flatten(2).transpose(1, 2)))

    def forward(self, x: torch.Tensor, query: torch.Tensor | None = None) -> torch.Tensor:
        """(n, j, i, c) of tokens (n, j, i, c) with even sides; ``query`` of the same shape."""
        if self.query is not None:
            query = self.query(x)
        assert query is not None
        bands = self.transform(self.reduce(x).movedim(-1, 1))
        detail = self.filter(bands.flatten(1, 2)).flatten(2).transpose(1, 2)
        keys, values = self.keys_values(self.norm(detail)).chunk(2, -1)
        queries = query.flatten(1, 2)
        spatial = multi_head_attention(queries, keys, values + self.boundary(bands), self.heads)
        channel = efficient_attention(queries, keys, values)
        return self.project(torch.cat([spatial, channel], -1)).view_as(x)


def blurred(x: torch.Tensor, sigma: float, radius: int) -> torch.Tensor:
    """Pictures (n, c, j, i) smoothed by a Gaussian of ``sigma`` pixels, 2 * radius + 1 taps."""
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=x.device) / sigma) ** 2)
    taps = (taps / taps.sum()).to(x.dtype)
    n, channels, j, i = x.shape
    rows = functional.conv2d(x.reshape(n * channels, 1, j, i), taps.view(1, 1, -1, 1), padding=(radius, 0))
    return functional.conv2d(rows, taps.view(1, 1, 1, -1), padding=(0, radius)).view_as(x)


class PlainAttention(nn.Module):
    """Multi-head attention with the same face as :class:`FrequencyAttention`."""

    def __init__(self, channels: int, heads: int, own_query: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels) if own_query else None
        self.keys_values = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor, query: torch.Tensor | None = None) -> torch.Tensor:
        if self.query is not None:
            query = self.query(x)
        assert query is not None
        keys, values = self.keys_values(x.flatten(1, 2)).chunk(2, -1)
        return self.project(multi_head_attention(query.flatten(1, 2), keys, values, self.heads)).view_as(x)


def attention_at(level: int, channels: int, heads: int, wavelet: str, own_query: bool = True) -> nn.Module:
    """The attention of a level: FET, but at a 32nd of the resolution, where sides may be odd."""
    if level == len(_STRIDES) - 1:
        return PlainAttention(channels, heads, own_query)
    return FrequencyAttention(channels, heads, wavelet, own_query)


class Block(nn.Module):
    """LN -> attention -> LN -> Mix-FFN, with residuals, for tokens (n, j, i, c)."""

    def __init__(self, channels: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention, self.ffn = attention, MixFFN(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class MultiScaleContext(nn.Module):
    """MSCE: what goes from the encoder to the decoder, enhanced by what all levels know.

    Args:
        widths: of the levels, multiples of the first.
        heads: of each level.
        wavelet: see :class:`Wavelet2d`.
    """

    def __init__(self, widths: Sequence[int], heads: Sequence[int], wavelet: str) -> None:
        super().__init__()
        depth = widths[0]
        self.norm1, self.norm2 = nn.LayerNorm(depth), nn.LayerNorm(depth)
        self.attention = EfficientAttention(depth)
        self.squeeze = ChannelGate(depth, depth, nn.GELU)
        sizes = enumerate(zip(widths, heads, strict=True))
        self.levels = nn.ModuleList(attention_at(n, width, number, wavelet, False) for n, (width, number) in sizes)
        self.ffns = nn.ModuleList(MixFFN(width) for width in widths)

    def forward(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The same shapes as ``features``: tokens (n, j, i, c) of each level, finest first."""
        depth = features[0].shape[-1]
        flat = [each.reshape(len(each), -1, depth) for each in features]
        sizes = [each.shape[1] for each in flat]
        tokens = self.norm1(torch.cat(flat, 1))
        tokens = tokens + self.attention(tokens)
        query = self.squeeze(tokens.transpose(1, 2)).transpose(1, 2)
        parts = (each.split(sizes, 1) for each in (tokens, self.norm2(tokens), query))
        return [
            (before + ffn(level(x.reshape(like.shape), q.reshape(like.shape))).reshape(before.shape)).reshape(
                like.shape
            )
            for before, x, q, like, level, ffn in zip(*parts, features, self.levels, self.ffns, strict=True)
        ]


class FET(nn.Module):
    """Frequency Enhancement Transformer.

    Args:
        inputs: channels of the picture.
        classes: number of classes, background included.
        widths: channels of the three or four levels, finest first: multiples of 4 and of a quarter of the first.
        blocks: of each level in the encoder, and in the decoder but for the lowest level, which has none there.
        head_width: channels of a head.
        wavelet: see :class:`Wavelet2d`.
        context: with MSCE; without it skip connections are plain.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = (64, 128, 320, 512),
        blocks: int = 2,
        head_width: int = 32,
        wavelet: str = "haar",
        context: bool = True,
    ) -> None:
        super().__init__()
        if len(widths) not in (3, 4) or any(width % 4 or 4 * width % widths[0] for width in widths):
            raise ValueError("widths must be three or four multiples of 4 and of a quarter of the first")
        self.multiple = 32
        heads = [max(1, width // head_width) for width in widths]

        def level(n: int) -> nn.Sequential:
            return nn.Sequential(
                *(Block(widths[n], attention_at(n, widths[n], heads[n], wavelet)) for _ in range(blocks))
            )

        steps = zip((inputs, *widths[:-1]), widths, _KERNELS, _STRIDES, strict=False)
        self.embeddings = nn.ModuleList(Embedding(*step) for step in steps)
        self.encoder = nn.ModuleList(level(n) for n in range(len(widths)))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.context = MultiScaleContext(widths, heads, wavelet) if context else None
        self.expansions = nn.ModuleList(Expansion(coarse, coarse // 2) for coarse in widths[1:])
        self.merges = nn.ModuleList(nn.Linear(coarse // 2 + fine, fine) for fine, coarse in pairwise(widths))
        self.decoder = nn.ModuleList(level(n) for n in range(len(widths) - 1))
        self.last = Expansion(widths[0], widths[0], 4)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def encoded(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Tokens (n, j, i, c) of each level, finest first."""
        found = []
        for embed, blocks, norm in zip(self.embeddings, self.encoder, self.norms, strict=True):
            tokens = norm(blocks(embed(x)))
            found.append(tokens)
            x = tokens.movedim(-1, 1)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, j, i) of a picture (n, inputs, j, i)."""
        skips = self.encoded(x)
        if self.context is not None:
            skips = self.context(skips)
        tokens = skips.pop()
        for n in reversed(range(len(skips))):
            tokens = self.decoder[n](self.merges[n](torch.cat([self.expansions[n](tokens), skips[n]], -1)))
        return self.head(self.last(tokens).movedim(-1, 1))
