"""SAM's image encoder: a plain vision transformer that mostly attends within windows.

Backbone: Li et al. 2022 (ViTDet); the positions in the attention, a sum of a row's and a column's term: Li et al. 2022
(MViTv2, Eq. 4).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import nn
from torch.nn import functional

from .layers import FeedForward, joined, neck, windows


class ViTEncoder(nn.Module):
    """The encoder.

    Args:
        size: pixels along each side of the image, a multiple of ``patch``.
        out: channels of the embedding.
        channels: of the transformer.
        depth: number of blocks.
        heads: of their attention.
        whole: numbers of the blocks that attend to the whole image.
        window: tokens along a window's side in the others.
        patch: pixels along a token's side.
    """

    def __init__(
        self,
        size: int = 1024,
        out: int = 256,
        channels: int = 768,
        depth: int = 12,
        heads: int = 12,
        whole: Collection[int] = (2, 5, 8, 11),
        window: int = 14,
        patch: int = 16,
    ) -> None:
        super().__init__()
        if size % patch:
            raise ValueError(f"size must be a multiple of {patch}")
        self.size, self.channels, self.depth = size, channels, depth
        grid = size // patch
        self.patch_embed = _Patches(channels, patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, channels))
        self.blocks = nn.ModuleList(
            _Block(channels, heads, grid, 0 if number in whole else window) for number in range(depth)
        )
        self.neck = neck(channels, out)

    def forward(self, image: torch.Tensor, adapters: Sequence[nn.Module] | None = None) -> torch.Tensor:
        """The embedding (b, out, size / patch, size / patch).

        Args:
            image: (b, 3, size, size), normalized.
            adapters: one for each block: what it makes of (b, c, h, w) is added before the block.
        """
        x = self.patch_embed(image) + self.pos_embed
        for number, block in enumerate(self.blocks):
            if adapters is not None:
                x = x + adapters[number](x.movedim(-1, 1)).movedim(1, -1)
            x = block(x)
        return self.neck(x.movedim(-1, 1))


class _Patches(nn.Module):
    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, patch, patch)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(b, 3, h, w) to tokens (b, h / patch, w / patch, c)."""
        return self.proj(image).movedim(1, -1)


class _Block(nn.Module):
    """Attention, then a feed-forward net, both residual. A window of 0 is the whole image."""

    def __init__(self, channels: int, heads: int, grid: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1, self.norm2 = nn.LayerNorm(channels, eps=1e-6), nn.LayerNorm(channels, eps=1e-6)
        self.attn = _Attention(channels, heads, window or grid)
        self.mlp = FeedForward(channels, 4 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.norm1(x)
        if self.window:
            shape = (x.shape[1], x.shape[2])
            seen = joined(self.attn(windows(seen, self.window)), shape)
        else:
            seen = self.attn(seen)
        x = x + seen
        return x + self.mlp(self.norm2(x))


class _Attention(nn.Module):
    """Attention of the tokens of a square to each other; what tells where they are depends on the query."""

    def __init__(self, channels: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, channels // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, channels // heads))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, side = len(x), self.side
        query, key, value = self.qkv(x).reshape(batch, side * side, 3, self.heads, -1).permute(2, 3, 0, 1, 4)
        away = torch.arange(side, device=x.device)
        away = away[:, None] - away[None, :] + side - 1
        rows, columns = self.rel_pos_h[away], self.rel_pos_w[away]
        found = []
        for head in range(self.heads):  # one by one: the biases of a whole image are 64 MiB each
            place = query[head].reshape(batch, side, side, -1)
            down = torch.einsum("bhwc,hkc->bhwk", place, rows)
            across = torch.einsum("bhwc,wkc->bhwk", place, columns)
            bias = (down[..., :, None] + across[..., None, :]).reshape(batch, side * side, side * side)
            found.append(functional.scaled_dot_product_attention(query[head], key[head], value[head], bias))
        return self.proj(torch.cat(found, -1).reshape(batch, side, side, -1))
