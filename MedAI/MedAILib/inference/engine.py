"""The sliding-window engine: a network, an array, and labels on the output grid in one pass.

Per voxel of the network grid it keeps the body's features of one patch depth only (:mod:`.slab`), splits off a last
1x1x1 convolution (:mod:`.head`), decides rows as soon as no window reaches them any more (:mod:`.decide`) and writes
them at once to the output grid (:mod:`.output`). What it needs of memory depends neither on the volume's length along
the streaming axis nor on the number of classes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..errors import ModelError, OutOfMemory, UsageError
from ..geometry import Shape
from .decide import Decider
from .devices import choose
from .head import Split, split
from .ladder import LARGEST_BATCH, Plan, divisor, explain, fit, is_out_of_memory, step_down
from .options import EngineResult, WindowOptions
from .output import IDENTITY, OutputGrid, OutputMap
from .precision import channels_last, choose_precision, computing_in
from .scores import ScoreGrid
from .slab import Slab
from .windows import WindowGrid

__all__ = ["EngineResult", "WindowOptions", "predict_labels"]

Region = tuple[slice, slice, slice]


@dataclass(frozen=True)
class _Request:
    """What stays the same whatever the plan."""

    network: nn.Module
    volume: np.ndarray
    options: WindowOptions
    output_shape: Shape
    output_map: OutputMap
    multiple: Shape
    progress: Callable[[float], None]

    @property
    def shape(self) -> Shape:
        k, j, i = self.volume.shape[1:]
        return k, j, i


def predict_labels(
    network: nn.Module,
    volume: np.ndarray,
    options: WindowOptions,
    device: str = "auto",
    output_shape: Shape | None = None,
    output_map: OutputMap | None = None,
    region: Region | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> EngineResult:
    """Label a volume with a network, window by window.

    Args:
        network: patch (n, c, k, j, i) to logits (n, classes, k, j, i) of the same size. It is put into evaluation mode
            for the run, moved to the device, and left there.
        volume: (c, k, j, i) on the network grid, prepared as the network expects; read as float32.
        options: see :class:`WindowOptions`.
        device: see :func:`.devices.choose`.
        output_shape: (k, j, i) of the output grid; None means that of the volume.
        output_map: per axis (k, j, i) the (scale, offset) that takes an output index to a network-grid index; None is
            the identity. The labels are those of the trilinearly interpolated logits.
        region: the box of the network grid that is looked at; outside it everything is background. It is widened to
            the patch size where the volume allows.
        progress: called with the done share (0 to 1) before each window and at the end. What it raises ends the run.

    Returns:
        Labels (class indices) and notes about everything that had to be done differently.

    Raises:
        UsageError: an argument makes no sense.
        DeviceError: the asked-for device is not there.
        ModelError: the network does not fit the volume or does not keep the patch size.
        OutOfMemory: not even the smallest patch on the CPU fits.
    """
    if volume.ndim != 4 or 0 in volume.shape:
        raise UsageError(f"The volume has shape {volume.shape}; it must be (channels, k, j, i) without empty axes.")
    multiple = divisor(network, options.patch)
    if any(size % unit for size, unit in zip(options.patch, multiple, strict=True)):
        raise UsageError(f"patch is {options.patch}; the network needs sizes divisible by {multiple}.")
    shape: Shape = (volume.shape[1], volume.shape[2], volume.shape[3])
    output_map = output_map or IDENTITY
    if region is not None:
        box = _widened(region, shape, options.patch)
        volume = volume[:, box[0], box[1], box[2]]
        output_map = [(scale, offset - part.start) for (scale, offset), part in zip(output_map, box, strict=True)]
    request = _Request(network, volume, options, output_shape or shape, output_map, multiple, progress)
    place = choose(device).torch
    batch = options.batch or (1 if place.type == "cpu" else LARGEST_BATCH)
    plan = Plan(place, options.patch, choose_precision(options.precision, place), batch=batch)
    with _evaluating(network):
        return _descend(request, plan)


def _descend(request: _Request, plan: Plan) -> EngineResult:
    """Run, and go down the ladder until it fits."""
    notes: list[tuple[str, str]] = []
    while True:
        after: Plan | None
        try:
            result, after = _attempt(request, plan)
            if after.patch != plan.patch or after.host_store != plan.host_store:
                notes.append(("memory", explain(plan, after)))
            return replace(result, notes=notes)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                after, code = step_down(plan, request.options.patch, request.multiple), "memory"
            elif plan.device.type != "cpu":
                after, code = Plan(torch.device("cpu"), request.options.patch, "float32"), "device"
            else:
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # Only outside the handler the failed attempt's tensors are free.
        gc.collect()
        if code == "memory" and plan.device.type == "cuda":
            torch.cuda.empty_cache()
        if after is None:
            raise OutOfMemory("Main memory does not suffice even for the smallest window. Close other programs.")
        if after.device != plan.device:
            precision = choose_precision(request.options.precision, after.device)
            after = replace(after, precision=precision)
        text = explain(plan, after) if code == "memory" else f"{plan.device} failed ({reason}); the CPU took over."
        notes.append((code, text))
        plan = after


def _attempt(request: _Request, plan: Plan) -> tuple[EngineResult, Plan]:
    """One whole run; the plan that comes back is the one that was used, fitted to the free memory."""
    options = request.options
    network = request.network.to(plan.device)
    if plan.device.type == "cpu":
        # Convolutions are faster with channels last, and their output is added to the slab without rearranging.
        channels_last(network)
    with computing_in(plan.precision, plan.device):
        parts = _split(network, request.volume.shape[0], plan, request.multiple)
        plan = fit(plan, options, request.shape, parts, request.multiple)
        windows = WindowGrid.lay(request.shape, options, plan.patch)
        decider = Decider(parts, plan.store, options.confidence)
        slab = Slab(windows, parts.width, decider, plan.store, options)
        output = OutputGrid(request.output_shape, request.output_map, request.shape, windows.order, parts.classes)
        scores = (
            ScoreGrid(request.output_shape, request.output_map, request.shape, windows.order, parts)
            if options.scores
            else None
        )
        done = skipped = 0
        for row in range(len(windows.stream.starts)):
            slab.open_row(row)
            waiting: list[tuple[tuple[int, int, int], torch.Tensor]] = []
            for window in windows.row(row):
                request.progress(done / len(windows))
                patch = _cut(request.volume, windows.start(window), plan.patch, options.pad_value)
                done += 1
                if options.skip_background is not None and float(patch.max()) <= options.skip_background:
                    skipped += 1
                    continue
                waiting.append((window, patch))
                if len(waiting) == plan.batch:
                    _run(parts, slab, plan, waiting)
            _run(parts, slab, plan, waiting)
            slab.finish_row(row)
            output.write(slab)
            if scores is not None:
                scores.write(slab)
    request.progress(1.0)
    result = EngineResult(
        output.labels,
        decider.confidence(),
        [],
        str(plan.device),
        plan.precision,
        len(windows),
        skipped,
        scores.scores if scores is not None else None,
    )
    return result, plan


def _run(parts: Split, slab: Slab, plan: Plan, waiting: list[tuple[tuple[int, int, int], torch.Tensor]]) -> None:
    """Run the waiting windows and add them to the slab."""
    if not waiting:
        return
    patches = torch.stack([patch for _, patch in waiting]).to(plan.device)
    if plan.device.type == "cpu":
        patches = patches.contiguous(memory_format=torch.channels_last_3d)
    features = parts.body(patches).to(plan.store)
    if features.shape[1:] != (parts.width, *plan.patch):
        raise ModelError(f"The network does not keep the size of a patch of {plan.patch} voxels. Use another patch.")
    for (window, _), values in zip(waiting, features, strict=True):
        slab.add(window, values)
    waiting.clear()


def _split(network: nn.Module, channels: int, plan: Plan, multiple: Shape) -> Split:
    """Look at the network with the smallest patch that it takes."""
    tried: list[Shape] = []
    reason: Exception | None = None
    for factor in (1, 2, max(plan.patch)):
        k, j, i = (min(length, max(factor * unit, 8)) for length, unit in zip(plan.patch, multiple, strict=True))
        if (k, j, i) in tried:
            continue
        tried.append((k, j, i))
        probe = torch.randn(1, channels, k, j, i, generator=torch.Generator().manual_seed(0))
        try:
            return split(network, probe.to(plan.device))
        except (RuntimeError, ValueError) as error:
            # Normalization layers refuse patches that shrink to one voxel inside the network.
            if is_out_of_memory(error):
                raise
            reason = error
    raise ModelError(
        f"The network does not accept a patch of {tried[-1]} voxels with {channels} channels: {reason}"
    ) from reason


def _cut(volume: np.ndarray, start: Shape, patch: Shape, pad_value: float) -> torch.Tensor:
    """One window (c, k, j, i) as float32; outside the volume it is ``pad_value``, in a missing channel NaN."""
    inside = tuple(
        slice(max(begin, 0), min(begin + size, length))
        for begin, size, length in zip(start, patch, volume.shape[1:], strict=True)
    )
    values = volume[(slice(None), *inside)]
    if values.shape[1:] != patch:
        margins = [
            (part.start - begin, begin + size - part.stop)
            for part, begin, size in zip(inside, start, patch, strict=True)
        ]
        missing = np.isnan(values[:, 0, 0, 0])
        values = np.pad(values, [(0, 0), *margins], constant_values=pad_value)
        values[missing] = np.nan
    return torch.from_numpy(np.array(values, dtype=np.float32, order="C"))


def _widened(region: Region, shape: Shape, patch: Shape) -> Region:
    """The region as whole numbers, at least a patch wide where the volume is."""
    found = []
    for part, size, least in zip(region, shape, patch, strict=True):
        start, stop, step = part.indices(size)
        if step != 1 or stop <= start:
            raise UsageError(f"region has the slice {part} on an axis of {size} voxels; it must hold some of them.")
        missing = max(0, min(least, size) - (stop - start))
        start = max(0, min(start - missing // 2, size - (stop - start) - missing))
        found.append(slice(start, max(stop, min(size, start + max(least, stop - start)))))
    return found[0], found[1], found[2]


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
