"""Local normalized cross-correlation with its gradient written out, far cheaper than automatic differentiation.

In a window, cc = cov(F, W)² / (var F var W): 1 where one image is a linear function of the other, whatever its gain and
offset (Avants et al. 2008, "Symmetric diffeomorphic image registration with cross-correlation"). Two departures from
the usual form make it cheap. Windows stand on every second voxel along each axis, so all sums over windows work on an
eighth of the voxels; and the squares and products are first averaged over the cells of 2³ voxels between windows. The
gradient is exact for this form.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from ..geometry import Shape
from .lattice import along_axes

_FLAT = 1e-5
"""Added to each variance, for images of range 1: a window without contrast counts as uncorrelated."""


class LocalCorrelation:
    """The similarity of images to one fixed image.

    Args:
        fixed: (k, j, i), about 0 to 1.
        radius: cells of two voxels on each side of the window's middle one; 2 is a window of 10 voxels.
        weight: (k, j, i), 0 to 1, what counts of the fixed image; None for all of it.
    """

    def __init__(self, fixed: torch.Tensor, radius: int, weight: torch.Tensor | None = None) -> None:
        self._cell: Shape = (min(2, fixed.shape[0]), min(2, fixed.shape[1]), min(2, fixed.shape[2]))
        self._fixed = fixed
        cells = [n // c for n, c in zip(fixed.shape, self._cell, strict=True)]
        self._windows = [_window(n, radius).to(fixed) for n in cells]
        self._spread = [matrix.T.contiguous() for matrix in self._windows]
        self._mean, square = self._local(torch.stack([self._pool(fixed), self._pool(fixed * fixed)]))
        self._variance = (square - self._mean**2).clamp_(min=0).add_(_FLAT)
        count = self._mean.numel()
        share = None if weight is None else self._local(self._pool(weight)[None])[0]
        total = count if share is None else max(float(share.sum()), 1e-6 * count)
        self._share = torch.full_like(self._mean, 1 / total) if share is None else share / total

    def __call__(self, warped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cc over the windows, 0 to 1 (a scalar), and its gradient with respect to ``warped`` (k, j, i)."""
        fixed = self._fixed
        moments = torch.stack([self._pool(warped), self._pool(warped * warped), self._pool(fixed * warped)])
        mean, square, product = self._local(moments)
        covariance = product - self._mean * mean
        variance = (square - mean**2).clamp_(min=0).add_(_FLAT)
        slope = covariance / (self._variance * variance)
        cc = slope * covariance * self._share
        by_product = 2 * slope * self._share
        by_square = -cc / variance
        # d cc / d W(x) = Σ over the windows that hold x of a F(x) + 2 b W(x) − (a mean F + 2 b mean W).
        factors = torch.stack([by_product, 2 * by_square, -(by_product * self._mean + 2 * by_square * mean)])
        a, b, c = self._grow(along_axes(factors, self._spread))
        gradient = a.mul_(fixed).addcmul_(b, warped).add_(c)
        return cc.sum(), gradient

    def _pool(self, image: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool3d(image[None, None], self._cell)[0, 0]

    def _grow(self, cells: torch.Tensor) -> torch.Tensor:
        """The adjoint of pooling (up to the constant 1 / voxels of a cell): every voxel gets its cell's value."""
        grown = functional.interpolate(cells[None], scale_factor=self._cell, mode="nearest")[0]
        missing = [n - g for n, g in zip(self._fixed.shape, grown.shape[1:], strict=True)]
        if any(missing):  # the last, incomplete cells belong to no window
            grown = functional.pad(grown, [0, missing[2], 0, missing[1], 0, missing[0]])
        volume = self._cell[0] * self._cell[1] * self._cell[2]
        return grown.div_(volume)

    def _local(self, cells: torch.Tensor) -> torch.Tensor:
        return along_axes(cells, self._windows)


def _window(n: int, radius: int) -> torch.Tensor:
    """(n, n) mean over the neighbors within ``radius``; at the ends over those that are there."""
    at = torch.arange(n)
    near = ((at[:, None] - at[None]).abs() <= radius).float()
    return near / near.sum(1, keepdim=True)
