"""Pictures as grids of tokens (n, j, i, c), as transformers want them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Embedding(nn.Module):
    """Overlapping patches of a picture as tokens, layer-normalized (Xie et al. 2021, SegFormer).

    Args:
        inputs: channels of the picture.
        outputs: of the tokens.
        kernel, stride: of the patches, in pixels.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, j / stride, i / stride, outputs) of a picture (n, inputs, j, i)."""
        return self.norm(self.project(x).movedim(1, -1))


class Expansion(nn.Module):
    """Each token becomes a square of ``factor`` x ``factor`` tokens, layer-normalized (Cao et al. 2022, Swin-Unet).

    Args:
        inputs, outputs: channels before and after.
        factor: enlargement.
    """

    def __init__(self, inputs: int, outputs: int, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.expand = nn.Linear(inputs, factor * factor * outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, factor * j, factor * i, outputs) of tokens (n, j, i, inputs)."""
        squares = self.expand(x).unflatten(-1, (self.factor, self.factor, -1))
        return self.norm(squares.transpose(2, 3).flatten(3, 4).flatten(1, 2))


class MixFFN(nn.Module):
    """Linear layer, depth-wise 3x3 convolution, GELU, linear layer (Xie et al. 2021, SegFormer): the convolution's zero
    padding tells tokens where they are.

    Args:
        channels: of the tokens.
        ratio: how many times as many are in between.
    """

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        hidden = ratio * channels
        self.widen, self.narrow = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, j, i, c) of tokens (n, j, i, c)."""
        mixed = self.mix(self.widen(x).movedim(-1, 1)).movedim(1, -1)
        return self.narrow(functional.gelu(mixed))
