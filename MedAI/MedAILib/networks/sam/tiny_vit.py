"""TinyViT-5M (Wu et al., ECCV 2022) as the image encoder of MobileSAM (Zhang et al. 2023).

MobileSAM does without the stride between the last two stages, so that the embedding has a sixteenth of the image's
side, and without the classifier; the classifier's weights, which lie in its checkpoint, have no place here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from .layers import joined, neck, windows

_EXPANDED = 4
_STRIDES = (2, 2, 1)
"""Between the stages."""


class TinyViT(nn.Module):
    """The encoder.

    Args:
        size: pixels along each side of the image, a multiple of 16.
        out: channels of the embedding.
        widths: channels of the four stages; the first is made of convolutions, the others of transformers.
        depths: blocks of each.
        heads: of the last three's attention.
        sides: tokens along the last three's windows.
    """

    def __init__(
        self,
        size: int = 1024,
        out: int = 256,
        widths: Sequence[int] = (64, 128, 160, 320),
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (4, 5, 10),
        sides: Sequence[int] = (7, 14, 7),
    ) -> None:
        super().__init__()
        if size % 16:
            raise ValueError("size must be a multiple of 16")
        self.size = size
        self.patch_embed = _Stem(widths[0])
        first: list[nn.Module] = [_Inverted(widths[0]) for _ in range(depths[0])]
        stages = [first]
        for width, depth, number, side in zip(widths[1:], depths[1:], heads, sides, strict=True):
            stages.append([_Block(width, number, side) for _ in range(depth)])
        merges = [_Merge(widths[n], widths[n + 1], stride) for n, stride in enumerate(_STRIDES)]
        self.layers = nn.ModuleList(_Stage(*parts) for parts in zip(stages, [*merges, None], strict=True))
        self.neck = neck(widths[-1], out)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The embedding (b, out, size / 16, size / 16) of a normalized image (b, 3, size, size)."""
        x = self.patch_embed(image)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)


class _ConvNorm(nn.Sequential):
    """A convolution and its normalization."""

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(after)


class _Stem(nn.Module):
    """A quarter of the image's side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(_ConvNorm(3, width // 2, 3, 2), nn.GELU(), _ConvNorm(width // 2, width, 3, 2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.seq(image)


class _Stage(nn.Module):
    """Blocks, then the way to the next stage where there is one."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks, self.downsample = nn.ModuleList(blocks), downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class _Inverted(nn.Module):
    """An inverted bottleneck (MobileNetV2), activated after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = _EXPANDED * width
        self.conv1, self.conv2 = _ConvNorm(width, wide), _ConvNorm(wide, wide, 3, groups=wide)
        self.conv3 = _ConvNorm(wide, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = functional.gelu(self.conv2(functional.gelu(self.conv1(x))))
        return functional.gelu(x + self.conv3(wide))


class _Merge(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _ConvNorm(before, after), _ConvNorm(after, after, 3, stride, groups=after)
        self.conv3 = _ConvNorm(after, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(x)))))


class _Block(nn.Module):
    """Attention within windows, a depthwise convolution, a feed-forward net."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.attn = _Attention(width, heads, side)
        self.local_conv = _ConvNorm(width, width, 3, groups=width)
        self.mlp = _FeedForward(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (x.shape[2], x.shape[3])
        cut = windows(x.movedim(1, -1), self.side)
        seen = self.attn(cut.flatten(1, 2)).reshape(cut.shape)
        x = self.local_conv(x + joined(seen, shape).movedim(-1, 1))
        return x + self.mlp(x.movedim(1, -1)).movedim(-1, 1)


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, _EXPANDED * width), nn.Linear(_EXPANDED * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(functional.gelu(self.fc1(self.norm(x))))


class _Attention(nn.Module):
    """Attention with a learned bias for each distance in rows and columns."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.norm = nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, side * side))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, side * side, c) likewise; each head's query, key and value lie together in the projection."""
        batch, count, _ = x.shape
        query, key, value = self.qkv(self.norm(x)).reshape(batch, count, self.heads, -1).transpose(1, 2).chunk(3, -1)
        bias = self.attention_biases[:, self._distances(x.device)]
        found = functional.scaled_dot_product_attention(query, key, value, bias.to(query.dtype))
        return self.proj(found.transpose(1, 2).reshape(batch, count, -1))

    def _distances(self, device: torch.device) -> torch.Tensor:
        """Index of the bias of each pair of tokens: their distance in rows times the side, plus that in columns."""
        place = torch.arange(self.side * self.side, device=device)
        row, column = place // self.side, place % self.side
        away = (row[:, None] - row[None, :]).abs() * self.side
        return away + (column[:, None] - column[None, :]).abs()
