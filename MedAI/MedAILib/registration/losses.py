"""What registration networks are trained with: local correlation, overlap of labels, unevenness of the displacement."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional

from .folds import determinant
from .lattice import along_axes

SMALLEST_VARIANCE = 1e-5  # of images from 0 to 1; below it a window counts as empty


def box_mean(image: torch.Tensor, window: int) -> torch.Tensor:
    """Mean of an odd cubic window around each voxel of (n, c, k, j, i); at the border, of what lies inside."""
    return _along(image, [_window(n, window, image.device, False) for n in image.shape[2:]])


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _window(n: int, window: int, device: torch.device, transposed: bool) -> torch.Tensor:
    """(n, n) matrix of the mean over a window along one axis; with a few hundred rows faster than pooling."""
    index = torch.arange(n, device=device)
    near = ((index[:, None] - index).abs() <= window // 2).float()
    mean = near / near.sum(1, keepdim=True)
    return mean.T.contiguous() if transposed else mean


def _along(image: torch.Tensor, matrices: list[torch.Tensor]) -> torch.Tensor:
    return along_axes(image.flatten(0, 1), matrices).reshape(image.shape)


class WindowCorrelation:
    """Mean squared local normalized cross-correlation (LNCC; Avants et al. 2008) with a fixed image, 0 to 1.

    Squared, as in the code of LapIRN, so it does not care whether gray is inverted. Windows around every voxel, unlike
    in the engine's :mod:`.lncc`; those without contrast count as 0.

    Args:
        fixed: (n, 1, k, j, i), about 0 to 1.
        window: side of the cubic window, odd; 7 in the NIO paper.
        mask: (n, 1, k, j, i) weight of each window, or None.
    """

    def __init__(self, fixed: torch.Tensor, window: int = 7, mask: torch.Tensor | None = None) -> None:
        self.fixed = fixed.float()
        self.boxes, self.spread = (
            [_window(n, window, fixed.device, transposed) for n in fixed.shape[2:]] for transposed in (False, True)
        )
        moments = _along(torch.cat([self.fixed, self.fixed * self.fixed], 1), self.boxes)
        self.mean, square = moments.split(1, 1)
        self.variance = (square - self.mean * self.mean).clamp_min(0) + SMALLEST_VARIANCE
        weight = torch.ones_like(self.fixed) if mask is None else mask.to(self.fixed)
        self.share = weight / weight.sum().clamp_min(1e-6)

    def __call__(self, warped: torch.Tensor) -> torch.Tensor:
        """Scalar, differentiable in ``warped`` (n, 1, k, j, i)."""
        return _Correlation.apply(warped, self)  # type: ignore[no-any-return, no-untyped-call]


class _Correlation(torch.autograd.Function):
    """The gradient written out: three sums over windows on the way back, and little to remember."""

    @staticmethod
    def forward(ctx: Any, warped: torch.Tensor, target: WindowCorrelation) -> torch.Tensor:
        w = warped.float()
        mean, square, product = _along(torch.cat([w, w * w, target.fixed * w], 1), target.boxes).split(1, 1)
        covariance = product - target.mean * mean
        variance = (square - mean * mean).clamp_min(0) + SMALLEST_VARIANCE
        slope = covariance / (target.variance * variance)
        correlation = slope * covariance * target.share
        by_product, by_square = 2 * slope * target.share, -correlation / variance
        rest = -(by_product * target.mean + 2 * by_square * mean)
        ctx.save_for_backward(warped, torch.cat([by_product, 2 * by_square, rest], 1))
        ctx.target = target
        return correlation.sum()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        warped, factors = ctx.saved_tensors
        a, b, c = _along(factors, ctx.target.spread).split(1, 1)
        gradient = a * ctx.target.fixed + b * warped + c
        return (gradient * grads[0]).to(warped.dtype), None


def local_correlation(
    fixed: torch.Tensor, warped: torch.Tensor, window: int = 7, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """:class:`WindowCorrelation` of two images, of which the first gets no gradient."""
    return WindowCorrelation(fixed, window, mask)(warped)


def unevenness(displacement: torch.Tensor) -> torch.Tensor:
    """Diffusion energy: mean squared difference between neighbors of (n, 3, k, j, i), voxels, mean over the axes."""
    parts = [displacement.diff(dim=axis).square().mean() for axis in (2, 3, 4) if displacement.shape[axis] > 1]
    return torch.stack(parts).mean() if parts else displacement.sum() * 0.0


def folds(displacement: torch.Tensor, border: int = 2) -> int:
    """Voxels of (n, 3, k, j, i) where space folds (determinant 0 or less), ``border`` voxels along each side left out.

    Axes of 8 voxels or fewer have no such border.
    """
    inner = tuple(slice(border, -border) if n > 8 else slice(None) for n in displacement.shape[2:])
    voxel = torch.ones(3, 1, 1, 1)
    with torch.no_grad():
        return sum(int((determinant(one, voxel)[inner] <= 0).sum()) for one in displacement)


def soft_dice(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean Dice of two stacks of memberships (n, classes, …), over the classes that either has; 0 to 1."""
    axes = tuple(range(2, first.ndim))
    overlap = (first * second).sum(axes)
    total = first.sum(axes) + second.sum(axes)
    present = (total > 1e-3).to(first.dtype)
    return (2 * overlap / total.clamp_min(1e-3) * present).sum() / present.sum().clamp_min(1)


def memberships(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(n, classes − 1, k, j, i) float: 1 where ``labels`` (n, k, j, i) is class 1, 2, …; class 0 has no channel."""
    one_hot = functional.one_hot(labels.long(), classes).movedim(-1, 1)
    return one_hot[:, 1:].float()
