"""Attention between two images whose sampling windows take any shape.

Chen et al. 2023, "Deformable Cross-Attention Transformer for Medical Image Registration" (MLMI 2023), Eq. 2. Tokens are
(n, k, j, i, c). Keys and values come from rectangular windows of the base image; the queries from the reference image,
looked up at p + Δp, where each head has offsets Δp of its own that a small network derives from the sum of both images'
tokens. What the paper leaves open, and how it is here:

- The offset network is a depth-wise convolution, a GELU and a 1x1x1 convolution that starts near zero (as in the
  authors' code), so attention begins as plain windowed cross-attention. Offsets go through tanh to half the grid's side
  at most (as there); the paper says that they may reach the whole image.
- A head's queries are projected before they are looked up, not after: trilinear interpolation and projection commute,
  and so each head samples its own projection of all channels, as Eq. 2 says, at the cost of its share of the channels.
- Tokens are looked up on the whole grid before windows are cut and shifted; the paper calls that analogous. Outside the
  grid the border token is seen.
- Windows that do not fill the grid are padded, and padding is masked.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional

from ..geometry import Shape
from .warping import warp


def split_windows(x: torch.Tensor, window: Shape) -> torch.Tensor:
    """(n, k, j, i, c), sides divisible by the window's, to (n, windows, tokens, c)."""
    n, *grid, channels = x.shape
    k, j, i = (size // side for size, side in zip(grid, window, strict=True))
    x = x.view(n, k, window[0], j, window[1], i, window[2], channels)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(n, k * j * i, math.prod(window), channels)


def join_windows(x: torch.Tensor, window: Shape, grid: Shape) -> torch.Tensor:
    """Undo :func:`split_windows` for a grid of this size."""
    k, j, i = (size // side for size, side in zip(grid, window, strict=True))
    x = x.view(len(x), k, j, i, *window, x.shape[-1])
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(len(x), *grid, x.shape[-1])


def shift_of(grid: Shape, window: Shape, shifted: bool) -> Shape:
    """By how much the windows of every other block are shifted: half a window where there is more than one."""
    k, j, i = (side // 2 if shifted and size > side else 0 for size, side in zip(grid, window, strict=True))
    return k, j, i


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def window_mask(grid: Shape, window: Shape, shift: Shape, device: torch.device) -> torch.Tensor | None:
    """(windows, 1, tokens, tokens) True where two tokens may see each other; None if all may.

    Tokens that a shift rolled around the grid's end do not see those they land beside (Liu et al. 2021, Swin), and
    padding and image do not see each other.
    """
    padded = [-(-size // side) * side for size, side in zip(grid, window, strict=True)]
    if not any(shift) and tuple(padded) == tuple(grid):
        return None
    region = torch.zeros(*padded, dtype=torch.long, device=device)
    for axis, (size, full, move) in enumerate(zip(grid, padded, shift, strict=True)):
        index = torch.arange(full, device=device).roll(-move)
        wrapped = torch.arange(full, device=device) >= full - move
        code = wrapped.long() + 2 * (index >= size).long()
        region = 4 * region + code.view([-1 if a == axis else 1 for a in range(3)])
    tokens = split_windows(region[None, ..., None], window)[0, :, :, 0]
    return (tokens[:, :, None] == tokens[:, None, :])[:, None]


class OffsetNetwork(nn.Module):
    """θ_Δp: where each head looks, from the tokens of both images.

    Args:
        channels: of the tokens.
        heads: of the attention.
        kernel: side of the depth-wise convolution, odd.
    """

    def __init__(self, channels: int, heads: int, kernel: int) -> None:
        super().__init__()
        self.heads = heads
        self.depth_wise = nn.Conv3d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.regular = nn.Conv3d(channels, 3 * heads, 1, bias=False)
        nn.init.normal_(self.regular.weight, std=1e-5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, heads, 3, k, j, i) offsets in tokens, for (n, k, j, i, c) tokens."""
        offsets = self.regular(functional.gelu(self.depth_wise(x.movedim(-1, 1))))
        limit = offsets.new_tensor(x.shape[1:4]).view(3, 1, 1, 1) / 2
        return offsets.view(len(x), self.heads, 3, *x.shape[1:4]).tanh() * limit


class DeformableCrossAttention(nn.Module):
    """DW-MCA, Eq. 2.

    Args:
        channels: D of the tokens, divisible by ``heads``.
        heads: of the attention.
        window: side of the windows, tokens.
        kernel: of the offset network.
    """

    relative: torch.Tensor

    def __init__(self, channels: int, heads: int, window: Shape, kernel: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(channels, 2 * channels, bias=False)
        self.project = nn.Linear(channels, channels)
        self.offsets = OffsetNetwork(channels, heads, kernel)
        self.bias = nn.Parameter(torch.empty(math.prod(2 * side - 1 for side in window), heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("relative", _relative(window), persistent=False)

    def forward(
        self, base: torch.Tensor, reference: torch.Tensor, shifted: bool = False, offsets: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Attend.

        Args:
            base, reference: (n, k, j, i, c), normalized.
            shifted: shift the windows by half their size.
            offsets: (n, heads, 3, k, j, i) tokens; None: from the offset network.

        Returns:
            Same shape as ``base``.
        """
        n, k, j, i, channels = base.shape
        grid = (k, j, i)
        if offsets is None:
            offsets = self.offsets(base + reference)
        queries = self.query(reference).movedim(-1, 1).reshape(n * self.heads, channels // self.heads, *grid)
        sampled = warp(queries, offsets.flatten(0, 1)).reshape(n, channels, *grid).movedim(1, -1)
        keys, values = self.key_value(base).chunk(2, -1)
        shift = shift_of(grid, self.window, shifted)
        q, k_, v = (self._heads(x, shift) for x in (sampled, keys, values))
        tokens = math.prod(self.window)
        bias = self.bias[self.relative].view(tokens, tokens, self.heads).permute(2, 0, 1)
        mask = window_mask(grid, self.window, shift, base.device)
        if mask is not None:
            bias = bias.masked_fill(~mask, -torch.inf)
        mixed = functional.scaled_dot_product_attention(q, k_, v, attn_mask=bias.to(q.dtype))
        padded = self._padded(grid)
        mixed = join_windows(mixed.transpose(2, 3).flatten(3), self.window, padded)
        return self.project(mixed.roll(shift, (1, 2, 3))[:, :k, :j, :i])

    def _padded(self, grid: Shape) -> Shape:
        k, j, i = (-(-size // side) * side for size, side in zip(grid, self.window, strict=True))
        return k, j, i

    def _heads(self, x: torch.Tensor, shift: Shape) -> torch.Tensor:
        """(n, k, j, i, c) to (n, windows, heads, tokens, c / heads)."""
        grid = (x.shape[1], x.shape[2], x.shape[3])
        sides = [full - size for full, size in zip(self._padded(grid), grid, strict=True)]
        x = functional.pad(x, [0, 0, 0, sides[2], 0, sides[1], 0, sides[0]])
        x = split_windows(x.roll([-move for move in shift], (1, 2, 3)), self.window)
        return x.unflatten(-1, (self.heads, -1)).transpose(2, 3)


def _relative(window: Shape) -> torch.Tensor:
    """(tokens²,) row of the bias table for each pair of a window's tokens."""
    index = torch.stack(torch.meshgrid(*(torch.arange(side) for side in window), indexing="ij")).flatten(1)
    number = torch.zeros(index.shape[1], index.shape[1], dtype=torch.long)
    for axis, side in enumerate(window):
        number = number * (2 * side - 1) + index[axis][:, None] - index[axis][None] + side - 1
    return number.flatten()
