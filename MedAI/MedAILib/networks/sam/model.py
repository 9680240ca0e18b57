"""The Segment Anything Model as a whole, and its image encoders by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .tiny_vit import TinyViT
from .vit import ViTEncoder

STRIDE = 16
"""Pixels along a side of one place of the embedding, whatever the encoder."""
ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "vit_b": partial(ViTEncoder, channels=768, depth=12, heads=12, whole=(2, 5, 8, 11)),
    "vit_l": partial(ViTEncoder, channels=1024, depth=24, heads=16, whole=(5, 11, 17, 23)),
    "vit_h": partial(ViTEncoder, channels=1280, depth=32, heads=16, whole=(7, 15, 23, 31)),
    "vit_t": TinyViT,
}
"""SAM's base, large and huge, and MobileSAM's tiny encoder."""


def image_encoder(name: str, size: int, out: int, changes: Mapping[str, Any] | None = None) -> nn.Module:
    """An encoder by name.

    Args:
        name: key of :data:`ENCODERS`.
        size: pixels along each side of the image.
        out: channels of the embedding.
        changes: other arguments of the encoder.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in ENCODERS:
        raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, not {name!r}")
    return ENCODERS[name](size=size, out=out, **(changes or {}))


class Sam(nn.Module):
    """The network.

    Args:
        encoder: name of the image encoder.
        size: pixels along each side of the image.
        channels: of embedding and tokens.
        changes: other arguments of the image encoder, for other sizes than the published.

    Attributes:
        size: as given.
    """

    def __init__(
        self, encoder: str = "vit_b", size: int = 1024, channels: int = 256, changes: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.size = size
        self.image_encoder = image_encoder(encoder, size, channels, changes)
        self.prompt_encoder = PromptEncoder(channels, size, size // STRIDE)
        self.mask_decoder = MaskDecoder(channels)

    def embed(self, image: torch.Tensor) -> torch.Tensor:
        """What every prompt on an image shares: (b, channels, size / 16, size / 16) of (b, 3, size, size)."""
        return self.image_encoder(image)

    def answer(
        self,
        embedding: torch.Tensor,
        points: torch.Tensor,
        labels: torch.Tensor,
        boxes: torch.Tensor | None = None,
        masks: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (b, 4, size / 4, size / 4) and their qualities (b, 4).

        The first mask is meant for several prompts; after a single point, the best of the others is to be taken.

        Args:
            embedding: of :meth:`embed`.
            points, labels, boxes, masks: see :class:`PromptEncoder`.
        """
        tokens, added = self.prompt_encoder(points, labels, boxes, masks)
        return self.mask_decoder(embedding, self.prompt_encoder.places(), tokens, added)

    def forward(self, image: torch.Tensor, points: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits (b, 4, size / 4, size / 4) of images (b, 3, size, size) with points on them."""
        return self.answer(self.embed(image), points, labels)[0]
