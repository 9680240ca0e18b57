"""RelationalUNet: a 3D U-Net whose skip connections pass a layer of relational self-attention."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .unet import ConvNorm

WINDOW = (5, 7, 7)
BUDGET = 1 << 22
"""Numbers that the largest intermediate result of one slab may have; see :meth:`RelationalSelfAttention.forward`."""


class RelationalSelfAttention(nn.Module):
    """Relational self-attention (Kim et al. 2021) as RelationalUNet (Sheth et al. 2023) uses it in three dimensions.

    Around each voxel n there is a window of M voxels. With the query x^Q of the voxel and keys X^K and values X^V of
    its window, each L2-normalized along the channels:

    * relational kernel (Eq. 1) ``k^R = vec(1(x^Q)^T * X^K) H``, from the Hadamard product and so per channel;
    * relational context (Eq. 2) ``X^R = X^V (X^V)^T G``;
    * output (Eq. 3) ``y = (k^V + k^R)(X^V + X^R)``.

    Eq. 1 as printed has an H of M x M, which does not fit the M C entries of the vector. As in the authors' code, H
    (M C x M) is the product of two factors of rank D = C, ``H = H1 H2`` with H1 (M C x D) and H2 (D x M); the basic
    kernel is ``k^V = (x^Q)^T P H2``, and the identity in ``X^V + X^R = X^V (I + (X^V)^T G)`` is learned, beginning as
    one. All heads have queries of their own and share keys and values. Outside the image the window holds zeros.

    The products with H1, H2 and G are convolutions, so that no window is ever copied out: per voxel there are
    D C + 2 C^2 numbers instead of M (C + 2 C). In addition slabs along k are worked on one after the other, in
    training with recomputation on the way back, so that these numbers never exist for the whole image.

    Args:
        channels: of input and output, divisible by ``heads``.
        heads: C is ``channels / heads``.
        window: odd voxels (k, j, i).
    """

    def __init__(self, channels: int, heads: int = 8, window: Sequence[int] = WINDOW) -> None:
        super().__init__()
        if channels % heads or any(size % 2 == 0 for size in window):
            raise ValueError(f"{channels} channels need a divisor as heads, and odd windows; got {heads}, {window}")
        size = channels // heads
        self.heads, self.size, self.reach = heads, size, tuple(side // 2 for side in window)
        voxels = window[0] * window[1] * window[2]
        self.project = nn.Conv3d(channels, (heads + 2) * size, 1, bias=False)
        self.relate_keys = nn.Parameter(torch.empty(size * size, 1, *window))
        self.relate_values = nn.Parameter(torch.empty(2 * size, 1, *window))
        self.basic = nn.Parameter(torch.randn(size, size) * (voxels * size) ** -0.5)
        self.identity = nn.Parameter(torch.eye(size))
        for weight in (self.relate_keys, self.relate_values):
            nn.init.uniform_(weight, -(voxels**-0.5), voxels**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, k, j, i) to the same shape."""
        depth, reach = x.shape[2], self.reach[0]
        per_plane = x.shape[0] * 3 * self.size * self.size * x.shape[3] * x.shape[4]
        step = max(1, BUDGET // per_plane)
        # Queries, keys and values are normalized once, and the two ends get the zeros of the outside.
        query, key, value = self._projected(x)
        key, value = (functional.pad(each, (0, 0, 0, 0, reach, reach)) for each in (key, value))
        slabs = []
        for start in range(0, depth, step):
            stop = min(depth, start + step)
            parts = (
                query[:, :, start:stop],
                key[:, :, start : stop + 2 * reach],
                value[:, :, start : stop + 2 * reach],
            )
            again = torch.is_grad_enabled() and step < depth
            slabs.append(checkpoint(self._attend, *parts, use_reentrant=False) if again else self._attend(*parts))
        return torch.cat(slabs, 2)

    def _projected(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        parts = self.project(x).unflatten(1, (self.heads + 2, self.size))
        # The sum of squares is not taken in half precision, which would lose it.
        wide = torch.promote_types(parts.dtype, torch.float32)
        length = parts.to(wide).square().sum(2, keepdim=True).add(1e-6).rsqrt()
        parts = parts * length.to(parts.dtype)
        return parts[:, : self.heads].flatten(1, 2), parts[:, self.heads], parts[:, self.heads + 1]

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """A slab of the result; key and value have ``reach`` more planes on either side."""
        size, (n, _, k, j, i) = self.size, query.shape
        sides = (0, self.reach[1], self.reach[2])
        # (n, channel of the key, D, k, j, i): the key's share of k^R, per channel; plus P of the basic kernel
        keys = functional.conv3d(key, self.relate_keys, padding=sides, groups=size).unflatten(1, (size, size))
        keys = keys + self.basic[..., None, None, None].to(keys.dtype)
        kernel = torch.einsum("nhckji,ncdkji->nhdkji", query.unflatten(1, (self.heads, size)), keys)
        # each channel of the values by itself: (n, channel, D and C, k, j, i) are X^V projected by H2 and by G
        single = value.flatten(0, 1)[:, None]
        both = functional.conv3d(single, self.relate_values, padding=sides).reshape(n, size, 2 * size, k, j, i)
        context = both[:, :, size:] + self.identity[..., None, None, None].to(both.dtype)
        kernel = torch.einsum("nhdkji,nvdkji->nhvkji", kernel, both[:, :, :size])
        return torch.einsum("nhvkji,nvwkji->nhwkji", kernel, context).flatten(1, 2)


class _Level(nn.Module):
    """What the decoder does at one level: enlarge, join with the attended skip connection, two convolutions."""

    def __init__(self, coarse: int, fine: int, heads: int, window: Sequence[int]) -> None:
        super().__init__()
        self.attention = RelationalSelfAttention(fine, heads, window)
        self.enlarge = nn.ConvTranspose3d(coarse, fine, 2, 2)
        self.body = _twice(2 * fine, fine)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.body(torch.cat((self.attention(skip), self.enlarge(x)), 1)))


class RelationalUNet(nn.Module):
    """RelationalUNet (Sheth et al. 2023, "RelationalUNet for Image Segmentation").

    The U-Net is that of the paper's text: two convolutions with rectifiers per level, max-pooling by 2, and
    concatenated skip connections, each of which passes :class:`RelationalSelfAttention` before. The layer itself,
    with its window of 5 x 7 x 7 and 8 heads, is that of the authors' public code, as the text gives no sizes; its
    output replaces the skip connection, as there. (The code's U-Net differs from the text: strided convolutions
    instead of pooling and a single convolution after the join. The text was followed.)

    Deviations: the text names no normalization and the code has batch normalization; here each channel is normalized
    over the image, so that batches of one or two train. Enlarging is a transposed convolution of 2 x 2 x 2. Widths are
    those of the code by default; a recipe for small machines gives narrower ones.

    Args:
        inputs: channels of the image.
        classes: background included.
        widths: channels of each level, finest first, each but the last divisible by ``heads``.
        heads, window: of the attention.

    Attributes:
        multiple: every side of an input must be divisible by this.
    """

    def __init__(
        self,
        inputs: int = 1,
        classes: int = 2,
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        heads: int = 8,
        window: Sequence[int] = WINDOW,
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.downs = nn.ModuleList(_twice(before, after) for before, after in pairwise((inputs, *widths)))
        self.ups = nn.ModuleList(_Level(b, a, heads, window) for a, b in reversed(list(pairwise(widths))))
        self.head = nn.Conv3d(widths[0], classes, 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Feature map before the head, (n, inputs, k, j, i) to (n, widths[0], k, j, i)."""
        skips: list[torch.Tensor] = []
        for number, down in enumerate(self.downs):
            if number:
                skips.append(x)
                x = functional.max_pool3d(x, 2)
            x = down(x)
        for up in self.ups:
            x = up(x, skips.pop())
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i)."""
        return cast(torch.Tensor, self.head(self.features(x)))


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, each channel normalized over the image."""
    return nn.Sequential(ConvNorm(inputs, outputs, 0), ConvNorm(outputs, outputs, 0))
