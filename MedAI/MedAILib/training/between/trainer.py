"""Training of HiFi-Diff.

Eq. 5 of the paper: ε is to be predicted, by mean squares, at random times. The paper keeps its learning rate of 1e-4
for 700,000 iterations of one sample; here it falls as half a cosine over the budget, as in all trainings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import UsageError
from ...networks import build
from ...networks.hifidiff import HiFiDiff
from ...superres.diffusion import Schedule
from ..distributed import World
from ..loop import Loop
from ..precision import autocast
from .config import BetweenRecipe
from .volumes import draw

_VALIDATION = 16
_VALIDATION_SEED = 1_000_003


class BetweenTrainer(Loop):
    """Trains one model.

    Args:
        recipe: of the run.
        volumes: to train on, see :func:`MedAILib.training.between.volumes.read_volumes`.
        held_out: volumes to validate on; may be empty.
        output, world, report: see :class:`Loop`.

    Raises:
        UsageError: the network is another, or does not take the recipe's crops.
        ModelError: it cannot be built.
    """

    network: HiFiDiff
    average: HiFiDiff

    def __init__(
        self,
        recipe: BetweenRecipe,
        volumes: Sequence[torch.Tensor],
        held_out: Sequence[torch.Tensor],
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.recipe, self.volumes, self.held_out = recipe, volumes, held_out if world.first else []
        self.schedule = Schedule(recipe.data.diffusion_steps)
        torch.manual_seed(recipe.training.seed)
        network = build(recipe.network, recipe.arguments)
        if not isinstance(network, HiFiDiff):
            raise UsageError(f'{recipe.name}: the network "{recipe.network}" does not generate slices.')
        if recipe.data.crop % network.multiple:
            raise UsageError(f"{recipe.name}: crop must be divisible by {network.multiple}.")
        super().__init__(recipe.training, network, output, world, report)

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Eq. 5, over one sample per seed."""
        return self._error(model, self.seeds(), self.volumes)

    def _error(self, model: nn.Module, seeds: Sequence[Sequence[int]], volumes: Sequence[torch.Tensor]) -> torch.Tensor:
        device = self.world.device
        sample = draw(seeds, volumes, self.recipe.data)
        wanted = sample.wanted.to(device)
        generator = torch.Generator().manual_seed(hash(tuple(seeds[0])) % 2**31)
        noise = torch.randn(wanted.shape, generator=generator).to(device)
        time = torch.randint(0, self.schedule.steps, (len(wanted),), generator=generator)
        noisy = self.schedule.noisy(wanted, noise, time.to(device))
        moment = ((time + 1) / self.schedule.steps).to(device)
        with autocast(device, self.clock.precision):
            found = model(noisy, moment, sample.pair.to(device), sample.offset.to(device))
        return (found.float() - noise).square().mean()

    @torch.no_grad()
    def measure(self, fraction: float) -> dict[str, Any] | None:
        """Mean square error of ε on the volumes held out."""
        if not self.held_out:
            return None
        self.average.eval()
        errors = [
            float(self._error(self.average, [(_VALIDATION_SEED, number, 0)], self.held_out))
            for number in range(_VALIDATION)
        ]
        self.average.train()
        return {"validation": {"noise_error": round(sum(errors) / len(errors), 5)}}
