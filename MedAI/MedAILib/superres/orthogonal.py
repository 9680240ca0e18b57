"""Several thick stacks of one contrast, with rigid motion between them, to one volume.

The classical method (Gholipour et al. 2010; Kuklisova-Murgasova et al. 2012; Tourbier et al. 2015): the volume that
explains all measured slices best in the sense of least squares. The motion comes from
:mod:`MedAILib.superres.alignment`; the penalty that keeps noise out is that of
:class:`~MedAILib.superres.neighbors.Neighbors`, with its scale set by the noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from .alignment import Measured, align, operators_of
from .joint import Joint, mean_back
from .neighbors import Neighbors
from .problem import Problem, Solution
from .target import Target

_SMOOTH = 0.06
"""Strength of the plain quadratic penalty that makes the first volume."""
_STRENGTH = 0.08
"""Strength of the penalty where neighbors are alike."""
_EDGE = 2.0
"""Its scale h in standard deviations of the noise."""
_LEAST_EDGE = 0.003
"""The scale h is at least this share of the intensities' range."""
_RENEWALS, _ITERATIONS = 3, 3
"""Renewals of the penalty's weights, and conjugate gradients after each."""
_MOTION = 0.5
"""Share of the time until the motion is there."""


def solve(
    problem: Problem, device: str, progress: Callable[[float], None], stop: Callable[[], bool] = lambda: False
) -> Solution:
    """Reconstruct the target from the problem's image and its further stacks.

    Args:
        problem: ``others`` of role "stack" are used. Its budget ends the reconstruction early, but not before the
            penalty was renewed once.
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
            return not stop() and (done < 1.0 / _RENEWALS or time.monotonic() < ends)

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
    operators, values = operators_of(stacks, target)
    joint = Joint(operators, values)
    volume = joint.descend(mean_back(operators, values), Neighbors(_SMOOTH), 2)
    scale = max(_EDGE * noise, _LEAST_EDGE * float(stacks[0].values.max() - stacks[0].values.min()), 1e-12)
    total, done = _RENEWALS * _ITERATIONS, 0

    def check() -> bool:
        nonlocal done
        done += 1
        return goes_on((done - 1) / total)

    penalty = Neighbors(_STRENGTH)
    for _ in range(_RENEWALS):
        penalty.renew(volume, scale)
        volume = joint.descend(volume, penalty, _ITERATIONS, check)
    return volume
