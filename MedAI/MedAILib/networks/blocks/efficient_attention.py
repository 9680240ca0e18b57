"""Attention that is linear in the number of tokens (Shen et al. 2021, "Efficient Attention").

Softmax over a query's channels and, separately, over the tokens of each key channel: ``E = rho_q(Q) (rho_k(K)^T V)``.
The part in brackets is the *context*, as many rows and columns as keys and values have channels; no tokens x tokens
matrix is ever made.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def context_of(keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """``rho_k(K)^T V``: (..., dk, dv) of keys (..., t, dk) and values (..., t, dv)."""
    return functional.softmax(keys, dim=-2).transpose(-2, -1) @ values


def efficient_attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """(..., q, dv) of queries (..., q, dk), keys (..., t, dk) and values (..., t, dv)."""
    return functional.softmax(queries, dim=-1) @ context_of(keys, values)


def multi_head_attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, heads: int) -> torch.Tensor:
    """Scaled dot-product attention, which is quadratic: (n, q, c) of queries (n, q, c), keys and values (n, t, c)."""
    split = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (queries, keys, values))
    return functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


class EfficientAttention(nn.Module):
    """Efficient self-attention with one head.

    Args:
        channels: of the tokens, and of queries, keys and values.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.queries, self.keys = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.values, self.project = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def parts(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalized queries (n, t, c) and context (n, c, c) of tokens (n, t, c)."""
        return functional.softmax(self.queries(x), dim=-1), context_of(self.keys(x), self.values(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, t, c) of tokens (n, t, c)."""
        queries, context = self.parts(x)
        return self.project(queries @ context)
