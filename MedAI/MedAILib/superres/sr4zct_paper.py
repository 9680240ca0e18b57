"""SR4ZCT as published (Shi et al., MLMI 2023): the mixed-scale dense network on the fine grid."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from ..inference.devices import choose
from ..networks.msd import MixedScaleDense
from . import interpolation
from .acquisition import Acquisition
from .problem import Problem, Solution
from .self_supervised import classical
from .stack import Line, as_volume

_POINTS = 16
"""Points within a footprint at which a picture is read; the paper shows four and says that more are as good."""
_RATE = 1e-3
_EPOCHS = 200
_SMALLEST = 12
"""Pixels; the network mirrors pictures by its largest dilation."""
_CROP = 128
"""Side in pixels of the crops on a CPU, where a step on a whole picture takes half a minute."""


def footprint_matrix(length: int, step: float, acquisition: Acquisition) -> np.ndarray:
    """(n, length) weights of the paper's F-down: rows ``thickness`` tall, one every ``increment``.

    Each row is the mean of linearly interpolated points inside its footprint; the first footprint begins at the edge
    of the first pixel, and all lie inside the picture.

    Args:
        length: pixels.
        step: their size in mm.
        acquisition: thickness and increment; the paper knows no other profile than the box.
    """
    thickness, increment = acquisition.thickness, acquisition.increment
    count = max(1, int((length * step - thickness) / increment + 1e-6) + 1)
    apart = thickness / _POINTS
    first = 0.5 * (apart - step)  # of the first footprint's first point from the center of the first pixel
    rows = [interpolation.linear(Line(first + increment * row, apart, _POINTS), length, step) for row in range(count)]
    return np.stack([row.mean(axis=0) for row in rows])


class TrainingPictures:
    """The paper's 2 Z pairs: every slice degraded along y, and along x and then turned.

    Args:
        slices: (n, y, x) float32, 0 to 1.
        spacing: (y, x) mm.
        acquisition: of the volume.
        crop: side of what :meth:`draw` gives, or None for whole pictures.
    """

    def __init__(
        self, slices: torch.Tensor, spacing: tuple[float, float], acquisition: Acquisition, crop: int | None
    ) -> None:
        self.slices, self.crop = slices, crop
        self._matrices = []
        for axis in (0, 1):
            length = slices.shape[1 + axis]
            down = footprint_matrix(length, spacing[axis], acquisition)
            line = Line(0.5 * (spacing[axis] - acquisition.thickness), spacing[axis], length)
            up = interpolation.linear(line, len(down), acquisition.increment)
            self._matrices.append(torch.from_numpy((up @ down).astype(np.float32)).to(slices.device))

    def __len__(self) -> int:
        return 2 * len(self.slices)

    def pair(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Degraded and sharp picture (h, w); always degraded along the first axis."""
        sharp = self.slices[number // 2]
        sharp = sharp if number % 2 == 0 else sharp.T
        return self._matrices[number % 2] @ sharp, sharp

    def draw(self, number: int, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """One of the pairs, or a crop of it, as (1, 1, h, w)."""
        pair = self.pair(number)
        if self.crop is not None:
            places = [int(random.integers(max(0, size - self.crop) + 1)) for size in pair[0].shape]
            pair = tuple(  # type: ignore[assignment]
                part[places[0] : places[0] + self.crop, places[1] : places[1] + self.crop] for part in pair
            )
        return pair[0][None, None], pair[1][None, None]


def train(
    network: MixedScaleDense,
    pictures: TrainingPictures,
    random: np.random.Generator,
    over: Callable[[int], float],
    stop: Callable[[], bool],
) -> int:
    """The paper's training: Adam, mean square error, one picture per step, epochs in random order.

    Args:
        network: on its device.
        pictures: to train on.
        random: gives the order and the crops.
        over: done share of the time, for the number of steps done; from 1 on it ends.
        stop: ends it too.

    Returns:
        Steps done.
    """
    every = max(1, len(pictures) // 16)
    sample = [pictures.draw(number, random) for number in range(0, len(pictures), every)]
    network.normalize(*(torch.cat([pair[part].flatten() for pair in sample]) for part in (0, 1)))
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    order: list[int] = []
    done = 0
    while over(done) < 1.0 and not stop():
        order = order or random.permutation(len(pictures)).tolist()
        degraded, sharp = pictures.draw(order.pop(), random)
        optimizer.zero_grad(set_to_none=True)
        (network(degraded) - sharp).square().mean().backward()
        optimizer.step()
        done += 1
    return done


def solve(problem: Problem, device: str, progress: Callable[[float], None], stop: Callable[[], bool]) -> Solution:
    """Train for the budget or the paper's 200 epochs, whichever ends first; then apply, which takes what it takes.

    The paper gives no rule to join the coronal and the sagittal result; here it is their mean. Its blur is a box
    whatever the profile. On a CPU training uses crops instead of whole pictures. Without fresh results the pictures
    that it raises to the fine grid are kept, so that an early stop still gives a volume.

    Args:
        problem, device, progress, stop: see :func:`MedAILib.superres.self_supervised.solve`.
    """
    stack = problem.stack
    if min(*stack.array.shape[1:], problem.line.count) < _SMALLEST:
        return classical(problem, "no_pairs", f"SR4ZCT needs pictures of {_SMALLEST} pixels or more.")
    where = choose(device).torch
    low, high = float(stack.array.min()), float(stack.array.max())
    slices = torch.from_numpy((stack.array - low) / max(high - low, 1e-6)).to(where)
    torch.manual_seed(problem.seed)
    network = MixedScaleDense().to(where)
    crop = _CROP if where.type == "cpu" else None
    pictures = TrainingPictures(slices, stack.spacing[1:], problem.acquisition, crop)
    begun, steps = time.monotonic(), _EPOCHS * len(pictures)

    def over(done: int) -> float:
        share = max(done / steps, (time.monotonic() - begun) / max(problem.budget, 1e-6))
        progress(0.5 * min(1.0, share))
        return share

    done = train(network, pictures, np.random.default_rng(problem.seed), over, stop)
    line = problem.line
    matrix = interpolation.linear(line, len(slices), problem.acquisition.increment).astype(np.float32)
    fine = apply(network.eval(), slices, torch.from_numpy(matrix).to(where), lambda x: progress(0.5 + 0.5 * x), stop)
    fine *= np.float32(high - low)
    fine += np.float32(low)
    note = (
        "paper",
        f"SR4ZCT as published: {done} steps, {done / len(pictures):.1f} of {_EPOCHS} epochs"
        + (f", on crops of {crop} pixels." if crop else "."),
    )
    return Solution(as_volume(fine, problem.axis), None, (note,), "sr4zct-paper")


@torch.inference_mode()
def apply(
    network: MixedScaleDense,
    slices: torch.Tensor,
    matrix: torch.Tensor,
    progress: Callable[[float], None],
    stop: Callable[[], bool],
) -> np.ndarray:
    """(m, y, x) mean of the coronal and the sagittal result; pictures after a stop are only interpolated.

    Args:
        network: in evaluation mode.
        slices: (n, y, x).
        matrix: (m, n) linear interpolation, the paper's F-up.
        progress: receives the done share.
        stop: True from when on the rest is not to be improved.
    """
    raised = torch.tensordot(matrix, slices, dims=1)
    result = torch.zeros_like(raised)
    _, y, x = raised.shape
    for row in range(y):
        picture = raised[:, row][None, None]
        result[:, row] += 0.5 * (picture if stop() else network(picture))[0, 0]
        progress((row + 1) / (y + x))
    for column in range(x):
        picture = raised[:, :, column][None, None]
        result[:, :, column] += 0.5 * (picture if stop() else network(picture))[0, 0]
        progress((y + column + 1) / (y + x))
    return result.cpu().numpy()
