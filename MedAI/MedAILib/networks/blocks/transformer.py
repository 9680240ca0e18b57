"""A transformer over the tokens of a volume (Dosovitskiy et al. 2021; Hatamizadeh et al. 2022, UNETR)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class TransformerLayer(nn.Module):
    """Self-attention and a point-wise net, each after a normalization and around an identity.

    Args:
        width: of a token.
        heads: of the attention; must divide the width.
        expansion: of the point-wise net's hidden layer.
    """

    def __init__(self, width: int, heads: int, expansion: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise ValueError("the number of heads must divide the width of a token")
        self.heads = heads
        self.norm_attention, self.norm_point = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.point = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, tokens, width) of the same."""
        n, tokens, width = x.shape
        three = self.project(self.norm_attention(x)).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(three[0], three[1], three[2])
        x = x + self.merge(seen.transpose(1, 2).reshape(n, tokens, width))
        return x + self.point(self.norm_point(x))


class VolumeTransformer(nn.Module):
    """Cuts a volume into blocks that do not overlap, and gives the tokens of some layers as feature maps.

    Args:
        inputs: channels of the volume.
        block: side of a block in voxels.
        grid: number of blocks along (k, j, i) that places are learned for; they are interpolated for other volumes.
        width, heads: of the tokens and the attention.
        layers: number of layers.
        taken: numbers of the layers, from 1, whose tokens are given.
    """

    def __init__(
        self,
        inputs: int,
        block: int,
        grid: Sequence[int],
        width: int,
        heads: int,
        layers: int,
        taken: Sequence[int],
    ) -> None:
        super().__init__()
        if not taken or not 1 <= min(taken) <= max(taken) <= layers:
            raise ValueError("tokens can be taken from the transformer's layers only")
        self.taken = frozenset(taken)
        self.embed = nn.Conv3d(inputs, width, block, stride=block)
        self.places = nn.Parameter(0.02 * torch.randn(1, width, *grid))
        self.layers = nn.ModuleList(TransformerLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps (n, width, k / block, j / block, i / block) of the taken layers; the last layer's is normalized.

        Args:
            x: (n, inputs, k, j, i), sides divisible by the block's.
        """
        tokens = self.embed(x)
        shape = tokens.shape
        places: torch.Tensor = self.places
        if places.shape[2:] != shape[2:]:
            places = functional.interpolate(places, shape[2:], mode="trilinear")
        rows = (tokens + places).flatten(2).transpose(1, 2)
        maps = []
        for number, layer in enumerate(self.layers, 1):
            rows = layer(rows)
            if number in self.taken:
                shown = self.norm(rows) if number == len(self.layers) else rows
                maps.append(shown.transpose(1, 2).reshape(shape))
        return maps
