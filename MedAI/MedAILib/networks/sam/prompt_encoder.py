"""SAM's prompt encoder: points, boxes and masks as tokens and features."""

from __future__ import annotations

import math

import torch
from torch import nn

from .layers import LayerNorm2d

OUTSIDE, INSIDE, NO_POINT = 0, 1, -1
"""Labels of points; the last fills up and means nothing."""


class PromptEncoder(nn.Module):
    """The encoder.

    Args:
        channels: of a token.
        size: pixels along each side of the image.
        grid: along each side of its embedding.
    """

    def __init__(self, channels: int = 256, size: int = 1024, grid: int = 64) -> None:
        super().__init__()
        self.channels, self.size, self.grid = channels, size, grid
        self.pe_layer = FourierFeatures(channels)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, 2), LayerNorm2d(4), nn.GELU(),
            nn.Conv2d(4, 16, 2, 2), LayerNorm2d(16), nn.GELU(),
            nn.Conv2d(16, channels, 1),
        )  # fmt: skip
        self.no_mask_embed = nn.Embedding(1, channels)

    def forward(
        self,
        points: torch.Tensor,
        labels: torch.Tensor,
        boxes: torch.Tensor | None = None,
        masks: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (b, n, c) and features (b, c, grid, grid), the latter to be added to the image's embedding.

        Args:
            points: (b, n, 2) pixels (x, y) of the image that the encoder sees; n may be 0.
            labels: (b, n) of :data:`INSIDE`, :data:`OUTSIDE`, :data:`NO_POINT`.
            boxes: (b, 4) pixels x0, y0, x1, y1; where there is none, a point that means nothing follows the others.
            masks: (b, 1, 4 * grid, 4 * grid) logits of an earlier answer.
        """
        if boxes is None:
            points = torch.cat([points, points.new_zeros(len(points), 1, 2)], 1)
            labels = torch.cat([labels, labels.new_full((len(labels), 1), NO_POINT)], 1)
        tokens = self._points(points, labels)
        if boxes is not None:
            corners = self.pe_layer((boxes.reshape(-1, 2, 2) + 0.5) / self.size)
            tokens = torch.cat([tokens, corners + torch.cat([self._kind(2), self._kind(3)])], 1)
        if masks is not None:
            return tokens, self.mask_downscaling(masks)
        nothing = self.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return tokens, nothing.expand(len(tokens), -1, self.grid, self.grid)

    def places(self) -> torch.Tensor:
        """Where each place of the embedding is: (1, c, grid, grid)."""
        middles = (torch.arange(self.grid, device=self.no_mask_embed.weight.device) + 0.5) / self.grid
        y, x = torch.meshgrid(middles, middles, indexing="ij")
        return self.pe_layer(torch.stack([x, y], -1)).permute(2, 0, 1)[None]

    def _points(self, points: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        where = self.pe_layer((points + 0.5) / self.size)
        labels = labels[..., None]
        tokens = torch.where(labels == NO_POINT, self.not_a_point_embed.weight, where)
        for label in (OUTSIDE, INSIDE):
            tokens = torch.where(labels == label, tokens + self._kind(label), tokens)
        return tokens

    def _kind(self, number: int) -> torch.Tensor:
        """(1, c): what a point outside, a point inside, a box's first and its second corner have in common."""
        return self.point_embeddings[number](torch.zeros(1, dtype=torch.long, device=self.no_mask_embed.weight.device))


class FourierFeatures(nn.Module):
    """Places as sines and cosines of random frequencies (Tancik et al. 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.positional_encoding_gaussian_matrix: torch.Tensor
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """(…, channels) of places (…, 2) between 0 and 1, x first."""
        angles = 2.0 * math.pi * ((2.0 * places - 1.0) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angles.sin(), angles.cos()], -1)
