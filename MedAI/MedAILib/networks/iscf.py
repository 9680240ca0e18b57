"""A U of efficient transformers whose skip connections share one context: inter-scale context fusion (ISCF).

Eskandari, Lumpp and Sanchez Giraldo 2023, "Skin Lesion Segmentation Improved by Transformer-Based Networks with
Inter-scale Dependency Modeling" (MLMI 2023). Three stages of two blocks; a block is ``X1 = E(Q, K, V) + X``, ``X' =
Mix-FFN(LN(X1)) + X1`` (Eq. 3, 4) with efficient attention E (Eq. 2).

ISCF (Fig. 2, section 2.2): the attention map of each stage is the context matrix ``rho_k(K)^T V`` that its last block
has calculated already (efficient attention never makes one of places x places). Linear layers bring the first two to
the last one's size; global pooling gives a number for each, an FFN turns the three into scaling factors, a "3x1x1"
convolution makes one context of the scaled three, and linear layers bring it back to each stage's size. There the
stage's queries look it up, and what they find is added to the plain skip connection.

Paper and public code (`context_bridge`) differ; here it is as in the paper, so the code's three further attentions at
512 channels and its two Mix-FFNs per block are not there, and the decoder has blocks of the same kind as the encoder.
From the code: patch embeddings of 7x7 stride 4 and 3x3 stride 2 with 128, 320 and 512 channels (the paper says that
merging doubles them), layer normalization also before the attention, as many key channels as others, the FFN of the
scaling factors (3 -> ReLU -> 3 -> sigmoid), and that queries look the context up, which the paper does not say. A
linear layer changes rows and columns of a context, so it is two matrices.

Parameters with three inputs: 21.57 million without ISCF, 22.49 with. The paper's 23.43 are exactly the public code's,
of which 1.2 million belong to layers that never run; its 22.31 without ISCF would leave 1.12 for ISCF (0.92 here, 3.6
in the code), although the text says that it needs none.

The loss is binary cross-entropy, which for two classes is the cross-entropy of their logits; more classes are no part
of the paper. The recipe adds Dice, which was better on the patient for validation (0.67 against 0.55), though not on
those for testing. Its specificity and accuracy are below Swin U-Net's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from .blocks.efficient_attention import EfficientAttention
from .blocks.squeeze import ChannelGate
from .blocks.tokens import Embedding, Expansion, MixFFN

_KERNELS, _STRIDES = (7, 3, 3), (4, 2, 2)


class Block(nn.Module):
    """An efficient transformer block for tokens (n, j, i, c)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention, self.ffn = EfficientAttention(channels), MixFFN(channels)

    def parts(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens as they go on, and the attention's queries (n, t, c) and context (n, c, c)."""
        queries, context = self.attention.parts(self.norm1(x).flatten(1, 2))
        x = x + self.attention.project(queries @ context).view_as(x)
        return x + self.ffn(self.norm2(x)), queries, context

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts(x)[0]


class Resize(nn.Module):
    """A linear map of matrices (n, before, before) to (n, after, after)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.rows, self.columns = nn.Linear(before, after), nn.Linear(before, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rows(self.columns(x).transpose(1, 2)).transpose(1, 2)


class ContextFusion(nn.Module):
    """ISCF.

    Args:
        widths: channels of the stages, finest first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        *others, last = widths
        stages = len(widths)
        self.there = nn.ModuleList([*(Resize(width, last) for width in others), nn.Identity()])
        self.scale = ChannelGate(stages, stages)
        self.fuse = nn.Conv2d(stages, 1, 1)
        self.back = nn.ModuleList([*(Resize(last, width) for width in others), nn.Identity()])

    def forward(self, contexts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What the stages have in common, (n, c, c) each, of their contexts (n, c, c)."""
        alike = torch.stack([there(each) for there, each in zip(self.there, contexts, strict=True)], 1)
        fused = self.fuse(self.scale(alike))[:, 0]
        return [back(fused) for back in self.back]


class ISCF(nn.Module):
    """The skin lesion network.

    Args:
        inputs: channels of the picture.
        classes: number of classes, background included.
        widths: channels of the three stages, finest first.
        blocks: of each stage, in encoder and decoder.
        fusion: with ISCF; without it skip connections are plain.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = (128, 320, 512),
        blocks: int = 2,
        fusion: bool = True,
    ) -> None:
        super().__init__()
        if len(widths) != len(_STRIDES) or any(width % 2 for width in widths):
            raise ValueError("widths must be three even numbers")
        self.multiple = 16
        steps = zip((inputs, *widths[:-1]), widths, _KERNELS, _STRIDES, strict=True)
        self.embeddings = nn.ModuleList(Embedding(*step) for step in steps)
        self.encoder = nn.ModuleList(nn.ModuleList(Block(width) for _ in range(blocks)) for width in widths)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.fusion = ContextFusion(widths) if fusion else None
        self.lowest = nn.Sequential(*(Block(widths[-1]) for _ in range(blocks)))
        self.expansions = nn.ModuleList(Expansion(coarse, coarse // 2) for coarse in widths[1:])
        self.merges = nn.ModuleList(nn.Linear(coarse // 2 + fine, fine) for fine, coarse in pairwise(widths))
        self.decoder = nn.ModuleList(nn.Sequential(*(Block(width) for _ in range(blocks))) for width in widths[:-1])
        self.last = Expansion(widths[0], widths[0], 4)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def skips(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What goes to the decoder: tokens (n, j, i, c) of each stage, finest first."""
        found, lookups, contexts = [], [], []
        for embed, blocks, norm in zip(self.embeddings, self.encoder, self.norms, strict=True):
            *others, last = cast(Sequence[Block], blocks)
            tokens = embed(x)
            for block in others:
                tokens = block(tokens)
            tokens, queries, context = last.parts(tokens)
            lookups.append(queries)
            contexts.append(context)
            found.append(norm(tokens))
            x = found[-1].movedim(-1, 1)
        if self.fusion is None:
            return found
        shared = self.fusion(contexts)
        return [
            tokens + (queries @ context).view_as(tokens)
            for tokens, queries, context in zip(found, lookups, shared, strict=True)
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, j, i) of a picture (n, inputs, j, i)."""
        skips = self.skips(x)
        tokens = self.lowest(skips.pop())
        for n in reversed(range(len(skips))):
            tokens = self.decoder[n](self.merges[n](torch.cat([self.expansions[n](tokens), skips[n]], -1)))
        return self.head(self.last(tokens).movedim(-1, 1))
