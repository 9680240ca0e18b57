"""Coarse first: find the box that holds something, so that the fine network need not look at the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ..errors import UsageError
from .engine import Region, WindowOptions, predict_labels


def occupied_region(
    network: nn.Module,
    volume: np.ndarray,
    options: WindowOptions,
    device: str = "auto",
    factor: int = 2,
    margin: int = 4,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Region | None:
    """The box of the volume where a coarse network sees any structure.

    Args:
        network: for voxels ``factor`` times as large as the volume's; class 0 is background.
        volume: (c, k, j, i) on the fine network's grid.
        options: for the coarse network.
        device: see :func:`.devices.choose`.
        factor: fine voxels per coarse voxel along each axis; they are averaged.
        margin: fine voxels added on each side.
        progress: as for :func:`.engine.predict_labels`.

    Returns:
        The region for :func:`.engine.predict_labels`, or None when there is nothing but background.

    Raises:
        UsageError: factor below 1 or margin below 0; and what :func:`.engine.predict_labels` raises.
    """
    if factor < 1 or margin < 0:
        raise UsageError(f"factor is {factor} and margin {margin}; they must be at least 1 and 0.")
    # The ceiling keeps the border's voxels: an incomplete block is averaged over what it has.
    pooled = torch.nn.functional.avg_pool3d(
        torch.from_numpy(np.ascontiguousarray(volume, np.float32)), factor, ceil_mode=True, count_include_pad=False
    ).numpy()
    labels = predict_labels(network, pooled, options, device, progress=progress).labels
    if not labels.any():
        return None
    found = []
    for axis, size in enumerate(volume.shape[1:]):
        seen = np.flatnonzero(labels.any(axis=tuple(other for other in range(3) if other != axis)))
        found.append(slice(max(0, seen[0] * factor - margin), min(size, (seen[-1] + 1) * factor + margin)))
    return found[0], found[1], found[2]
