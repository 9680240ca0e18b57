"""Stacks of one patient brought into one space and one scale of intensities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from ..errors import ContentError, UsageError
from ..geometry import Shape, spacing_of
from ..image import Image
from ..registration.linear import register_linear
from ..registration.linear_grids import averaged, thinned_affine
from .acquisition import Acquisition
from .brightness import smooth_gain
from .joint import Joint, mean_back
from .neighbors import Neighbors
from .problem import Problem
from .stack_motion import gain, moved
from .stack_operator import Slices, StackOperator
from .target import Target

_ROUNDS, _STEPS = 6, 2
"""Turns of reconstruction and motion at most, and Gauss-Newton steps in each."""
_SETTLED = 0.05
"""The motion is found when a turn changes it by less than so many mm anywhere in the target."""
_SMOOTH = 0.06
"""Strength of the plain quadratic penalty while the motion is unknown."""
_ITERATIONS = 4
"""Conjugate gradients of a prediction."""
_WORTH = 0.93
"""Slices get motions of their own if that brings the root mean square residual below this share."""
_DIFFERS = 0.93
"""A stack gets a gain that varies if that brings the root mean square residual below this share."""
_ENOUGH = 500_000
"""Voxels above which half the resolution is enough for the motion."""
_KNOWN = 0.95
"""A pixel can be compared if so much of its weight was seen by other stacks."""
_BEGUN = 0.25
"""Share of the time until the first motion is there."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One stack.

    Attributes:
        slices: where they lie.
        values: (n, y, x) float32.
        motions: the common space's RAS mm to the stack's: one (4, 4) for all slices, or one for each.
        name: for messages.
        gain: (n, y, x), how much brighter the stack is than the common space; None: nowhere.
    """

    slices: Slices
    values: torch.Tensor
    motions: tuple[np.ndarray, ...]
    name: str
    gain: torch.Tensor | None = None

    @classmethod
    def of(
        cls, image: Image, axis: int, acquisition: Acquisition, motion: np.ndarray, device: torch.device
    ) -> Measured:
        """The slices of a volume along its array axis ``axis``."""
        values = np.ascontiguousarray(np.moveaxis(image.array, axis, 0), np.float32)
        return cls(Slices.of(image, axis, acquisition), torch.from_numpy(values).to(device), (motion,), image.name)

    @property
    def parts(self) -> list[tuple[Slices, torch.Tensor, np.ndarray]]:
        """What moved together: where it lies, its values, its motion."""
        if len(self.motions) == 1:
            return [(self.slices, self.values, self.motions[0])]
        return [(self.slices.part(n, 1), self.values[n : n + 1], motion) for n, motion in enumerate(self.motions)]

    @property
    def motion(self) -> np.ndarray:
        """Of the slice in the middle."""
        return self.motions[len(self.motions) // 2]

    def halved(self) -> Measured:
        """With pixels twice as large."""
        factors = [1, *(min(2, size) for size in self.values.shape[1:])]
        values = averaged(self.values, factors)
        n, y, x = values.shape
        slices = Slices((n, y, x), thinned_affine(self.slices.affine, factors), self.slices.acquisition)
        return replace(self, slices=slices, values=values)


def operators_of(stacks: Sequence[Measured], target: Target) -> tuple[list[StackOperator], list[torch.Tensor]]:
    """Operator and values of everything that moved together."""
    operators, everything = [], []
    for stack in stacks:
        first = 0
        for slices, values, motion in stack.parts:
            gain = None if stack.gain is None else stack.gain[first : first + len(values)]
            operators.append(StackOperator(target, slices, motion, values.device, gain))
            everything.append(values)
            first += len(values)
    return operators, everything


def align(
    problem: Problem,
    device: torch.device,
    progress: Callable[[float], None],
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Measured], list[tuple[str, str]]]:
    """The problem's stacks in the space and the intensities of the first, and what the user should know of them.

    The motion begins with the linear registration. It is refined, of large volumes on half the resolution, by comparing
    each stack with what the *others* predict of it, so that none agrees with a copy of itself. All but the first get a
    gain that varies smoothly, unless the values are Hounsfield units.

    Raises:
        UsageError: there is no further stack.
        ContentError: a stack does not overlap with the first one.
    """
    others = [other for other in problem.others if other.role == "stack"]
    if not others:
        raise UsageError("This method needs further stacks of the same contrast. Add them, or choose another method.")
    stacks = [Measured.of(problem.image, problem.axis, problem.acquisition, np.eye(4), device)]
    for number, other in enumerate(others):
        found = register_linear(problem.image, other.image, "rigid", start=np.eye(4), device=device)
        stacks.append(Measured.of(other.image, other.axis, other.acquisition, found.matrix, device))
        _check_overlap(stacks[-1], stacks[0], problem.target)
        progress(_BEGUN * (number + 1) / len(others))
    fixed = (problem.modality or "").upper() == "CT"  # Hounsfield units are the same everywhere
    target, small = problem.target, list(stacks)
    if np.prod(target.shape) > _ENOUGH:
        target, small = _coarse(target), [stack.halved() for stack in stacks]
    settled = False
    for turn in range(_ROUNDS + 1):
        by_slices = settled or turn == _ROUNDS  # the last turn looks whether the slices moved one by one
        largest = 0.0
        for number in range(1, len(small)):
            if stop():
                break
            rest = [stack for other, stack in enumerate(small) if other != number]
            volume, before = _predicted(rest, target), small[number]
            evened = before if fixed else _evened(before, volume, small[:number], target)
            small[number] = _refined(evened, volume, target, by_slices)
            largest = max(largest, _farthest(before.motion, small[number].motion, target))
            progress(_BEGUN + (1.0 - _BEGUN) * (turn + number / len(small)) / (_ROUNDS + 1))
        if by_slices or stop():
            break
        settled = largest < _SETTLED
    notes = []
    for number in range(1, len(stacks)):
        before = stacks[number] if target is problem.target else stacks[number].halved()
        scale = float(small[number].values.abs().mean() / before.values.abs().mean().clamp(min=1e-12))
        shape = stacks[number].values.shape
        stacks[number] = replace(
            stacks[number],
            values=stacks[number].values * scale,
            motions=small[number].motions,
            gain=_resized(small[number].gain, (shape[0], shape[1], shape[2])),
        )
        notes.append(("motion", _sentence(stacks[number])))
    return stacks, notes


def _check_overlap(stack: Measured, first: Measured, target: Target) -> None:
    if not bool(StackOperator(target, stack.slices, stack.motion, stack.values.device).seen.any()):
        raise ContentError(f"{stack.name} does not overlap with {first.name}. Choose stacks of one region.")


def _coarse(target: Target) -> Target:
    factors = [min(2, size) for size in target.shape]
    k, j, i = (-(-size // factor) for size, factor in zip(target.shape, factors, strict=True))
    return Target((k, j, i), thinned_affine(target.affine, factors))


def _predicted(stacks: Sequence[Measured], target: Target) -> torch.Tensor:
    operators, values = operators_of(stacks, target)
    return Joint(operators, values).descend(mean_back(operators, values), Neighbors(_SMOOTH), _ITERATIONS)


def _evened(stack: Measured, volume: torch.Tensor, earlier: Sequence[Measured], target: Target) -> Measured:
    """The stack as bright as the volume in the mean, and with a gain against the earlier stacks if it explains much."""
    operators, values = operators_of([stack], target)
    stack = replace(stack, values=stack.values / gain([o.forward(volume) for o in operators], values, operators))
    same = replace(stack, gain=None)
    theirs, values = operators_of(earlier, target)
    said = mean_back(theirs, values)
    covered = mean_back(theirs, [operator.sight for operator in theirs])
    operators, _ = operators_of([same], target)
    predicted = torch.cat([operator.forward(said) for operator in operators])
    known = torch.cat([operator.forward(covered) > _KNOWN for operator in operators])
    found = replace(stack, gain=smooth_gain(predicted, stack.values, known, spacing_of(stack.slices.affine)))
    return found if _misfit(found, volume, target) < _DIFFERS * _misfit(same, volume, target) else same


def _resized(gain: torch.Tensor | None, shape: Shape) -> torch.Tensor | None:
    """The gain on the pixels of a finer stack, (n, y, x)."""
    if gain is None or gain.shape == shape:
        return gain
    return functional.interpolate(gain[None, None], shape, mode="trilinear", align_corners=False)[0, 0]


def _refined(stack: Measured, volume: torch.Tensor, target: Target, by_slices: bool) -> Measured:
    """The stack with a better motion."""
    if not by_slices:
        return replace(stack, motions=tuple(_followed(stack, volume, target)))
    single = replace(stack, motions=stack.motions * stack.slices.shape[0])
    single = replace(single, motions=tuple(_followed(single, volume, target)))
    better = _misfit(single, volume, target) < _WORTH * _misfit(stack, volume, target)
    return single if better else stack


def _followed(stack: Measured, volume: torch.Tensor, target: Target) -> list[np.ndarray]:
    motions = []
    for operator, values in zip(*operators_of([stack], target), strict=True):
        for _ in range(_STEPS):
            operator = operator.moved_to(moved(volume, operator, values))
        motions.append(operator.motion)
    return motions


def _misfit(stack: Measured, volume: torch.Tensor, target: Target) -> float:
    """Root mean square of what the stack measured minus what the volume predicts."""
    total, count = 0.0, 0
    for operator, values in zip(*operators_of([stack], target), strict=True):
        residual = (values - operator.forward(volume)) * operator.seen
        total, count = total + float(residual.square().sum()), count + int(operator.seen.sum())
    return (total / max(1, count)) ** 0.5


def _farthest(before: np.ndarray, after: np.ndarray, target: Target) -> float:
    """How far a corner of the target moves from one motion to the other, mm."""
    ends = np.array(target.shape[::-1]) - 1.0
    corners = np.array([[*(np.array(bits) * ends), 1.0] for bits in np.ndindex(2, 2, 2)]).T
    return float(np.linalg.norm(((after - before) @ target.affine @ corners)[:3], axis=0).max())


def _sentence(stack: Measured) -> str:
    """How far a stack had to be moved."""
    middle = stack.slices.affine @ np.array([*(0.5 * (size - 1.0) for size in stack.slices.shape[::-1]), 1.0])
    shift = float(np.linalg.norm((np.linalg.inv(stack.motion) @ middle - middle)[:3]))
    cosine = 0.5 * (np.trace(stack.motion[:3, :3]) - 1.0)
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    how = " Its slices also moved one by one." if len(stack.motions) > 1 else ""
    return f"{stack.name} was moved by {shift:.1f} mm and turned by {angle:.1f} degrees.{how}"
