"""Mammo-SAM: masses in whole mammograms, without prompts (Xiong et al., MLMI 2023), for weights that users bring.

SAM's image encoder is frozen; a multi-scale adapter before each of its blocks (Sec. 2.1, Fig. 2 b) and a decoder of
three U-Net blocks and a multi-scale block (Sec. 2.2, Fig. 3) are trained. What the paper calls a convolution is one
with layer normalization and GELU in the adapters and the multi-scale block, one with batch normalization and ReLU in
the decoder's other blocks.

The paper leaves open, and here is chosen: the decoder starts from the encoder's embedding, whose neck is frozen, too,
and each of its blocks halves the channels; it has no connections past the encoder, whose blocks all have one
resolution; the multi-scale block's last convolution is 1x1; the logits, at half of the image's side after three
doublings, are interpolated to the image's; the adapters add nothing at first; images have SAM's 1024 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .sam.layers import LayerNorm2d
from .sam.model import image_encoder
from .sam.vit import ViTEncoder

DILATIONS = (1, 2, 3, 4)
_UPS = 3


class MultiScale(nn.Module):
    """Four dilated 3x3 convolutions side by side, each to a quarter of the channels (Fig. 2 b, 3 b)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_conv(channels, channels // 4, 3, dilation) for dilation in DILATIONS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) likewise."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class Adapter(nn.Module):
    """The multi-scale adapter: a bottleneck of a quarter of the channels (Fig. 2 b).

    Args:
        channels: of the tokens, a multiple of 16.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = _conv(channels, channels // 4)
        self.scales = MultiScale(channels // 4)
        self.up = _conv(channels // 4, channels)
        with torch.no_grad():
            self.up.get_parameter("1.weight").zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to the tokens (b, c, h, w)."""
        return self.up(self.scales(self.down(x)))


class MammoSam(nn.Module):
    """The network.

    Args:
        encoder: name of the image encoder, one of SAM's, see :data:`MedAILib.networks.sam.model.ENCODERS`.
        size: pixels along each side of the image.
        channels: of the embedding.
        changes: other arguments of the image encoder, for other sizes than the published.

    Attributes:
        size: as given.
    """

    def __init__(
        self, encoder: str = "vit_l", size: int = 1024, channels: int = 256, changes: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        found = image_encoder(encoder, size, channels, changes)
        if not isinstance(found, ViTEncoder):
            raise ValueError(f"adapters go into SAM's transformers; {encoder!r} is none of them")
        self.size = size
        self.image_encoder = found.requires_grad_(False)
        self.adapters = nn.ModuleList(Adapter(found.channels) for _ in range(found.depth))
        self.ups = nn.ModuleList(_Up(channels >> n, channels >> n + 1) for n in range(_UPS))
        self.scales = MultiScale(channels >> _UPS)
        self.head = nn.Conv2d(channels >> _UPS, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (b, 1, size, size) of images (b, 3, size, size)."""
        x = self.image_encoder(image, self.adapters)
        for up in self.ups:
            x = up(x)
        logits = self.head(self.scales(x))
        return functional.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)


def _conv(before: int, after: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """The paper's k x k Conv^d."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, padding=padding, dilation=dilation), LayerNorm2d(after), nn.GELU()
    )


class _Up(nn.Module):
    """A U-Net decoder block without its connection."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(before, after, 2, 2)
        parts: list[nn.Module] = []
        for _ in range(2):
            parts += [nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.convs = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convs(self.grow(x))
