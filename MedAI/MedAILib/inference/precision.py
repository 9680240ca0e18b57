"""Which number format the network runs in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import nn

TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def channels_last(network: nn.Module) -> None:
    """Order the convolutions' weights as CPUs like them; their values stay."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


@lru_cache(maxsize=1)
def cpu_gains_from_bfloat16() -> bool:
    """Time a small convolution in both formats, once per process; processors with matrix units gain two- to fourfold,
    others lose."""
    convolution = nn.Conv3d(16, 16, 3, padding=1).eval()
    channels_last(convolution)
    patch = torch.ones(1, 16, 32, 32, 32).contiguous(memory_format=torch.channels_last_3d)

    def seconds(enabled: bool) -> float:
        best = float("inf")
        for _ in range(4):
            started = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                convolution(patch)
            best = min(best, time.perf_counter() - started)
        return best

    with torch.inference_mode():
        return seconds(True) < 0.8 * seconds(False)


def choose_precision(name: str, device: torch.device) -> str:
    """The format for ``"auto"`` on this device; any other name is kept, as far as the device has it."""
    if device.type == "mps":
        return "float32"
    if device.type == "cpu" and name == "float16":
        name = "auto"
    if name != "auto":
        return name
    if device.type == "cuda":
        return "float16"
    return "bfloat16" if cpu_gains_from_bfloat16() else "float32"


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Run networks in the given format, without gradients; float32 means IEEE single precision also on CUDA."""
    reduced = precision in TYPES
    with (
        torch.inference_mode(),
        torch.autocast(device.type, TYPES.get(precision, torch.bfloat16), enabled=reduced),
        torch.backends.cudnn.flags(enabled=True, benchmark=device.type == "cuda", allow_tf32=reduced),
    ):
        yield
