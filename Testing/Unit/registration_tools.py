"""Pairs of tiny volumes whose true displacement is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

from MedAILib.networks.warping import warp


@contextmanager
def single_thread() -> Iterator[None]:
    """Volumes of 16 voxels gain nothing from several threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def texture(side: int = 16, seed: int = 0) -> torch.Tensor:
    """(1, 1, k, j, i) smooth random image, 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        weight * functional.interpolate(torch.rand(1, 1, n, n, n, generator=generator), (side,) * 3, mode="trilinear")
        for n, weight in ((side // 3, 0.7), (side // 2, 0.3))
    ]
    return layers[0] + layers[1]


def bend(side: int = 16, voxels: float = 1.2, seed: int = 1) -> torch.Tensor:
    """(1, 3, k, j, i) smooth random displacement."""
    generator = torch.Generator().manual_seed(seed)
    coarse = voxels * torch.randn(1, 3, 3, 3, 3, generator=generator)
    return functional.interpolate(coarse, (side,) * 3, mode="trilinear", align_corners=True)


def pair(side: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fixed, moving and true displacement, with batch axis."""
    moving, true = texture(side, seed), bend(side, seed=seed + 1)
    return warp(moving, true), moving, true
