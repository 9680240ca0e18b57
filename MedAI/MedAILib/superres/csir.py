"""C-SIR for one patient: a network learns to make each stack's thin slices so that they explain the other stacks.

Yang et al. 2023, "Reconstruction of 3D Fetal Brain MRI from 2D Cross-Sectional Acquisitions Using Unsupervised Learning
Network" (MLMI 2023). Each stack in turn is the input of :class:`~MedAILib.networks.csir.CSIR`; the loss (Eq. 1)
compares the output with the input's slices and, moved, with the slices of the other stacks, all by mean squares over
what was acquired only, and keeps the output smooth. In the end the network sees each stack alone, and the outputs,
moved, are averaged.

An adaptation, and said so to the user: the paper trains on a hundred patients' stacks, after a supervised start on
simulated adult scans. Here the same losses train a fresh network on the one patient's stacks for the time allowed.
Further:

- The text moves the output to each stack, Eq. 1 prints the stack moved to the output. It is the former here, and
  "slices" are what :class:`~MedAILib.superres.stack_operator.StackOperator` predicts: averages over their profile. The
  paper samples every fourth slice, which no scanner does; :func:`nearest_slices` is that sampling, for its own
  simulations.
- The motion is found beforehand, as in the paper, by :mod:`MedAILib.superres.alignment`.
- The paper prints no weights; the three comparisons count 1 each, the mean squared difference between neighbors
  :data:`SMOOTH`.
- Training looks at random boxes, as whole volumes do not fit into a processor's memory and time.
- The mask is the foreground. The enlargement is the next whole ratio of increment and target spacing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..geometry import Shape, centre_shift
from ..image import Image
from ..networks.csir import CSIR
from ..registration.foreground import foreground
from ..spatial import resample
from .alignment import Measured, align
from .problem import Problem, Solution
from .stack_operator import StackOperator
from .target import Target

SMOOTH = 0.2
RATE = 1e-3
CHANNELS_CPU, CHANNELS_GPU = 8, 32
BOX = 32
"""Side of a training box, in pixels and thin slices."""
_ALIGNED, _TRAINED = 0.3, 0.8
"""Shares of the time until the motion is known, and until the network is trained."""
_DARKEST = 0.3
"""Share of the usual brightness; what is darker is mostly noise and does not get brighter."""
ADAPTED = (
    "C-SIR was trained on this patient's stacks alone, which is an adaptation: its paper trains on the stacks of a "
    "hundred patients."
)


@dataclass(frozen=True, eq=False)
class Input:
    """A stack as the network's input.

    Attributes:
        stack: with its motion; values about 0 to 1.
        mask: (n, y, x) float32, 1 in the foreground.
        ratio: thin slices per thick one.
    """

    stack: Measured
    mask: torch.Tensor
    ratio: int

    @classmethod
    def of(cls, stack: Measured, ratio: int) -> Input:
        """With the foreground as its mask."""
        found = foreground(stack.values.cpu().numpy())
        return cls(stack, torch.from_numpy(found.astype(np.float32)).to(stack.values.device), ratio)

    def thin(self, start: Shape, shape: Shape) -> Target:
        """The grid of the thin slices of a box of (n, y, x) thick ones, in the space that all stacks share."""
        slices = self.stack.slices.box(start, shape)
        affine = centre_shift(slices.affine, (0.5 / self.ratio - 0.5, 0.0, 0.0))
        affine[:3, 2] /= self.ratio
        return Target((shape[0] * self.ratio, *shape[1:]), np.linalg.inv(self.stack.motion) @ affine)

    def applied(self, network: CSIR, start: Shape, shape: Shape) -> torch.Tensor:
        """What the network makes of a box of (n, y, x) thick slices: (n * ratio, y, x)."""
        box = tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))
        mask = self.mask[box].repeat_interleave(self.ratio, 0)
        return network(self.stack.values[box][None, None], mask[None, None])[0, 0]


def nearest_slices(volume: np.ndarray, ratio: int = 4) -> np.ndarray:
    """The paper's own simulation of thick slices (n, …): of each ``ratio`` thin ones, the one after the middle."""
    return volume[ratio // 2 :: ratio]


def smoothness(volume: torch.Tensor) -> torch.Tensor:
    """Mean squared difference between neighbors, of (k, j, i)."""
    return torch.stack([torch.diff(volume, dim=axis).square().mean() for axis in range(3)]).sum()


def comparison(output: torch.Tensor, target: Target, stacks: Sequence[Measured]) -> torch.Tensor:
    """The comparisons of Eq. 1: for each stack, the mean square of what the output predicts minus what was measured.

    Only what was acquired, and what the output explains whole, counts.

    Args:
        output: (k, j, i) thin slices.
        target: their grid, in the space that the stacks share.
    """
    total = output.sum() * 0.0
    for stack in stacks:
        squares, count = output.sum() * 0.0, 0
        for slices, values, motion in stack.parts:
            box = slices.inside(target, motion)
            if box is None:
                continue
            operator = StackOperator(target, slices.box(*box), motion, output.device)
            part = tuple(slice(first, first + size) for first, size in zip(*box, strict=True))
            squares = squares + (operator.forward(output) - values[part] * operator.seen).square().sum()
            count += int(operator.seen.sum())
        total = total + squares / max(1, count)
    return total


def train(
    inputs: Sequence[Input],
    channels: int,
    seed: int,
    goes_on: Callable[[int], bool],
    rate: float = RATE,
) -> CSIR:
    """A network trained on one patient's stacks, each in turn the input.

    Args:
        inputs: of equal ratio.
        goes_on: asked with the number of steps done; False ends the training.
    """
    device = inputs[0].stack.values.device
    random = np.random.default_rng(seed)
    stacks = [one.stack for one in inputs]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CSIR(inputs[0].ratio, channels).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    step = 0
    while goes_on(step):
        one = inputs[step % len(inputs)]
        start, shape = _drawn(random, one)
        output = one.applied(network, start, shape)
        loss = comparison(output, one.thin(start, shape), stacks) + SMOOTH * smoothness(output)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
    return network.eval()


def _drawn(random: np.random.Generator, one: Input) -> tuple[Shape, Shape]:
    """A random box of thick slices around a pixel of the foreground."""
    sides = (max(2, BOX // one.ratio), BOX, BOX)
    shape = tuple(min(side, size) for side, size in zip(sides, one.stack.slices.shape, strict=True))
    inside = torch.nonzero(one.mask)
    at = inside[int(random.integers(len(inside)))].tolist() if len(inside) else [0, 0, 0]
    start = [
        int(np.clip(middle - side // 2, 0, size - side))
        for middle, side, size in zip(at, shape, one.stack.slices.shape, strict=True)
    ]
    return (start[0], start[1], start[2]), (shape[0], shape[1], shape[2])


def solve(
    problem: Problem, device: str, progress: Callable[[float], None], stop: Callable[[], bool] = lambda: False
) -> Solution:
    """Train on the problem's stacks, and average what the network makes of each.

    Args:
        problem: ``others`` of role "stack" are used; its budget is for training.
        device: "cpu", "cuda", …
        progress: gets the done share; may raise Cancelled.
        stop: True ends the training.

    Raises:
        UsageError: there is no further stack.
        ContentError: a stack does not overlap with the first one.
    """
    where = torch.device(device)
    with torch.inference_mode(False), torch.no_grad():
        stacks, notes = align(problem, where, lambda done: progress(_ALIGNED * done), stop)
    began = time.monotonic()
    low, high = (float(torch.quantile(stacks[0].values.flatten()[::97], share)) for share in (0.005, 0.995))
    high = max(high, low + 1e-6)
    ratio = max(2, round(problem.acquisition.increment / problem.line.step))
    inputs = [Input.of(replace(s, values=(_as_bright(s) - low) / (high - low), gain=None), ratio) for s in stacks]

    def goes_on(step: int) -> bool:
        share = (time.monotonic() - began) / max(problem.budget, 1e-3)
        progress(_ALIGNED + (_TRAINED - _ALIGNED) * min(1.0, share))
        return share < 1.0 and not stop()

    with torch.inference_mode(False), torch.enable_grad():
        network = train(inputs, CHANNELS_CPU if where.type == "cpu" else CHANNELS_GPU, problem.seed, goes_on)
    total = np.zeros(problem.target.shape, np.float32)
    weight = np.zeros(problem.target.shape, np.float32)
    with torch.inference_mode():
        for number, one in enumerate(inputs):
            values, covered = _result_of(network, one, problem.target)
            total += values * covered
            weight += covered
            progress(_TRAINED + (1.0 - _TRAINED) * (number + 1) / len(inputs))
    array = total / np.maximum(weight, 1e-6) * (high - low) + low
    return Solution(array.astype(np.float32), None, (*notes, ("adapted", ADAPTED)), "csir")


def _as_bright(stack: Measured) -> torch.Tensor:
    """The values as bright everywhere as the first stack's, but not where next to nothing was measured."""
    return stack.values if stack.gain is None else stack.values / stack.gain.clamp(min=_DARKEST)


def _result_of(network: CSIR, one: Input, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """What the network makes of one stack, on the target, and where that lies (0 or 1)."""
    whole = one.stack.slices.shape
    grid = one.thin((0, 0, 0), whole)
    thin = Image(_in_blocks(network, one).cpu().numpy(), grid.affine, one.stack.name)
    there = thin.with_array(np.ones(thin.shape, np.float32))
    covered = resample(there, target.shape, target.affine, fill=0.0, antialias=False).array > 0.5
    moved = resample(thin, target.shape, target.affine, fill=0.0, antialias=False)
    return moved.array, covered.astype(np.float32)


_ROWS, _MARGIN = 32, 8
"""Rows of pixels that the network sees at a time, and further ones on both sides that are cut off."""


def _in_blocks(network: CSIR, one: Input) -> torch.Tensor:
    n, y, x = one.stack.slices.shape
    parts = []
    for first in range(0, y, _ROWS):
        last = min(y, first + _ROWS)
        low, high = max(0, first - _MARGIN), min(y, last + _MARGIN)
        found = one.applied(network, (0, low, 0), (n, high - low, x))
        parts.append(found[:, first - low : last - low])
    return torch.cat(parts, 1)
