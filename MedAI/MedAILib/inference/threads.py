"""How many threads are worth their cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_VOXELS = 500_000
"""Per thread. Below, threads wait for each other longer than they work."""


@contextmanager
def threads_for(voxels: int) -> Iterator[int]:
    """Let torch use as many threads as a volume of this size keeps busy, at most those that it has.

    Args:
        voxels: that are worked on at a time.

    Yields:
        The number of threads.
    """
    before = torch.get_num_threads()
    count = max(1, min(before, round(voxels / _VOXELS)))
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)
