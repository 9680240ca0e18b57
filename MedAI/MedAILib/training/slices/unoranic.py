"""Training of unORANIC.

Eq. 1 to 4 of the paper. Eq. 3 prints E_A(I), but section 2.2 decodes the code of S, and so it is done here. The paper
lets the learning rate go up and down in cycles with 64 samples per step; here it falls as half a cosine over the
budget, as in all trainings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import UsageError
from ...networks import build
from ...networks.unoranic import Unoranic
from ..distributed import World
from ..loop import Loop
from ..precision import autocast
from .config import SliceRecipe, UnoranicSettings
from .slices import Slices, corrupted, draw_crops

_VALIDATION = 8
_VALIDATION_SEED = 1_000_003


def distance(one: torch.Tensor, other: torch.Tensor, squared: bool) -> torch.Tensor:
    """Mean over the first axis of ‖one − other‖₂, or mean square of all differences."""
    difference = (one - other).flatten(1)
    return difference.square().mean() if squared else difference.norm(dim=1).mean()


def consistency(codes: torch.Tensor, squared: bool = False) -> torch.Tensor:
    """Eq. 1: mean distance of the codes (b, v, …) of all pairs of variants."""
    pairs = list(combinations(range(codes.shape[1]), 2))
    return torch.stack([distance(codes[:, i], codes[:, j], squared) for i, j in pairs]).mean()


def reconstruction(picture: torch.Tensor, found: torch.Tensor, squared: bool = False) -> torch.Tensor:
    """Eq. 2 and 3: ‖picture − found‖₂/NM of pictures (b, 1, N, M), or their mean square."""
    size = 1 if squared else picture.shape[-1] * picture.shape[-2]
    return distance(picture, found, squared) / size


def decibels(pictures: torch.Tensor, found: torch.Tensor) -> float:
    """Mean peak signal-to-noise ratio of pictures (b, 1, y, x) whose peak is 1."""
    errors = (pictures - found).square().mean((1, 2, 3)).clamp_min(1e-10)
    return float((-10.0 * errors.log10()).mean())


class UnoranicTrainer(Loop):
    """Trains one model.

    Args:
        recipe: of the run, with the losses of unORANIC.
        volumes, held_out: see :func:`MedAILib.training.slices.slices.read_slices`; the latter may be empty.
        output, world, report: see :class:`Loop`.

    Raises:
        UsageError: the network is another, or does not take the recipe's crops.
        ModelError: it cannot be built.
    """

    network: Unoranic
    average: Unoranic

    def __init__(
        self,
        recipe: SliceRecipe,
        volumes: Sequence[Slices],
        held_out: Sequence[Slices],
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        torch.manual_seed(recipe.training.seed)
        network = build(recipe.network, recipe.arguments)
        if not isinstance(network, Unoranic) or not isinstance(recipe.losses, UnoranicSettings):
            raise UsageError(f'{recipe.name}: the network "{recipe.network}" is not that of unORANIC.')
        if recipe.losses.crop % network.multiple:
            raise UsageError(f"{recipe.name}: crop must be divisible by {network.multiple}.")
        self.losses, self.volumes, self.held_out = recipe.losses, volumes, held_out if world.first else []
        super().__init__(recipe.training, network, output, world, report)

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Eq. 4; the characteristics' encoder and the decoder of both codes only see the part of Eq. 2."""
        losses = self.losses
        clean, variants = self._draw(self.seeds(), self.volumes, losses.variants)
        with autocast(self.world.device, self.clock.precision):
            again, restored, codes = model(variants)
        first = reconstruction(variants[:, :1], again.float(), losses.squared)
        second = reconstruction(clean, restored.float(), losses.squared)
        return losses.reconstruction * (first + second) + losses.consistency * consistency(
            codes.float(), losses.squared
        )

    def _draw(
        self, seeds: Sequence[tuple[int, ...]], volumes: Sequence[Slices], variants: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Clean pictures, and the corrupted ones."""
        clean = draw_crops(seeds, volumes, self.losses.crop)
        found = corrupted(seeds, clean, variants, self.losses.artefacts)
        return clean.to(self.world.device), found.to(self.world.device)

    @torch.no_grad()
    def measure(self, fraction: float) -> dict[str, Any] | None:
        """Peak signal-to-noise ratio before and after the corruption's removal, on the volumes held out."""
        if not self.held_out:
            return None
        seeds = [(_VALIDATION_SEED, number) for number in range(_VALIDATION)]
        clean, variants = self._draw(seeds, self.held_out, 1)
        self.average.eval()
        restored = self.average.clean(variants)
        self.average.train()
        before, after = decibels(clean, variants), decibels(clean, restored)
        return {"validation": {"corrupted_db": round(before, 3), "restored_db": round(after, 3)}}
