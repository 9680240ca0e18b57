"""SR4ZCT's idea with a network of our own: learn on the scan's sharp pictures, apply across its slices."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..inference.devices import choose
from ..inference.precision import cpu_gains_from_bfloat16
from ..networks.thick_slice import ThickSliceNetwork
from .application import Application
from .consistency import project
from .held_out import Verdict, judge
from .instant import METHODS
from .lattice import lattice_operators
from .learner import Learner, SpreadLearner
from .lessons import Lessons
from .off_axis import conditions_of, scale_of
from .operators import matrix_of
from .problem import Problem, Solution
from .stack import as_volume
from .tikhonov import denoised
from .warm_start import shipped_network

_RATES = {False: 3e-3, True: 2e-3}
"""Highest learning rate of a fresh network and of one that was trained before."""
_SPREAD_RATES = {False: 1e-2, True: 3e-3}
"""The same of what tells the size of its errors."""
_ENOUGH = {False: 300, True: 900}
"""Training steps from which a fresh network does better than the shipped one, which only gives a start; later where
the errors are to be learned too, as the shipped one knows much of them."""
_TRIED = 4
"""Steps that are timed."""
_RESERVE = 0.04
"""Share of the budget that is kept for checking the network and for putting the result together."""
_FEWEST_STEPS = 25
"""A fresh network that did fewer is not worth a look."""
_CHECKS = 6
"""Batches of held-out pairs in each direction."""
_WORTH = 0.2
"""dB by which the network must beat what it starts from on held-out pictures; deconvolution beats it by less."""
_SPREAD = 0.15
"""Share of the training time in which the size of the errors is learned, where it is asked for."""
_QUIET = 0.02
"""Columns whose pictures (about -1 to 1) differ by less, noise apart, need no network."""
_NORMAL = 1.645
"""Half width of the 90 % interval of normal noise, in standard deviations."""
_FREE = 0.01
"""Noise below this share of the values' range counts as part of the picture: the slices are then reproduced."""


@dataclass(frozen=True)
class Prepared:
    """A problem in the form that networks see.

    Attributes:
        pictures: (n, y, x) slices on the device, about -1 to 1.
        offset, factor: value = offset + factor * picture.
        noisy: whether noise was taken out of them, so that they are not the measured slices any more.
        removed: standard deviation of what was taken out, in the image's units.
    """

    pictures: torch.Tensor
    offset: float
    factor: float
    noisy: bool
    removed: float = 0.0


def solve(
    problem: Problem,
    device: str,
    progress: Callable[[float], None],
    stop: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> Solution:
    """Train within the budget, check on held-out pictures, apply.

    The whole call keeps to ``problem.budget`` as far as applying the network leaves time for training. Where the
    scan is too small for training, or the network is no better than Tikhonov deconvolution on pictures it has not
    seen, the result is the latter, and a note says so.

    Args:
        problem: what is wanted.
        device: name of a device, see :func:`MedAILib.inference.devices.choose`.
        progress: receives the done share.
        stop: True from the moment on when the user wants what there is.
        clock: seconds.

    Raises:
        DeviceError: the device is not there.
    """
    started = clock()
    where = choose(device).torch
    prepared = prepare(problem, where)
    torch.manual_seed(problem.seed)
    network, warm = start_network(problem, where)
    spacing = problem.stack.spacing[1:]
    lessons = Lessons(prepared.pictures, spacing, problem.acquisition, network.subslices, problem.seed)
    if not lessons.windows:
        return classical(problem, "no_pairs", "The slices are too small or too coarse to learn from at this thickness.")
    learner = Learner(network, _RATES[warm], where)
    application = application_to(problem, prepared, lessons, learner)
    needed = application.seconds(learner.average, clock)
    measured = clock()
    budget = max(0.0, (1.0 - _RESERVE) * problem.budget - needed - (measured - started))
    if warm and budget > _ENOUGH[problem.uncertainty] * _step_seconds(learner, lessons, clock):
        warm = False
        learner = Learner(fresh_network(where), _RATES[warm], where, learner.precision)
    budget -= clock() - measured
    main = (1.0 - _SPREAD if problem.uncertainty else 1.0) * budget
    training = budget / max(budget + needed, 1e-9)
    _learn(learner, lessons, main, clock, stop, lambda over: progress(training * over))
    if not warm and learner.steps < _FEWEST_STEPS:
        return classical(problem, "too_short", "There was too little time to learn.")
    if problem.uncertainty:
        spread = SpreadLearner(learner.average, _SPREAD_RATES[warm], learner.precision)
        _learn(spread, lessons, budget - main, clock, lambda: stop() and spread.steps >= _FEWEST_STEPS)
    verdict = judge(learner.average, lessons.checks(_CHECKS), learner.precision, problem.uncertainty)
    if verdict.gain < _WORTH:
        return classical(
            problem, "no_better", "On pictures kept from training the network was no better than deconvolution."
        )

    def later(share: float) -> None:
        progress(training + (1.0 - training) * share)

    return finish(problem, prepared, application, learner.average, verdict, learner.steps, later)


def prepare(problem: Problem, device: torch.device) -> Prepared:
    """Take the noise out of the slices, center and scale them."""
    array = problem.stack.array
    full = float(np.ptp(array))
    noisy, removed = problem.noise > _FREE * full, 0.0
    if noisy:
        array = denoised(problem.stack, problem.noise)
        removed = float(np.sqrt(np.square(array - problem.stack.array).mean(dtype=np.float64)))
    offset, factor = scale_of(array)
    pictures = torch.from_numpy((array - np.float32(offset)) / np.float32(factor)).to(device)
    return Prepared(pictures, offset, factor, noisy, removed)


def start_network(problem: Problem, device: torch.device) -> tuple[ThickSliceNetwork, bool]:
    """The shipped network if it may be used and is there, else a fresh one; True for the former."""
    shipped = shipped_network() if problem.warm else None
    if shipped is not None:
        return shipped, True
    return fresh_network(device), False


def fresh_network(device: torch.device) -> ThickSliceNetwork:
    """A network that has learned nothing, as large as the device can train in good time."""
    quick = device.type != "cpu" or cpu_gains_from_bfloat16()
    return ThickSliceNetwork(64 if quick else 32)


def application_to(problem: Problem, prepared: Prepared, lessons: Lessons, learner: Learner) -> Application:
    """What applies the learner's network to the whole stack."""
    stack, where, subslices = problem.stack, prepared.pictures.device, learner.network.subslices
    y, x = (conditions_of(problem.acquisition, size, 0.0).to(where) for size in stack.spacing[1:])
    return Application(
        prepared.pictures,
        lattice_operators(len(stack.array), problem.acquisition, problem.line, subslices, device=where),
        (y, x),
        learner.precision,
        _QUIET + 5.0 * problem.noise / prepared.factor,
        problem.uncertainty,
        sorted(1 - window.axis for window in lessons.windows),  # only what the network was trained for
    )


def _learn(
    learner: Learner | SpreadLearner,
    lessons: Lessons,
    seconds: float,
    clock: Callable[[], float],
    ended: Callable[[], bool],
    told: Callable[[float], None] = lambda over: None,
) -> None:
    """Train until the time is over or it is ended; ``told`` receives the share of the time after each step."""
    begun = clock()
    while (over := (clock() - begun) / max(seconds, 1e-9)) < 1.0 and not ended():
        learner.step(lessons.draw(learner.steps), over)
        told(over)


def _step_seconds(learner: Learner, lessons: Lessons, clock: Callable[[], float]) -> float:
    """Seconds of a training step, from a few."""
    learner.step(lessons.draw(0), 0.0)
    begun = clock()
    for number in range(_TRIED):
        learner.step(lessons.draw(number), 0.0)
    return (clock() - begun) / _TRIED


def classical(problem: Problem, code: str, why: str) -> Solution:
    """Tikhonov deconvolution, with a note that says why."""
    fine = METHODS["tikhonov"](problem.stack, problem.line, problem.noise)
    note = (code, f"{why} The result is Tikhonov deconvolution.")
    return Solution(as_volume(fine, problem.axis), None, (note,), "tikhonov")


def thin_noise(problem: Problem, removed: float) -> float:
    """Standard deviation of the noise that slices as thin as the cells would have and the result has not.

    A thick slice averages over what would be independent noise of thin ones; no method brings that back.

    Args:
        problem: with the noise of the thick slices.
        removed: standard deviation of what was taken out of them as noise; what was left in them, the network has seen.
    """
    weights = matrix_of(problem.stack, problem.line)
    averaged = float(np.median(np.square(weights).sum(axis=1)))
    return float((problem.noise**2 * max(0.0, 1.0 / max(averaged, 1e-6) - 1.0) + removed**2) ** 0.5)


def finish(
    problem: Problem,
    prepared: Prepared,
    application: Application,
    network: ThickSliceNetwork,
    verdict: Verdict,
    steps: int,
    progress: Callable[[float], None],
) -> Solution:
    """Apply the network and bring the result back to the image's units."""
    calibration = verdict.calibration
    if calibration is None:
        applied = application.apply(network, progress=progress)
    else:
        applied = application.apply(network, calibration.mean_square, progress)
    fine = applied.fine
    fine *= np.float32(prepared.factor)
    fine += np.float32(prepared.offset)
    told = (
        f"On pictures kept from training, {verdict.gain:.1f} dB better than interpolation that explains the slices "
        f"({steps} training steps)."
    )
    if not prepared.noisy:
        fine = project(fine, problem.stack.array, matrix_of(problem.stack, problem.line))
    half = None
    if calibration is not None and applied.spread is not None:
        # for errors a and b of both directions, mean(((a + b) / 2)^2) = mean(a^2 + b^2) / 2 - mean((a - b)^2) / 4
        smaller = max(0.25, 1.0 - 0.25 * applied.ratio) ** 0.5
        # the interval is about what thin slices would have shown, and these have noise
        noise = np.float32(_NORMAL * thin_noise(problem, prepared.removed))
        scale = np.float32(smaller * prepared.factor)
        half = applied.spread
        for plane in half:  # in place: at full size each further array is hundreds of megabytes
            plane[...] = np.hypot(scale * calibration.half_width(plane), noise)
        half = as_volume(half, problem.axis)
    return Solution(as_volume(fine, problem.axis), half, (("held_out", told),), "sr4zct")
