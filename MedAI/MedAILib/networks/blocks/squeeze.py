"""Channels weighed by what they hold on the whole, places by what their channels say."""

from __future__ import annotations

import torch
from torch import nn


class ChannelGate(nn.Module):
    """Squeeze and excitation (Hu et al. 2018): each channel times a factor, 0 to 1, that follows from the means of all.

    Args:
        channels: of the features.
        hidden: of the layer between.
        activation: after that layer.
    """

    def __init__(self, channels: int, hidden: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden), activation(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, ...) of features (n, c, ...) of any dimension."""
        return x * self.excite(x.flatten(2).mean(2)).view(*x.shape[:2], *[1] * (x.ndim - 2))


class SpatialGate2d(nn.Module):
    """Each pixel times a factor of 0 to 1 that follows from the mean and the largest of its and its neighbors' channels
    (Woo et al. 2018, CBAM)."""

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.look = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, j, i) of features (n, c, j, i)."""
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.look(seen))


class SpatialChannelGate3d(nn.Module):
    """Squeeze and excitation over channels and, beside it, over voxels, both added (Roy et al. 2018, "scSE").

    Args:
        channels: of the features.
        reduction: channels / hidden channels of the gate over channels.
    """

    def __init__(self, channels: int, reduction: int = 2) -> None:
        super().__init__()
        self.channels = ChannelGate(channels, max(1, channels // reduction))
        self.voxels = nn.Conv3d(channels, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, k, j, i) of the same."""
        gated: torch.Tensor = self.channels(x) + x * torch.sigmoid(self.voxels(x))
        return gated
