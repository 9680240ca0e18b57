"""SkipNet, the hourglass of the deep image prior, and the two-armed network that dmDIP makes of three of them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_SLOPE = 0.2


class _Layer(nn.Sequential):
    """Reflection padding, convolution, batch normalization, leaky rectifier."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        padding: list[nn.Module] = [nn.ReflectionPad2d(size // 2)] if size > 1 else []
        super().__init__(
            *padding,
            nn.Conv2d(inputs, outputs, size, stride),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(_SLOPE, inplace=True),
        )


class _Block(nn.Module):
    """Half the size and back, beside a thin skip connection; ``inner`` works at half the size."""

    def __init__(self, inputs: int, channels: int, skip: int, inner: nn.Module) -> None:
        super().__init__()
        self.down = nn.Sequential(_Layer(inputs, channels, stride=2), _Layer(channels, channels))
        self.inner = inner
        self.skip = _Layer(inputs, skip, 1)
        self.normalize = nn.BatchNorm2d(channels + skip)
        self.up = nn.Sequential(_Layer(channels + skip, channels), _Layer(channels, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        deep = self.inner(self.down(x))
        deep = functional.interpolate(deep, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.up(self.normalize(torch.cat([deep[..., : x.shape[2], : x.shape[3]], self.skip(x)], 1)))


class SkipNet(nn.Module):
    """Encoder and decoder with thin skip connections (Ulyanov et al. 2018, Deep Image Prior, "skip" architecture).

    Args:
        inputs, outputs: channels.
        blocks: downsampling-upsampling blocks; each halves the size, which must stay 2 or more.
        channels: of all layers; 128 in the paper of the deep image prior.
        skip: channels of the skip connections; 4 in that paper.
        head: end in a 1x1 convolution and a sigmoid, so that images lie in 0 to 1; False gives features.
    """

    def __init__(
        self, inputs: int, outputs: int, blocks: int, channels: int = 128, skip: int = 4, head: bool = True
    ) -> None:
        super().__init__()
        body: nn.Module = nn.Identity()
        for number in reversed(range(blocks)):
            body = _Block(inputs if number == 0 else channels, channels, skip, body)
        self.body = body
        self.head = nn.Sequential(nn.Conv2d(channels, outputs, 1), nn.Sigmoid()) if head else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, inputs, y, x) to (b, outputs, y, x); without a head ``channels`` features."""
        return self.head(self.body(x))


class DualModal(nn.Module):
    """dmDIP's network: a SkipNet finds features that all contrasts share, one SkipNet for each makes its image of them.

    Tsai et al. 2023, "Robust Unsupervised Super-Resolution of Infant MRI via Dual-Modal Deep Image Prior" (MLMI 2023),
    Fig. 1: f_θ1 of 2 blocks, f_θ2 and f_θ3 of 6. The paper says nothing of channels; those are the deep image prior's.

    Args:
        inputs: channels of the noise.
        outputs: channels of each contrast's image.
        common, arms: blocks of the shared network and of each arm.
        channels: of all layers.
    """

    def __init__(
        self, inputs: int, outputs: tuple[int, ...], common: int = 2, arms: int = 6, channels: int = 128
    ) -> None:
        super().__init__()
        self.common = SkipNet(inputs, channels, common, channels, head=False)
        self.arms = nn.ModuleList(SkipNet(channels, count, arms, channels) for count in outputs)

    def forward(self, noise: torch.Tensor) -> list[torch.Tensor]:
        """Images, 0 to 1, one (b, outputs, y, x) per contrast, of noise (b, inputs, y, x)."""
        features = self.common(noise)
        return [arm(features) for arm in self.arms]
