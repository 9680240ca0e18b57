"""Number formats of the training arithmetic; weights, loss and optimizer stay float32."""

from __future__ import annotations

import torch

from ..errors import UsageError


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
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        return "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
    return "float32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which convolutions run in ``precision``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
