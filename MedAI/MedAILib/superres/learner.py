"""A network on thick slices while it learns: its steps, its averaged weights, what it gives."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from ..inference.precision import channels_last
from ..networks.thick_slice import ThickSliceNetwork
from ..training.precision import autocast, choose_precision
from .momentum import OrthogonalizedMomentum
from .off_axis import Pairs

_WARMUP = 20
_AVERAGE = 0.99
_CLIP = 1.0
_WATCHED, _RISEN = 25, 1.25
"""Steps over which the error is averaged, and by how much it may exceed the least so far, before learning goes back."""


class Learner:
    """Trains a network on pairs, for a time rather than for a number of steps.

    Args:
        network: with its first weights.
        rate: highest learning rate.
        device: where it computes.
        precision: see :func:`MedAILib.training.precision.choose_precision`.

    Attributes:
        network: with the current weights.
        average: with their moving average, which is what is used in the end.
        steps: done.
    """

    def __init__(self, network: ThickSliceNetwork, rate: float, device: torch.device, precision: str = "auto") -> None:
        self.device, self.rate, self.steps = device, rate, 0
        self.precision = choose_precision(device, precision)
        self.network = network.to(device).train()
        channels_last(self.network)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self._optimizer = OrthogonalizedMomentum(self.network, rate)
        self._ratios: list[float] = []
        self._best, self._good = 1.0, copy.deepcopy(self.average.state_dict())

    def step(self, pairs: Pairs, share: float) -> float:
        """One update.

        Args:
            pairs: to learn from.
            share: of the time that is over; the learning rate falls with it as half a cosine to 0.

        Returns:
            The mean absolute error on these pairs.
        """
        _set_rate(self._optimizer, self.rate * min(1.0, (self.steps + 1) / _WARMUP), share)
        with autocast(self.device, self.precision):
            parts, _ = self.network(pairs.slices, pairs.conditions)
        start = pairs.operators.skip @ pairs.slices - pairs.sharp
        loss = (start + pairs.operators.spread @ parts).abs().mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if bool(torch.isfinite(nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP))):
            self._optimizer.step()
        self.steps += 1
        self._follow(min(_AVERAGE, self.steps / (self.steps + 10.0)))
        error = float(loss.detach())
        self._ratios.append(error / max(float(start.abs().mean()), 1e-6))
        if len(self._ratios) == _WATCHED:
            self._watch(sum(self._ratios) / _WATCHED)
            self._ratios = []
        return error

    def _watch(self, ratio: float) -> None:
        """Go back and on in smaller steps where the error has risen instead of fallen; it does on some scans."""
        if ratio <= _RISEN * self._best:
            self._best = min(self._best, ratio)
            self._good = copy.deepcopy(self.average.state_dict())
            return
        for network in (self.network, self.average):
            network.load_state_dict(self._good)
        self.rate *= 0.5
        self._optimizer = OrthogonalizedMomentum(self.network, self.rate)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(value, 1.0 - decay)


class SpreadLearner:
    """Learns how large the errors of a finished network are.

    Args:
        network: finished, on its device; its ``spread`` is trained in place.
        rate: highest learning rate.
        precision: number format of the network.

    Attributes:
        steps: done.
    """

    def __init__(self, network: ThickSliceNetwork, rate: float, precision: str) -> None:
        self.network, self.rate, self.precision, self.steps = network, rate, precision, 0
        network.spread.requires_grad_(True)
        self._optimizer = torch.optim.Adam(network.spread.parameters(), lr=rate, betas=(0.9, 0.99))

    def step(self, pairs: Pairs, share: float) -> None:
        """One update, by the Laplace likelihood of the network's errors; arguments as of :meth:`Learner.step`."""
        _set_rate(self._optimizer, self.rate * min(1.0, (self.steps + 1) / _WARMUP), share)
        with autocast(pairs.slices.device, self.precision):
            parts, spread = self.network(pairs.slices, pairs.conditions, True)
        errors = pairs.operators.combine(pairs.slices, parts) - pairs.sharp
        self._optimizer.zero_grad(set_to_none=True)
        unlikelihood(errors, pairs.operators.plain @ spread).backward()
        nn.utils.clip_grad_norm_(self.network.spread.parameters(), _CLIP)
        self._optimizer.step()
        self.steps += 1


def unlikelihood(errors: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Negative logarithm of the Laplace likelihood of errors (b, m, w), without constants.

    Args:
        errors: send no gradient.
        expected: logarithms of their expected size, same shape.
    """
    return (errors.detach().abs() * torch.exp(-expected) + expected).mean()


def _set_rate(optimizer: torch.optim.Optimizer, rate: float, share: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))
