"""Training of a super-resolution network on many scans and many ways to take slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import UsageError
from ...networks import build
from ...networks.thick_slice import ThickSliceNetwork
from ...superres.learner import unlikelihood
from ...superres.momentum import OrthogonalizedMomentum
from ...superres.off_axis import OffAxis, Pairs
from ..distributed import World
from ..loop import Loop
from ..precision import autocast
from .config import SuperresRecipe
from .scans import draw_pairs

_VALIDATION = 24
_VALIDATION_SEED = 1_000_003
_SPREAD = 0.1


def build_network(recipe: SuperresRecipe) -> ThickSliceNetwork:
    """The recipe's network with fresh weights.

    Raises:
        UsageError: it is no network on thick slices.
        ModelError: it cannot be built.
    """
    network = build(recipe.network, recipe.arguments)
    if not isinstance(network, ThickSliceNetwork):
        raise UsageError(f'{recipe.name}: the network "{recipe.network}" does not work on thick slices.')
    return network


class SuperresTrainer(Loop):
    """Trains one network.

    Args:
        recipe: of the run.
        scans: to train on, see :func:`MedAILib.training.superres.scans.read_pictures`.
        held_out: scans to validate on; may be empty.
        output, world, report: see :class:`Loop`.

    Raises:
        UsageError, ModelError: see :func:`build_network`.
    """

    network: ThickSliceNetwork
    average: ThickSliceNetwork

    def __init__(
        self,
        recipe: SuperresRecipe,
        scans: Sequence[Sequence[OffAxis]],
        held_out: Sequence[Sequence[OffAxis]],
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.recipe, self.scans, self.held_out = recipe, scans, held_out if world.first else []
        torch.manual_seed(recipe.training.seed)
        super().__init__(recipe.training, build_network(recipe), output, world, report)
        self.optimizer = OrthogonalizedMomentum(self.network, recipe.training.learning_rate)

    def draw(self, seed: Sequence[int], scans: Sequence[Sequence[OffAxis]]) -> Pairs:
        """A batch that follows from the seed."""
        random = np.random.default_rng(list(seed))
        batch = self.recipe.training.batch
        return draw_pairs(random, scans, self.recipe.acquisition, batch, self.network.subslices)

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Mean absolute error over that of cubic interpolation, so that no scan and no geometry outweighs others.

        To it comes the likelihood of the errors, which only trains what tells their size.
        """
        first, losses = self.seeds()[0], []
        for number in range(self.recipe.acquisition.geometries):
            pairs = self.draw((*first, number), self.scans)
            ours, start, expected = self._errors(model, pairs)
            losses.append(ours.abs().mean() / start.abs().mean().clamp_min(1e-4))
            losses.append(_SPREAD * unlikelihood(ours, expected))
        return torch.stack(losses).sum() / self.recipe.acquisition.geometries

    def _errors(self, model: nn.Module, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of a network, of its starting point, and the logarithm of the expected size of the former."""
        with autocast(self.world.device, self.clock.precision):
            parts, spread = model(pairs.slices, pairs.conditions, True)
        start = pairs.operators.skip @ pairs.slices - pairs.sharp
        return start + pairs.operators.spread @ parts, start, pairs.operators.plain @ spread

    @torch.no_grad()
    def measure(self, fraction: float) -> dict[str, Any] | None:
        """Gain in dB over the corrected cubic interpolation, on the scans held out."""
        if not self.held_out:
            return None
        gains = []
        for number in range(_VALIDATION):
            ours, start, _ = self._errors(self.average, self.draw((_VALIDATION_SEED, number), self.held_out))
            gains.append(10.0 * float(torch.log10(start.square().mean() / ours.square().mean().clamp_min(1e-12))))
        return {"validation": {"gain_db": round(sum(gains) / len(gains), 4), "worst_db": round(min(gains), 4)}}
