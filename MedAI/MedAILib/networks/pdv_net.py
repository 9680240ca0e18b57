"""PDV-Net: dense blocks at three resolutions whose outputs refine one another (Imran et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class ConvBatch(nn.Sequential):
    """3x3x3 convolution without bias, batch normalization, PReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm3d(outputs),
            nn.PReLU(outputs),
        )


class DenseBlock(nn.Module):
    """Convolutions of which each sees the block's input and all that come before it (Huang et al. 2017).

    Args:
        inputs: channels of the input.
        convolutions: how many.
        growth: channels of each one's output.

    Attributes:
        outputs: channels of the output, which is the input and all convolutions' outputs:
            ``inputs + convolutions * growth``.
    """

    def __init__(self, inputs: int, convolutions: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvBatch(inputs + n * growth, growth) for n in range(convolutions))
        self.outputs = inputs + convolutions * growth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class PDVNet(nn.Module):
    """Progressive dense V-network.

    The image at half resolution, together with 24 kernels of 5x5x5 and stride 2 of it, passes dense blocks of 5, 10 and
    10 convolutions with growth 4, 6 and 8. A compression lies before the second and the third block, a skip
    connection behind each. Pathway n merges the skip connections of the blocks up to n, brought to the first one's
    size, and the scores of the pathway before it; so each output refines the last.

    The text at hand gives the blocks, the first layer, normalization and rectifier. Chosen here, as it does not say:

    - compression: a :class:`ConvBatch` of stride 2 that keeps half of the channels (as DenseNet's transitions do);
    - skip connections: a :class:`ConvBatch` to 12, 24 and 24 channels; decompression: trilinear interpolation;
    - a pathway: one 3x3x3 convolution of its skip connections and of the softmax of the pathway before;
    - down-sampling of the image: the mean of 2x2x2 voxels; the logits are interpolated to the image's grid;
    - dropout: whole channels of the merged features, a tenth of them.

    Deviations: the paper rescales every volume to 512x512x64; here windows of the planned spacing are segmented.
    Batch normalization is the paper's. With one or two patches a step its statistics are noisy; in evaluation mode the
    running ones are used, so that a result does not depend on what else is in a batch.

    Args:
        inputs: channels of the image.
        classes: background included.
        kernels: of the first convolution.
        convolutions, growth: of each dense block.
        skips: channels of each skip connection.
        dropout: share of the merged channels that is left out in training.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        kernels: int = 24,
        convolutions: Sequence[int] = (5, 10, 10),
        growth: Sequence[int] = (4, 6, 8),
        skips: Sequence[int] = (12, 24, 24),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not len(convolutions) == len(growth) == len(skips) >= 1:
            raise ValueError("convolutions, growth and skips must be of the same length")
        self.multiple = 2 ** len(convolutions)
        self.first = nn.Conv3d(inputs, kernels, 5, stride=2, padding=2)
        self.compressions, self.blocks, self.skips = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = inputs + kernels
        for number, (count, grown, kept) in enumerate(zip(convolutions, growth, skips, strict=True)):
            if number:
                self.compressions.append(ConvBatch(width, width // 2, stride=2))
                width //= 2
            block = DenseBlock(width, count, grown)
            width = block.outputs
            self.blocks.append(block)
            self.skips.append(ConvBatch(width, kept))
        self.dropout = nn.Dropout3d(dropout)
        self.pathways = nn.ModuleList(
            nn.Conv3d(sum(skips[: number + 1]) + (classes if number else 0), classes, 3, padding=1)
            for number in range(len(skips))
        )

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Output of each dense block, finest first.

        Args:
            x: (n, inputs, k, j, i), sides divisible by :attr:`multiple`.
        """
        x = torch.cat([functional.avg_pool3d(x, 2), self.first(x)], 1)
        found = []
        for number, block in enumerate(self.blocks):
            x = block(self.compressions[number - 1](x) if number else x)
            found.append(x)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i).

        In training mode those of all pathways, the last and best first.
        """
        kept = [skip(found) for skip, found in zip(self.skips, self.features(x), strict=True)]
        size = kept[0].shape[2:]
        merged: list[torch.Tensor] = []
        outputs: list[torch.Tensor] = []
        for skip, pathway in zip(kept, self.pathways, strict=True):
            merged.append(self.dropout(_at(skip, size)))
            before = [torch.softmax(outputs[-1], 1)] if outputs else []
            outputs.append(pathway(torch.cat([*merged, *before], 1)))
        if not self.training:
            return _at(outputs[-1], x.shape[2:])
        return [_at(output, x.shape[2:]) for output in reversed(outputs)]


def _at(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """``x`` interpolated to ``size`` (k, j, i)."""
    return x if tuple(x.shape[2:]) == tuple(size) else functional.interpolate(x, tuple(size), mode="trilinear")
