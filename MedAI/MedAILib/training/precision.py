"""Number formats of the training arithmetic; weights, loss and optimizer stay float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

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


@contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Context in which convolutions run in ``precision``; those that would get wrong gradients run in float32."""
    reduced = precision == "bfloat16"
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=reduced))
        if reduced and device.type == "cpu":
            stack.enter_context(_ThinInFloat32())
        yield


class _ThinInFloat32(TorchFunctionMode):
    """Leaves 3D convolutions of volumes with fewer slices than their kernel has to float32.

    Their weights' gradient in bfloat16 is partly memory that nobody has written (torch 2.13 on CPUs): numbers like 1e30
    or infinity now and then, which clipping turns into an update at random. Such volumes are small, so that it costs
    nothing.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is functional.conv3d and args[0].shape[-3] < args[1].shape[-3]:
            with torch.autocast("cpu", enabled=False):
                x, weight, bias, *others = args
                return func(x.float(), weight.float(), None if bias is None else bias.float(), *others)
        return func(*args, **(kwargs or {}))
