"""A network with a second entrance and exit at half the resolution, through which most of it learns first.

At half the resolution a step costs an eighth, so the layers that find out what is where see many times as many heads
in the same time; the finest level then only has to learn the edges (progressive growing, after Karras et al. 2018).
"""

from __future__ import annotations

import torch
from torch import nn

from ..errors import UsageError
from ..networks.unet import ConvNorm, ResidualUNet


class Learner(nn.Module):
    """What is trained: the network itself, and two layers that only the coarse phase uses.

    Args:
        network: with ``body``, see :class:`ResidualUNet`.

    Raises:
        UsageError: another network.
    """

    def __init__(self, network: nn.Module) -> None:
        if not isinstance(network, ResidualUNet):
            raise UsageError(f"Only a residual_unet can be trained, not {type(network).__name__}.")
        super().__init__()
        self.network = network
        width, groups = network.widths[1], network.groups
        self.coarse_stem = ConvNorm(network.inputs, width, groups)
        self.coarse_head = nn.Conv3d(width, network.head.out_channels, 1)

    def forward(self, x: torch.Tensor, coarse: bool = False) -> torch.Tensor:
        """Class logits of an image (n, inputs, k, j, i) of the network's spacing, or of twice that if ``coarse``."""
        if coarse:
            return self.coarse_head(self.network.body(self.coarse_stem(x)))
        return self.network(x)
