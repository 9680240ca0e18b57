"""V-Net: residual stages of 5x5x5 convolutions without normalization (Milletari, Navab, Ahmadi 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn


def activation(channels: int) -> nn.PReLU:
    """A rectifier with a learned slope for each channel (He et al. 2015)."""
    return nn.PReLU(channels)


class Stage(nn.Module):
    """Convolutions at one resolution, whose input is added to the output of the last before its rectifier.

    Args:
        channels: of every convolution's output.
        convolutions: how many.
        inputs: channels of the input if they are fewer than ``channels``; they are repeated for the addition.
    """

    def __init__(self, channels: int, convolutions: int, inputs: int | None = None) -> None:
        super().__init__()
        self.channels = channels
        widths = [channels if inputs is None else inputs, *[channels] * convolutions]
        self.convolutions = nn.ModuleList(nn.Conv3d(*pair, 5, padding=2) for pair in pairwise(widths))
        self.activations = nn.ModuleList(activation(channels) for _ in range(convolutions))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        last = len(self.convolutions) - 1
        for number, (convolution, rectify) in enumerate(zip(self.convolutions, self.activations, strict=True)):
            y = convolution(y)
            y = rectify(y + repeated(x, self.channels) if number == last else y)
        return y


def repeated(x: torch.Tensor, channels: int) -> torch.Tensor:
    """``x`` (n, c, k, j, i) with its channels again and again until they are ``channels``."""
    count = x.shape[1]
    return x if count == channels else x.repeat(1, -(-channels // count), 1, 1, 1)[:, :channels]


class VNet(nn.Module):
    """The network of the paper's figure 2.

    Going down, a 2x2x2 convolution of stride 2 halves the resolution and doubles the channels; going up, a 2x2x2
    transposed convolution of stride 2 undoes that, the features from the way down are concatenated, and the stage runs
    at the width of both together. Kernels of 5x5x5, widths and the concatenation are those of the authors' published
    network definition; it has one convolution in its second stages, here there are two, as the paper's figure says.

    Deviations: several classes are told apart by one softmax over all of them, where the paper has one organ and its
    background; several input channels are repeated in turn for the first addition, where the paper has one; the logits
    come from one 1x1x1 convolution, as the paper's text says (the authors' definition has a 5x5x5 one before it).

    Args:
        inputs: channels of the image.
        classes: background included.
        widths: channels of each level, finest first.
        convolutions: of each level's stage; the way up mirrors them.

    Attributes:
        multiple: every side of an input must be divisible by this.
        head: the last layer, from ``2 * widths[0]`` features to the class logits.
        pyramid_widths: channels of :meth:`pyramid`.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        convolutions: Sequence[int] = (1, 2, 3, 3, 3),
    ) -> None:
        super().__init__()
        if len(widths) != len(convolutions) or min(convolutions) < 1:
            raise ValueError("every level needs a width and one convolution or more")
        if inputs > widths[0]:
            raise ValueError("the finest level needs as many channels as the image or more")
        self.multiple = 2 ** (len(widths) - 1)
        self.pyramid_widths = (*(2 * width for width in widths[:-1]), widths[-1])
        self.first = Stage(widths[0], convolutions[0], inputs)
        self.downs = nn.ModuleList()
        self.lefts = nn.ModuleList()
        for (fine, coarse), count in zip(pairwise(widths), convolutions[1:], strict=True):
            self.downs.append(nn.Sequential(nn.Conv3d(fine, coarse, 2, stride=2), activation(coarse)))
            self.lefts.append(Stage(coarse, count))
        self.ups = nn.ModuleList()
        self.rights = nn.ModuleList()
        below = widths[-1]
        for width, count in reversed(list(zip(widths[:-1], convolutions[:-1], strict=True))):
            self.ups.append(nn.Sequential(nn.ConvTranspose3d(below, width, 2, stride=2), activation(width)))
            self.rights.append(Stage(2 * width, count))
            below = 2 * width
        self.head = nn.Conv3d(below, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d) and module is not self.head:
                nn.init.kaiming_normal_(module.weight, a=0.25)  # the slope at which PReLU begins
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Feature map (n, 2 * widths[0], k, j, i) of an image (n, inputs, k, j, i)."""
        return self.pyramid(x)[0]

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The decoder's last map (n, width, k, j, i) at each level, the one before the head first."""
        x = self.first(x)
        skips = []
        for down, stage in zip(self.downs, self.lefts, strict=True):
            skips.append(x)
            x = stage(down(x))
        levels = [x]
        for up, stage in zip(self.ups, self.rights, strict=True):
            levels.insert(0, stage(torch.cat([up(levels[0]), skips.pop()], 1)))
        return levels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i)."""
        return self.head(self.features(x))
