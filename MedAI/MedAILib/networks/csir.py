"""The network of C-SIR, which makes thin slices out of thick ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class _Module(nn.Module):
    """A local residual module: convolutions with leaky rectifiers, and the input added to what they find."""

    def __init__(self, channels: int, convolutions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(convolutions):
            layers += [nn.Conv3d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class CSIR(nn.Module):
    """Cross-sectional image reconstruction.

    Yang et al. 2023, "Reconstruction of 3D Fetal Brain MRI from 2D Cross-Sectional Acquisitions Using Unsupervised
    Learning Network" (MLMI 2023), section 2.1: a deconvolution and a convolution enlarge the slices' number fourfold,
    three local residual modules of six 3x3x3 convolutions with LeakyReLU follow, and the residual that they find, times
    the mask of the brain, is added to the output of the deconvolution.

    What the paper leaves open: the channels, the slope of the rectifier (0.2), the layer that turns features into an
    image (3x3x3, zero at first, so that training begins at the deconvolution's output), and the deconvolution's first
    weights (linear interpolation between slices).

    Args:
        ratio: thin slices per thick one; 4 in the paper.
        channels: of the features.
        modules, convolutions: residual modules, and convolutions in each.
    """

    def __init__(self, ratio: int = 4, channels: int = 32, modules: int = 3, convolutions: int = 6) -> None:
        super().__init__()
        if ratio < 2:
            raise ValueError("ratio must be 2 or more")
        self.ratio = ratio
        # Kernel and padding of twice and half the stride: cell centers lie where they should for even ratios; odd ones
        # take one tap more.
        size = 2 * ratio if ratio % 2 == 0 else 2 * ratio + 1
        self.deconvolution = nn.ConvTranspose3d(
            1, 1, (size, 1, 1), (ratio, 1, 1), ((size - ratio) // 2, 0, 0), bias=False, output_padding=(0, 0, 0)
        )
        self.features = nn.Sequential(nn.Conv3d(1, channels, 3, padding=1), nn.LeakyReLU(0.2, inplace=True))
        self.modules_ = nn.Sequential(*(_Module(channels, convolutions) for _ in range(modules)))
        self.tail = nn.Conv3d(channels, 1, 3, padding=1)
        with torch.no_grad():
            taps = torch.arange(size) - (size - 1) / 2
            self.deconvolution.weight.copy_((1.0 - taps.abs() / ratio).clamp(min=0.0).view(1, 1, size, 1, 1))
            self.tail.weight.zero_()
            self.tail.bias.zero_()  # type: ignore[union-attr]

    def enlarged(self, slices: torch.Tensor) -> torch.Tensor:
        """The deconvolution alone: (b, 1, n, y, x) to (b, 1, n * ratio, y, x). The first and last slice are repeated,
        so that the ends do not fade."""
        padded = functional.pad(slices, (0, 0, 0, 0, 1, 1), mode="replicate")
        return self.deconvolution(padded)[:, :, self.ratio : -self.ratio]

    def forward(self, slices: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Thin slices of thick ones.

        Args:
            slices: (b, 1, n, y, x).
            mask: (b, 1, n * ratio, y, x), 0 to 1, where something may be added to the deconvolution; None: anywhere.

        Returns:
            (b, 1, n * ratio, y, x).
        """
        base = self.enlarged(slices)
        residual = self.tail(self.modules_(self.features(base)))
        return base + (residual if mask is None else residual * mask)
