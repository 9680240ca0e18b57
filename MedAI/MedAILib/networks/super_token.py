"""A super-token transformer and a residual network side by side, fused at three scales.

Dong et al. 2023, "A Super Token Vision Transformer and CNN Parallel Branch Network for mCNV Lesion Segmentation in OCT
Images" (MLMI 2023), with the attention of Huang et al. 2023 (STViT).

- Super token attention (Eq. 1-4): the tokens G of a picture are gathered into few super tokens S, at first the means of
  the cells of a grid; t times ``Q = softmax(G S^T / sqrt(d))`` and ``S = (Q with columns of sum 1)^T G`` (Eq. 2 prints
  X for G); multi-head attention between super tokens; ``Q Attn(S)`` goes back to the tokens and is added to them.
- A block: depth-wise convolution (position), super token attention, CFFN (1x1, depth-wise 3x3, 1x1).
- Transformer branch: four 3x3 convolutions, patch embedding, four blocks, 1x1 convolution, two up-sampling
  convolutions: m2, m1, m0. CNN branch: a ResNet's first four blocks, the last three of which give n0, n1, n2.
- FFM: channel attention (SE) on m, spatial attention (CBAM) on n, a depth-wise separable convolution of m + n; all
  three concatenated go through a residual block. Attention gates (Oktay et al. 2018) and up-sampling make the mask.

What the paper leaves open, and how it is here:

- m_i and n_i have a 4th, an 8th and a 16th of the resolution. For that the stem ends at a 4th, the embedding at an 8th,
  and the stride-2 convolution "between every two blocks" is the one after the second block.
- Without an iteration (t = 0) Q says which cell a token lies in; t is 1, cells are 4x4 at an 8th and 2x2 at a 16th.
- Q compares every token with every super token, as Eq. 1 says; STViT itself looks at the nine nearest cells.
- The CNN is a ResNet-34 from scratch (64, 64, 128, 256 channels), m_i have as many channels as n_i.
- Group instead of batch normalization; layer normalization before attention and CFFN, as in STViT.
- The loss is not said: Dice and cross-entropy here.

The proposed rows of the paper's tables have an IoU below Dice / (2 - Dice), which no mean over pictures can have, and
the public set was augmented before it was split.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from .blocks.conv2d import ConvNorm2d, Residual2d, enlarged, group_norm
from .blocks.efficient_attention import multi_head_attention
from .blocks.resnet2d import ResNet2d
from .blocks.squeeze import ChannelGate, SpatialGate2d


def grid_cells(height: int, width: int, cell: int, like: torch.Tensor) -> torch.Tensor:
    """Which cell of a grid each token of a picture lies in: (tokens, cells), one 1 in each row."""
    rows, columns = (torch.arange(side, device=like.device) // cell for side in (height, width))
    numbers = rows[:, None] * (int(columns[-1]) + 1) + columns
    return functional.one_hot(numbers.flatten()).to(like.dtype)


class SuperTokenAttention(nn.Module):
    """Attention between super tokens.

    Args:
        channels: of the tokens.
        heads: of the attention.
        cell: side of a cell of the first grid, in tokens.
        iterations: t.
    """

    def __init__(self, channels: int, heads: int, cell: int, iterations: int = 1) -> None:
        super().__init__()
        self.heads, self.cell, self.iterations = heads, cell, iterations
        self.parts, self.project = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def association(self, tokens: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Q (n, t, s), whose rows sum to 1, and super tokens (n, s, c), of tokens (n, t, c) row by row."""
        belongs = grid_cells(height, width, self.cell, tokens).expand(len(tokens), -1, -1)
        supers = gathered(belongs, tokens)
        for _ in range(self.iterations):
            belongs = functional.softmax(tokens @ supers.transpose(1, 2) / tokens.shape[-1] ** 0.5, dim=-1)
            supers = gathered(belongs, tokens)
        return belongs, supers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to a picture (n, c, j, i), of the same shape."""
        tokens = x.flatten(2).transpose(1, 2)
        belongs, supers = self.association(tokens, *x.shape[2:])
        queries, keys, values = self.parts(supers).chunk(3, -1)
        seen = self.project(multi_head_attention(queries, keys, values, self.heads))
        return (belongs @ seen).transpose(1, 2).view_as(x)


def gathered(belongs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Means (n, s, c) of tokens (n, t, c), weighed by the columns of (n, t, s)."""
    return (belongs / belongs.sum(1, keepdim=True)).transpose(1, 2) @ tokens


class SuperTokenBlock(nn.Module):
    """Position, super token attention and CFFN, each with a residual, for pictures (n, c, j, i)."""

    def __init__(self, channels: int, heads: int, cell: int, iterations: int, ratio: int = 4) -> None:
        super().__init__()
        hidden = ratio * channels
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1, self.norm2 = nn.GroupNorm(1, channels), nn.GroupNorm(1, channels)
        self.attention = SuperTokenAttention(channels, heads, cell, iterations)
        self.ffn = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.position(x)
        x = x + self.attention(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class TransformerBranch(nn.Module):
    """m0, m1, m2: features at a 4th, an 8th and a 16th of the resolution.

    Args:
        inputs: channels of the picture.
        widths: channels of the three.
        heads: of the attention.
        cells: sides of the grid's cells at an 8th and a 16th.
        iterations: see :class:`SuperTokenAttention`.
    """

    def __init__(self, inputs: int, widths: Sequence[int], heads: int, cells: Sequence[int], iterations: int) -> None:
        super().__init__()
        fine, middle, coarse = widths
        sizes = zip((inputs, fine, fine, fine), (2, 1, 2, 1), strict=True)
        self.stem = nn.Sequential(*(ConvNorm2d(channels, fine, stride=stride) for channels, stride in sizes))
        self.embed = nn.Sequential(nn.Conv2d(fine, middle, 2, 2, bias=False), group_norm(middle))
        self.blocks = nn.Sequential(
            *(SuperTokenBlock(middle, heads, cells[0], iterations) for _ in range(2)),
            ConvNorm2d(middle, coarse, stride=2, last=True),
            *(SuperTokenBlock(coarse, heads, cells[1], iterations) for _ in range(2)),
            nn.Conv2d(coarse, coarse, 1),
        )
        self.ups = nn.ModuleList([ConvNorm2d(coarse, middle), ConvNorm2d(middle, fine)])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = [self.blocks(self.embed(self.stem(x)))]
        for up in self.ups:
            found.insert(0, up(functional.interpolate(found[0], scale_factor=2.0, mode="nearest")))
        return found


class Fusion(nn.Module):
    """FFM: one map (n, c, j, i) of a transformer's and a CNN's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel, self.spatial = ChannelGate(channels, max(4, channels // 16)), SpatialGate2d()
        self.together = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels), ConvNorm2d(channels, channels, 1)
        )
        self.join = Residual2d(3 * channels, channels)

    def forward(self, m: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        return self.join(torch.cat([self.channel(m), self.spatial(n), self.together(m + n)], 1))


class AttentionGate(nn.Module):
    """A skip connection, each pixel times a factor of 0 to 1 that a coarser map tells (Oktay et al. 2018)."""

    def __init__(self, skip: int, gate: int, hidden: int) -> None:
        super().__init__()
        self.skip, self.gate = nn.Conv2d(skip, hidden, 1, bias=False), nn.Conv2d(gate, hidden, 1)
        self.decide = nn.Conv2d(hidden, 1, 1)

    def forward(self, skip: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return skip * torch.sigmoid(self.decide(functional.relu(self.skip(skip) + self.gate(gate))))


class SuperToken(nn.Module):
    """The parallel-branch network.

    Args:
        inputs: channels of the picture.
        classes: number of classes, background included.
        widths: channels at a 4th, an 8th and a 16th of the resolution; the last two divisible by ``heads``.
        depths: residual blocks of the CNN there.
        heads: of the attention.
        cells: sides of the grid's cells at an 8th and a 16th, in tokens.
        iterations: how often super tokens are sampled anew.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = (64, 128, 256),
        depths: Sequence[int] = (3, 4, 6),
        heads: int = 8,
        cells: Sequence[int] = (4, 2),
        iterations: int = 1,
    ) -> None:
        super().__init__()
        if len(widths) != 3 or len(depths) != 3 or len(cells) != 2 or any(width % heads for width in widths[1:]):
            raise ValueError("widths and depths must be three numbers, cells two, and heads must divide the widths")
        self.multiple = 16
        self.transformer = TransformerBranch(inputs, widths, heads, cells, iterations)
        self.convolutions = ResNet2d(inputs, widths, depths)
        self.fusions = nn.ModuleList(Fusion(width) for width in widths)
        pairs = list(pairwise(widths))
        self.gates = nn.ModuleList(AttentionGate(fine, coarse, max(8, fine // 2)) for fine, coarse in pairs)
        self.merges = nn.ModuleList(ConvNorm2d(fine + coarse, fine) for fine, coarse in pairs)
        self.last = nn.ModuleList([ConvNorm2d(widths[0], widths[0] // 2), ConvNorm2d(widths[0] // 2, widths[0] // 2)])
        self.head = nn.Conv2d(widths[0] // 2, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, j, i) of a picture (n, inputs, j, i)."""
        branches = zip(self.fusions, self.transformer(x), self.convolutions(x), strict=True)
        fused = [fuse(m, n) for fuse, m, n in branches]
        x = fused.pop()
        for level in reversed(range(len(fused))):
            skip = fused[level]
            x = enlarged(x, skip.shape[2:])
            x = self.merges[level](torch.cat([self.gates[level](skip, x), x], 1))
        for layer in self.last:
            x = layer(enlarged(x, (2 * x.shape[2], 2 * x.shape[3])))
        return self.head(x)
