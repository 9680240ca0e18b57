"""SAM's mask decoder: tokens and image features look at each other, then each mask's token colors the features."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .layers import FeedForward, LayerNorm2d, Perceptron

MASKS = 4
"""The first mask is for prompts that leave no doubt; the others are whole, part and subpart."""


class MaskDecoder(nn.Module):
    """The decoder.

    Args:
        channels: of tokens and embedding, a multiple of 8.
        heads: of the attention.
        hidden: of the transformer's feed-forward nets.
    """

    def __init__(self, channels: int = 256, heads: int = 8, hidden: int = 2048) -> None:
        super().__init__()
        narrow = channels // 8
        self.transformer = _TwoWayTransformer(channels, heads, hidden)
        self.iou_token, self.mask_tokens = nn.Embedding(1, channels), nn.Embedding(MASKS, channels)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 4, 2, 2), LayerNorm2d(channels // 4), nn.GELU(),
            nn.ConvTranspose2d(channels // 4, narrow, 2, 2), nn.GELU(),
        )  # fmt: skip
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron((channels, channels, channels, narrow)) for _ in range(MASKS)
        )
        self.iou_prediction_head = Perceptron((channels, channels, channels, MASKS))

    def features(
        self, image: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor, added: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the transformer makes of prompts and image.

        Args:
            image: (b, c, h, w) embedding, or (1, c, h, w) for all prompts.
            places: (1, c, h, w) of :meth:`PromptEncoder.places`.
            tokens, added: (b, n, c) and (b, c, h, w) of the prompt encoder.

        Returns:
            (b, 5, c): the quality's and the masks' tokens; (b, c / 8, 4 h, 4 w): features.
        """
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])[None].expand(len(tokens), -1, -1)
        image = image + added
        found, seen = self.transformer(image, places, torch.cat([own, tokens], 1))
        grown = self.output_upscaling(seen.transpose(1, 2).reshape(image.shape))
        return found[:, : MASKS + 1], grown

    def forward(
        self, image: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor, added: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (b, 4, 4 h, 4 w) and the overlap with the truth that each mask believes to have, (b, 4).

        Arguments as of :meth:`features`.
        """
        found, grown = self.features(image, places, tokens, added)
        colors = torch.stack([net(found[:, n + 1]) for n, net in enumerate(self.output_hypernetworks_mlps)], 1)
        return torch.einsum("bmc,bchw->bmhw", colors, grown), self.iou_prediction_head(found[:, 0])


class _TwoWayTransformer(nn.Module):
    def __init__(self, channels: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_TwoWayLayer(channels, heads, hidden, number == 0) for number in range(2))
        self.final_attn_token_to_image = _Attention(channels, heads, 2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(
        self, image: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (b, n, c) and image (b, h * w, c) after they have seen each other."""
        seen, places = image.flatten(2).transpose(1, 2), places.flatten(2).transpose(1, 2)
        found = tokens
        for layer in self.layers:
            found, seen = layer(found, seen, tokens, places)
        found = found + self.final_attn_token_to_image(found + tokens, seen + places, seen)
        return self.norm_final_attn(found), seen


class _TwoWayLayer(nn.Module):
    """Tokens look at tokens, tokens at the image, the image at tokens. The first layer's tokens are where they are."""

    def __init__(self, channels: int, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = _Attention(channels, heads, 1)
        self.cross_attn_token_to_image = _Attention(channels, heads, 2)
        self.cross_attn_image_to_token = _Attention(channels, heads, 2)
        self.mlp = FeedForward(channels, hidden, nn.ReLU)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.norm3, self.norm4 = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(
        self, tokens: torch.Tensor, image: torch.Tensor, named: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both anew; ``named`` are the tokens before the first layer, which tell where and what they are."""
        if self.first:
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            tokens = self.norm1(tokens + self.self_attn(tokens + named, tokens + named, tokens))
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + named, image + places, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image + places, tokens + named, tokens))
        return tokens, image


class _Attention(nn.Module):
    """Attention in fewer channels."""

    def __init__(self, channels: int, heads: int, fewer: int) -> None:
        super().__init__()
        self.heads, inner = heads, channels // fewer
        self.q_proj, self.k_proj = nn.Linear(channels, inner), nn.Linear(channels, inner)
        self.v_proj, self.out_proj = nn.Linear(channels, inner), nn.Linear(inner, channels)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        def split(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        parts = split(self.q_proj(query)), split(self.k_proj(key)), split(self.v_proj(value))
        found = functional.scaled_dot_product_attention(*parts)
        return self.out_proj(found.transpose(1, 2).flatten(2))
