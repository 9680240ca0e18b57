"""SPPNet: one click for microscopic slices (Xu et al., MLMI 2023), for weights that users bring.

SAM with MobileSAM's encoder, beside it the low-level semantic information extractor (LLSIE, Sec. 2.2), whose features
are joined with the mask decoder's at a quarter of the image's side; a 1x1 convolution of both is the answer (Sec. 2.3).

Two things of the paper do not go together: an LLSIE that sees 256 x 256 pixels and pools them, and an outcome of
256 x 256. Here it sees half of the image's side, 512 pixels, so that pooling gives the 256 of the mask decoder. The
paper leaves open, and here is chosen: 32 channels, as many as the mask decoder's features have; normalization and ReLU
after each convolution; a residual connection around depthwise and pointwise convolution; the joined features are those
of the mask decoder before its masks' tokens color them, so that its hypernetworks and its guess of the overlap, whose
weights are kept so that SAM's load, do not take part. The authors' published program differs from their text: it adds
the features instead of joining them, and does not pool.

The paper counts 9.79 M parameters, 9.78 M of them without LLSIE. This network has 9.81 M, all but 0.003 M of them
without LLSIE; of MobileSAM's, 9.78 M are weights of convolutions, linear layers and batch normalizations that a point
passes through, so that the paper's counter seems to have left out the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .sam.mask_decoder import MaskDecoder
from .sam.model import STRIDE, image_encoder
from .sam.prompt_encoder import PromptEncoder

Embedded = tuple[torch.Tensor, torch.Tensor]


class LowLevel(nn.Module):
    """LLSIE: what the pixels themselves tell (Fig. 2 c).

    Args:
        channels: of its features.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        self.depthwise = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.pointwise = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(b, channels, h / 2, w / 2) of (b, 3, h, w)."""
        x = self.head(image)
        return functional.max_pool2d(x + self.pointwise(self.depthwise(x)), 2)


class SPPNet(nn.Module):
    """The network.

    Args:
        encoder: name of the image encoder, see :data:`MedAILib.networks.sam.model.ENCODERS`.
        size: pixels along each side of the image.
        channels: of embedding and tokens.
        changes: other arguments of the image encoder, for other sizes than the published.

    Attributes:
        size: as given.
    """

    def __init__(
        self, encoder: str = "vit_t", size: int = 1024, channels: int = 256, changes: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.size = size
        self.image_encoder = image_encoder(encoder, size, channels, changes)
        self.prompt_encoder = PromptEncoder(channels, size, size // STRIDE)
        self.mask_decoder = MaskDecoder(channels)
        self.low_level = LowLevel(channels // 8)
        self.fusion = nn.Conv2d(channels // 4, 1, 1)

    def embed(self, image: torch.Tensor) -> Embedded:
        """What every prompt on an image (b, 3, size, size) shares: its embedding and its low-level features."""
        small = functional.interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False, antialias=True)
        return self.image_encoder(image), self.low_level(small)

    def answer(self, embedded: Embedded, points: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits (b, 1, size / 4, size / 4).

        Args:
            embedded: of :meth:`embed`.
            points: (b, n, 2) pixels (x, y): one in the object, one in the background.
            labels: (b, n), see :class:`~MedAILib.networks.sam.prompt_encoder.PromptEncoder`.
        """
        embedding, low = embedded
        tokens, added = self.prompt_encoder(points, labels)
        _, grown = self.mask_decoder.features(embedding, self.prompt_encoder.places(), tokens, added)
        return self.fusion(torch.cat([grown, low], 1))

    def forward(self, image: torch.Tensor, points: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits (b, 1, size / 4, size / 4) of images (b, 3, size, size) with points on them."""
        return self.answer(self.embed(image), points, labels)
