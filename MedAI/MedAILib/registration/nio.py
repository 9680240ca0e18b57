"""Neural instance optimization: a registration network is trained on the one pair that it is to register.

Mok et al. 2023, "Deformable Medical Image Registration Under Distribution Shifts with Neural Instance Optimization"
(NIO, MLMI 2023). In place of the displacement, the weights θ of a conditional LapIRN follow the gradient (Eq. 2); in
NIO_m, the coarsest level's network alone first, then level after level joins (section 2.2). The loss of every level is
taken at full resolution, for its enlarged displacement û (Eq. 3): (1−λ)·(−LNCC(F, M(Φ̂))) + λ·‖∇û‖, window 7³, λ = 0.4,
Adam with 1e-4, 100, 60 and 30 iterations.

What is not the paper's, and said so to the user:

- From random weights. The paper starts from weights trained for 150,000 iterations; without such the last layers begin
  at zero, the first displacement is the start, and the network is only a prior (as in Ulyanov et al. 2018). The paper
  has no figures for that. Its learning rate is for trained weights; random ones take three times as much.
- On top of another result. ``start`` is a displacement that the network adds to, as if it came from one more level
  below the coarsest; the paper starts from nothing.
- The best displacement of the run is returned, not the last: the one with the lowest loss of those that fold no more
  voxels than the start. Therefore the result is never worse than the start in loss and folds together. At every fifth
  iteration, one that folds more is smoothed where it does before it is judged.
- ‖∇û‖ is the mean squared difference between neighbors, in voxels (the paper writes a norm, the LapIRN code squares),
  and LNCC is squared as in that code.
- Chest CT's B-spline model and affine augmentation are left out; its mask of the lungs is the ``mask`` here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import UsageError
from ..networks.lapirn import LapIRN
from ..networks.warping import pad_to, warp
from .folds import relax
from .losses import WindowCorrelation, folds, unevenness

ITERATIONS = (100, 60, 30)
PROCESSOR_ITERATIONS = (50, 25, 0)
TRAINED_RATE, RANDOM_RATE = 1e-4, 3e-4
REPAIR_EVERY, REPAIRS = 5, 10
ENOUGH = 0.1  # determinant below which a repair smooths
UNTRAINED = "The refinement began with untrained weights, which the method's paper does not."
NOT_FINEST = "On a processor the refinement leaves its finest level out, which takes most of its time and memory."
MEMORY_FULL = "The refinement ended early because the device's memory was full; its best result up to then is used."


@dataclass(frozen=True)
class Point:
    """One iteration of a refinement.

    Attributes:
        level: the finest level that took part, 1 the coarsest; 0 is the start.
        loss: of the displacement, Eq. 3.
        kept: the displacement became the best so far.
    """

    level: int
    loss: float
    kept: bool


@dataclass(frozen=True, eq=False)
class RefineResult:
    """What a refinement found.

    Attributes:
        displacement: (3, k, j, i) voxels, float32, on the device of the images; the start if nothing better was found.
        curve: all iterations, the start first.
        improved: something better than the start was found.
        notes: sentences for the user.
    """

    displacement: torch.Tensor
    curve: tuple[Point, ...]
    improved: bool
    notes: tuple[str, ...] = ()

    @property
    def loss(self) -> float:
        """Of the displacement returned."""
        return [point.loss for point in self.curve if point.kept][-1]


class _Pair:
    """The images, padded for the network, and the loss of a displacement of them."""

    def __init__(
        self,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        mask: torch.Tensor | None,
        multiple: int,
        smoothness: float,
        window: int,
    ) -> None:
        self.fixed, self.moving = fixed.float()[None, None], moving.float()[None, None]
        self.smoothness = smoothness
        self.correlation = WindowCorrelation(self.fixed, window, None if mask is None else mask.clone()[None, None])
        self.padded = pad_to(self.moving, multiple), pad_to(self.fixed, multiple)
        self.box: tuple[Any, ...] = (..., *(slice(0, n) for n in fixed.shape))
        # Across a single slice nothing pulls, so nothing would hold a displacement back either.
        self.free = self.fixed.new_tensor([float(n > 1) for n in fixed.shape]).view(3, 1, 1, 1)

    def crop(self, displacement: torch.Tensor) -> torch.Tensor:
        """The network's displacement on the grid of the images."""
        return displacement[self.box] * self.free

    def loss(self, displacement: torch.Tensor) -> torch.Tensor:
        """Eq. 3 for (1, 3, k, j, i)."""
        similarity = self.correlation(warp(self.moving, displacement))
        return (self.smoothness - 1) * similarity + self.smoothness * unevenness(displacement)


class _Best:
    """The best displacement so far, which the start is at first."""

    def __init__(self, pair: _Pair, start: torch.Tensor) -> None:
        self.pair = pair
        with torch.no_grad():
            self.loss = float(pair.loss(start))
        self.displacement, self.allowed, self.improved = start, folds(start), False
        self.curve = [Point(0, self.loss, True)]

    @torch.no_grad()
    def offer(self, level: int, loss: float, displacement: torch.Tensor, repair: bool) -> None:
        """Keep a displacement if it has a lower loss and folds no more than the start, maybe after a repair."""
        reached, kept = loss, False
        if math.isfinite(loss) and loss < self.loss:
            displacement = displacement.detach()
            if folds(displacement) > self.allowed and repair:
                displacement = self._repaired(displacement)
                reached = float(self.pair.loss(displacement))
            kept = reached < self.loss and folds(displacement) <= self.allowed
        if kept:
            self.loss, self.displacement, self.improved = reached, displacement.clone(), True
        self.curve.append(Point(level, reached if kept else loss, kept))

    def _repaired(self, displacement: torch.Tensor) -> torch.Tensor:
        voxel = torch.ones(3, 1, 1, 1, device=displacement.device)
        for _ in range(REPAIRS):
            displacement = relax(displacement[0], voxel, ENOUGH)[None]
            if folds(displacement) <= self.allowed:
                break
        return displacement


def refine(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    start: torch.Tensor | None = None,
    weights: LapIRN | None = None,
    iterations: Sequence[int] | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
    seed: int = 1,
    *,
    smoothness: float = 0.4,
    learning_rate: float | None = None,
    window: int = 7,
    mask: torch.Tensor | None = None,
    channels: int = 28,
) -> RefineResult:
    """Improve a displacement by NIO_m; with 0 iterations on all levels but the last, by NIO.

    Args:
        fixed, moving: (k, j, i), 0 to 1, same grid, same device.
        start: (3, k, j, i) displacement in voxels to begin at, components in (k, j, i) order; None: no displacement.
        weights: a trained network θ0, which stays as it is; None: random weights, an adaptation (see the module).
        iterations: η, of each level, coarsest first; None: :data:`ITERATIONS`, the paper's, on a GPU, and
            :data:`PROCESSOR_ITERATIONS` on a processor.
        progress: called with the done share after each iteration; what it raises ends the run, e.g.
            :class:`~MedAILib.errors.Cancelled`.
        seed: of random weights.
        smoothness: λ, 0 to 1.
        learning_rate: of Adam; None: 1e-4 for trained weights, 3e-4 for random ones.
        window: side of LNCC's window, voxels, odd.
        mask: (k, j, i) weights of the similarity, or None.
        channels: of a network with random weights.

    Returns:
        The best displacement found, never worse than ``start``.

    Raises:
        UsageError: shapes that differ, numbers that are not finite, or settings that make no sense.
    """
    _check(fixed, moving, start, mask, smoothness, window)
    notes = [UNTRAINED] if weights is None else []
    if iterations is None:
        iterations = PROCESSOR_ITERATIONS if fixed.device.type == "cpu" else ITERATIONS
        notes += [NOT_FINEST] if fixed.device.type == "cpu" else []
    # The caller may be in inference mode, whose tensors no gradient can pass; copies made outside of it are plain.
    with torch.inference_mode(False), torch.enable_grad():
        network = copy.deepcopy(weights) if weights is not None else _random_network(channels, seed)
        if len(iterations) != network.levels or min(iterations) < 0:
            raise UsageError(
                f"A network of {network.levels} levels needs as many numbers of iterations, 0 or more each."
            )
        network = network.to(fixed.device).train().requires_grad_(True)
        pair = _Pair(fixed.clone(), moving.clone(), mask, network.multiple, smoothness, window)
        first = torch.zeros(3, *fixed.shape, device=fixed.device) if start is None else start.clone().to(fixed).float()
        best = _Best(pair, first[None])
        begin = None if start is None else pad_to(first[None], network.multiple)
        rate = learning_rate or (RANDOM_RATE if weights is None else TRAINED_RATE)
        try:
            _optimize(network, pair, begin, best, iterations, rate, progress)
        except torch.cuda.OutOfMemoryError:
            notes.append(MEMORY_FULL)
    return RefineResult(best.displacement[0], tuple(best.curve), best.improved, tuple(notes))


def _random_network(channels: int, seed: int) -> LapIRN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LapIRN(channels)
    network.start_from_zero()
    return network


def _optimize(
    network: LapIRN,
    pair: _Pair,
    start: torch.Tensor | None,
    best: _Best,
    iterations: Sequence[int],
    learning_rate: float,
    progress: Callable[[float], None],
) -> None:
    optimizer = torch.optim.Adam([{"params": network.level_parameters(1)}], lr=learning_rate)
    total, done, last = max(1, sum(iterations)), 0, 0
    for level, count in enumerate(iterations, 1):
        if level > 1:
            optimizer.add_param_group({"params": network.level_parameters(level)})
        for _ in range(count):
            last = level
            displacement = pair.crop(network(*pair.padded, pair.smoothness, level, start))
            loss = pair.loss(displacement)
            best.offer(level, float(loss.detach()), displacement, done % REPAIR_EVERY == 0)
            if not math.isfinite(best.curve[-1].loss):
                return
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += 1
            progress(done / total)
    if last:
        with torch.no_grad():
            displacement = pair.crop(network(*pair.padded, pair.smoothness, last, start))
            best.offer(last, float(pair.loss(displacement)), displacement, True)


def _check(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    start: torch.Tensor | None,
    mask: torch.Tensor | None,
    smoothness: float,
    window: int,
) -> None:
    if fixed.ndim != 3 or moving.shape != fixed.shape:
        raise UsageError(
            f"A refinement needs two volumes of one shape, not {tuple(fixed.shape)} and {tuple(moving.shape)}."
        )
    if start is not None and tuple(start.shape) != (3, *fixed.shape):
        raise UsageError(f"The displacement to refine must have shape (3, {', '.join(map(str, fixed.shape))}).")
    if mask is not None and mask.shape != fixed.shape:
        raise UsageError("The mask of a refinement must have the shape of the volumes.")
    if not all(bool(torch.isfinite(t).all()) for t in (fixed, moving, start) if t is not None):
        raise UsageError("A refinement needs finite numbers; the volumes or the displacement have others.")
    if not 0 <= smoothness <= 1 or window < 3 or window % 2 == 0:
        raise UsageError("The smoothness must be 0 to 1 and the window an odd number of voxels, 3 or more.")
