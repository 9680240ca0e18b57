"""How a run is laid out in memory, and what gives way when memory is short.

Order of giving way: fewer windows at a time, a smaller patch, accumulators in main memory, half precision, the CPU, and
there ever smaller patches. The caller hears of each step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import torch

from ..geometry import Shape
from .head import Split
from .memory import free_bytes, free_host_bytes
from .options import WindowOptions
from .slab import slab_bytes
from .windows import WindowGrid

ACTIVATIONS = 5
"""Feature maps of the largest layer's size alive at once: a skip connection, a concatenation (two), an output and the
convolution's workspace."""

SMALLEST = 8
LARGEST_BATCH = 8


@dataclass(frozen=True)
class Plan:
    """Where and in what portions a run works.

    Attributes:
        device: where the network runs.
        patch: window size (k, j, i).
        precision: number format of the network.
        host_store: accumulators in main memory although the network runs elsewhere.
        batch: windows per network call; before :func:`fit`, at most so many.
    """

    device: torch.device
    patch: Shape
    precision: str
    host_store: bool = False
    batch: int = 1

    @property
    def store(self) -> torch.device:
        """Where the accumulators are. Apple's GPU shares main memory and lacks some of their operations."""
        return torch.device("cpu") if self.host_store or self.device.type == "mps" else self.device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, its CPU allocator, oneDNN or Python ran out of memory."""
    kinds = (MemoryError, torch.cuda.OutOfMemoryError)
    text = str(error).lower()
    words = ("out of memory", "defaultcpuallocator", "can't allocate memory", "not enough memory", "bad_alloc")
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and any(word in text for word in words))


def divisor(network: torch.nn.Module, patch: Shape) -> Shape:
    """What the sides of a patch must be divisible by, (k, j, i): what the network says, in one number or three, else
    the power of two up to 32 that the given patch is divisible by."""
    declared = getattr(network, "multiple", None)
    if isinstance(declared, int) and declared > 0:
        return declared, declared, declared
    if isinstance(declared, (tuple, list)) and len(declared) == 3:
        return declared[0], declared[1], declared[2]
    power = max(power for power in (1, 2, 4, 8, 16, 32) if all(size % power == 0 for size in patch))
    return power, power, power


def smaller(patch: Shape, multiple: Shape) -> Shape | None:
    """Half the patch along each axis, or None when it cannot shrink."""
    k, j, i = (
        min(size, max(ceil(SMALLEST / unit) * unit, ceil(size / 2 / unit) * unit))
        for size, unit in zip(patch, multiple, strict=True)
    )
    return (k, j, i) if (k, j, i) != patch else None


def fit(plan: Plan, options: WindowOptions, shape: Shape, split: Split, multiple: Shape) -> Plan:
    """Shrink a plan to the free memory, and on an accelerator its batch to what is free and of use."""
    while True:
        windows = WindowGrid.lay(shape, options, plan.patch)
        voxels = plan.patch[0] * plan.patch[1] * plan.patch[2]
        work = ACTIVATIONS * split.bytes_per_voxel * voxels
        rows = slab_bytes(windows, split.width, options.adds_weights)
        free, host = int(0.85 * free_bytes(plan.device)), int(0.85 * free_host_bytes())
        if plan.store != plan.device:
            fits, left = work <= free and rows <= host, free
        else:
            fits, left = work + rows <= free, free - rows
        if fits:
            if plan.device.type == "cpu":
                return plan
            most = min(plan.batch, len(windows) // len(windows.stream.starts))
            return replace(plan, batch=max(1, min(most, left // max(1, work))))
        if plan.device.type == "cuda" and not plan.host_store and work <= free and rows <= host:
            plan = replace(plan, host_store=True)
            continue
        less = smaller(plan.patch, multiple)
        if less is None:
            return plan
        plan = replace(plan, patch=less)


def step_down(plan: Plan, full: Shape, multiple: Shape) -> Plan | None:
    """The next plan after one that ran out of memory, or None when nothing is left to give up.

    Args:
        plan: what did not fit.
        full: the patch that the caller asked for; the CPU starts with it again.
        multiple: divisors of the patch's sides.
    """
    if plan.batch > 1:
        return replace(plan, batch=1)
    less = smaller(plan.patch, multiple)
    if plan.device.type == "cpu":
        return replace(plan, patch=less) if less else None
    if plan.patch == full and less:
        return replace(plan, patch=less)
    if not plan.host_store:
        return replace(plan, host_store=True)
    if plan.precision == "float32" and plan.device.type == "cuda":
        return replace(plan, precision="float16")
    return Plan(torch.device("cpu"), full, "float32")


def explain(before: Plan, after: Plan) -> str:
    """What a step down changed, for the user."""
    if after.device != before.device:
        return f"{before.device} has too little memory for this run; it went on on the CPU, which is slower."
    if after.patch != before.patch:
        size = " x ".join(str(length) for length in after.patch)
        return (
            f"Memory on {before.device} is short: the run used windows of {size} voxels (k x j x i) instead of "
            f"{' x '.join(str(length) for length in before.patch)}. Close other programs for the usual result."
        )
    if after.precision != before.precision:
        return f"Memory on {before.device} is short: the network ran in {after.precision}."
    if after.host_store != before.host_store:
        return f"Memory on {before.device} is short: intermediate results were kept in main memory."
    return f"Memory on {before.device} is short: windows were run one at a time."
