"""What several parts of SAM are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


class LayerNorm2d(nn.LayerNorm):
    """Normalizes the channels of each pixel of (b, c, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them.

    Args:
        channels: in and out.
        hidden: between.
        activation: GELU in the image encoder, ReLU in the mask decoder.
    """

    def __init__(self, channels: int, hidden: int, activation: type[nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.act = activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lin2(self.act(self.lin1(x)))


class Perceptron(nn.Module):
    """Linear layers of the given sizes with ReLU between them."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.layers[-1](x)


def neck(channels: int, out: int) -> nn.Sequential:
    """From an encoder's features (b, channels, h, w) to the embedding (b, out, h, w)."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 1, bias=False),
        LayerNorm2d(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        LayerNorm2d(out),
    )


def windows(x: torch.Tensor, side: int) -> torch.Tensor:
    """(b, h, w, c) cut into windows (b * n, side, side, c), row by row; zeros fill the last ones."""
    batch, height, width, channels = x.shape
    x = functional.pad(x, (0, 0, 0, -width % side, 0, -height % side))
    rows, columns = x.shape[1] // side, x.shape[2] // side
    cut = x.reshape(batch, rows, side, columns, side, channels).transpose(2, 3)
    return cut.reshape(-1, side, side, channels)


def joined(cut: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The way back from :func:`windows`: (b, h, w, c), ``shape`` being its h and w."""
    side, channels = cut.shape[1], cut.shape[3]
    rows, columns = -(-shape[0] // side), -(-shape[1] // side)
    x = cut.reshape(-1, rows, columns, side, side, channels).transpose(2, 3)
    return x.reshape(-1, rows * side, columns * side, channels)[:, : shape[0], : shape[1]]
