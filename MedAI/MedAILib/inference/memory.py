"""How much memory there is."""

from __future__ import annotations

import os
from pathlib import Path

import torch

UNKNOWN = 4 << 30
"""Assumed free where the system does not tell."""


def free_bytes(device: torch.device) -> int:
    """Memory that a run on this device could take now, in bytes. Never fails."""
    if device.type == "cuda":
        try:
            free, _ = torch.cuda.mem_get_info(device)
        except RuntimeError:
            return UNKNOWN
        # What torch keeps for reuse counts as free.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return free_host_bytes()


def free_host_bytes() -> int:
    """Main memory that this process could take: what the system has, capped by the container's limit."""
    limits = [found for found in (_available(), _container()) if found is not None]
    return min(limits, default=UNKNOWN)


def _available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        # Half of all memory where only the total is known.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _container() -> int | None:
    root = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            taken = int((root / used).read_text()) - _reclaimable((root / used).with_name("memory.stat"))
            return max(0, int((root / limit).read_text()) - taken)
        except (OSError, ValueError):
            continue
    return None


def _reclaimable(statistics: Path) -> int:
    """File cache that counts as used but gives way."""
    for line in statistics.read_text(encoding="ascii").splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0
