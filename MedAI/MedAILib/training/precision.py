"""Number formats of the training arithmetic; weights, loss and optimizer stay float32."""

from __future__ import annotations

import torch

from ..errors import UsageError
from ..inference.precision import cpu_gains_from_bfloat16


def choose_precision(device: torch.device, wanted: str) -> str:
    """``"bfloat16"`` where the device multiplies it faster than float32, else ``"float32"``.

    Args:
        wanted: ``"auto"``, or one of both.

    Raises:
        UsageError: another word.
    """
    if wanted in ("float32", "bfloat16"):
        return wanted
    if wanted != "auto":
        raise UsageError(f'precision must be "auto", "float32" or "bfloat16", not "{wanted}".')
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    return "bfloat16" if device.type == "cpu" and cpu_gains_from_bfloat16() else "float32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which convolutions run in ``precision``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
