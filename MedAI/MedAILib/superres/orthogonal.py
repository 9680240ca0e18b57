"""Several thick stacks of one contrast, with rigid motion between them, to one volume.

The classical method (Gholipour et al. 2010; Kuklisova-Murgasova et al. 2012; Tourbier et al. 2015): the volume that
explains all measured slices best in the sense of least squares, with hardly any smoothing. The motion comes from
:mod:`MedAILib.superres.alignment`. What noise this volume has depends on frequency and direction; it is measured by
reconstructing noise alone, and taken out by :mod:`MedAILib.superres.shrinkage`, which keeps edges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from ..geometry import centre_shift
from .alignment import Measured, align, operators_of
from .joint import Joint, mean_back
from .neighbors import Neighbors
from .problem import Problem, Solution
from .shrinkage import SIDE, colors_of, without_noise
from .stack import levels
from .stack_operator import StackOperator
from .target import Target

_STRENGTH = 0.2
"""Strength of the quadratic penalty where the noise is as large as the slices' range: next to none, as what is left of
the noise is taken out afterwards."""
_LEAST_NOISE = 0.003
"""Share of the range below which noise is not believed."""
_TISSUE = 0.12
"""Share of the range above which a pixel counts as tissue; in air an MR image has less noise."""
_ITERATIONS = 12
"""Conjugate gradients."""
_ENOUGH = 0.5
"""Share of them that is done even if there is no time."""
_SAMPLE, _MARGIN = 48, 8
"""Voxels along the side of the block in which the noise is studied, and those at its faces that do not count."""
_MOTION = 0.5
"""Share of the time until the motion is there."""


def solve(
    problem: Problem, device: str, progress: Callable[[float], None], stop: Callable[[], bool] = lambda: False
) -> Solution:
    """Reconstruct the target from the problem's image and its further stacks.

    Args:
        problem: ``others`` of role "stack" are used. Its budget ends the reconstruction early, but not before the
            volume explains them roughly.
        device: "cpu", "cuda", …
        progress: gets the done share; may raise Cancelled.
        stop: True ends with what there is.

    Raises:
        UsageError: there is no further stack.
        ContentError: a stack does not overlap with the first one.
    """
    ends = time.monotonic() + problem.budget
    with torch.inference_mode():
        stacks, notes = align(problem, torch.device(device), lambda done: progress(_MOTION * done), stop)

        def goes_on(done: float) -> bool:
            progress(_MOTION + (1.0 - _MOTION) * done)
            return not stop() and (done < _ENOUGH or time.monotonic() < ends)

        array = reconstruct(stacks, problem.target, problem.noise, goes_on)
    return Solution(array.cpu().numpy(), None, tuple(notes), "orthogonal")


def reconstruct(
    stacks: Sequence[Measured], target: Target, noise: float, goes_on: Callable[[float], bool] = lambda done: True
) -> torch.Tensor:
    """The volume (k, j, i) that explains the stacks.

    Args:
        stacks: in one space and scale.
        target: its grid.
        noise: standard deviation in the slices, in their units.
        goes_on: asked with the done share before each iteration; False ends with what there is.
    """
    low, full = levels(stacks[0].values.cpu().numpy())
    noise = max(noise, _LEAST_NOISE * full)
    penalty = Neighbors(_STRENGTH * min(1.0, noise / full))
    done = 0

    def check() -> bool:
        nonlocal done
        done += 1
        return goes_on((done - 1) / _ITERATIONS)

    operators, values = operators_of(stacks, target)
    volume = Joint(operators, values).descend(mean_back(operators, values), penalty, _ITERATIONS, check)
    if min(target.shape) < SIDE:
        return volume
    colors, left = noise_colors(stacks, target, penalty)
    # Stacks of a patient who breathes contradict each other by more than their noise, and that looks like noise.
    return without_noise(
        volume, max(noise, _unexplained(operators, values, volume, low + _TISSUE * full) / left) * colors
    )


def _unexplained(
    operators: Sequence[StackOperator], values: Sequence[torch.Tensor], volume: torch.Tensor, least: float
) -> float:
    """Median size of what the stacks measured minus what the volume predicts, where they are as bright as ``least``;
    0 if they are nowhere.

    The median, as what moved on its own belies the stacks in some places by far more than elsewhere.
    """
    left = [
        (each - operator.forward(volume))[operator.seen & (each > least)].abs()
        for operator, each in zip(operators, values, strict=True)
    ]
    together = torch.cat(left)
    return float(together.median()) if len(together) else 0.0


def noise_colors(stacks: Sequence[Measured], target: Target, penalty: Neighbors) -> tuple[torch.Tensor, float]:
    """What becomes of noise of standard deviation 1 in the stacks, and what of it is left unexplained.

    The former as :func:`MedAILib.superres.shrinkage.colors_of` has it. Found by reconstructing nothing but noise, in a
    block in the middle of the volume; where fewer stacks look than there, the noise is another.
    """
    sides = tuple(min(_SAMPLE, size) for size in target.shape)
    starts = tuple((size - side) // 2 for size, side in zip(target.shape, sides, strict=True))
    block = Target(
        (sides[0], sides[1], sides[2]),
        centre_shift(target.affine, (float(starts[0]), float(starts[1]), float(starts[2]))),
    )
    random = torch.Generator().manual_seed(0)
    operators, values = [], []
    for whole in operators_of(stacks, target)[0]:
        operator = whole.of_block(block)
        if operator is not None:
            operators.append(operator)
            values.append(torch.randn(operator.slices.shape, generator=random).to(operator.device))
    if not operators:
        return torch.zeros(SIDE**3, device=stacks[0].values.device), 1.0
    start = torch.zeros(block.shape, device=stacks[0].values.device)
    found = Joint(operators, values).descend(start, penalty, _ITERATIONS)
    margins = (max(0, min(_MARGIN, (side - SIDE) // 2)) for side in sides)
    inner = tuple(slice(margin, side - margin) for margin, side in zip(margins, sides, strict=True))
    return colors_of(found[inner]), max(_unexplained(operators, values, found, -torch.inf), 1e-3)
