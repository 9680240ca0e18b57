"""unORANIC: two encoders and two decoders that take a picture's anatomy and its image characteristics apart."""

from __future__ import annotations

import torch
from torch import nn

_LEVELS = 4


class _Residual(nn.Module):
    """Twice a convolution, batch normalization and leaky ReLU, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for _ in range(2):
            parts += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.LeakyReLU()]
        self.body = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def _resized(convolution: nn.Module, channels: int) -> nn.Sequential:
    """A convolution that halves or doubles the size, with what follows it."""
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.LeakyReLU())


def _encoder(latent: int) -> nn.Sequential:
    """Pictures (b, 1, y, x) to features (b, latent, y/16, x/16)."""
    width = latent // 2**_LEVELS
    parts: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1)]
    for _ in range(_LEVELS):
        down = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)
        parts += [_Residual(width), _resized(down, 2 * width)]
        width *= 2
    return nn.Sequential(*parts)


def _decoder(features: int, latent: int) -> nn.Sequential:
    """The encoder's mirror: (b, features, y/16, x/16) to (b, 1, y, x)."""
    parts: list[nn.Module] = []
    width, before = latent // 2, features
    for _ in range(_LEVELS):
        up = nn.ConvTranspose2d(before, width, 4, stride=2, padding=1, bias=False)
        parts += [_resized(up, width), _Residual(width)]
        before, width = width, width // 2
    return nn.Sequential(*parts, nn.Conv2d(before, 1, 3, padding=1))


class Unoranic(nn.Module):
    """Tells what a picture shows apart from how it was taken.

    Doerrich et al. 2023, "unORANIC: Unsupervised Orthogonalization of Anatomy and Image-Characteristic Features" (MLMI
    2023), section 2. E_A and E_C are encoders of four blocks, each a residual block and a strided convolution that
    halves the size and doubles the channels; D (from both codes to the picture as it came) and D_A (from the anatomy
    alone to the picture without its corruption) mirror them.

    The paper shows pictures of 28 x 28 whose code is a single vector of 256. Here the code is a map of 256 channels at
    a sixteenth of the size, so that slices of any size go through. A convolution from 1 channel to 16 comes first and
    one back to 1 last, which the paper does not mention.

    Args:
        latent: channels of a code, divisible by 16.

    Attributes:
        multiple: both sides of a picture must be divisible by this.
    """

    def __init__(self, latent: int = 256) -> None:
        super().__init__()
        if latent < 2**_LEVELS or latent % 2**_LEVELS:
            raise ValueError(f"latent must be a multiple of {2**_LEVELS}")
        self.multiple = 2**_LEVELS
        self.anatomy, self.characteristics = _encoder(latent), _encoder(latent)
        self.decoder, self.anatomy_decoder = _decoder(2 * latent, latent), _decoder(latent, latent)

    def clean(self, pictures: torch.Tensor) -> torch.Tensor:
        """Î_A = D_A(E_A(S)): pictures (b, 1, y, x), about 0 to 1, without their corruption."""
        return self.anatomy_decoder(self.anatomy(pictures))  # type: ignore[no-any-return]

    def forward(self, variants: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What training compares.

        Args:
            variants: (b, v, y, x), each picture corrupted in v ways; the first is S.

        Returns:
            Ŝ and Î_A, (b, 1, y, x) both, and the anatomy codes of all variants, (b, v, latent, y/16, x/16).
        """
        count, ways = variants.shape[:2]
        codes = self.anatomy(variants.flatten(0, 1)[:, None])
        codes = codes.reshape(count, ways, *codes.shape[1:])
        first, picture = codes[:, 0], variants[:, :1]
        again = self.decoder(torch.cat([first, self.characteristics(picture)], 1))
        return again, self.anatomy_decoder(first), codes
