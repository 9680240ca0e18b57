"""Training of a registration network.

As in all trainings here, the learning rate falls as half a cosine over the budget; the papers of LapIRN and NIO keep
theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import UsageError
from ...networks import build
from ...networks.lapirn import LapIRN
from ...networks.tm_dca import TMDCA
from ...networks.warping import warp
from ...registration.losses import folds, local_correlation, soft_dice, unevenness
from ...registration.regularization import implicit_penalty
from ..distributed import World
from ..draw import Draw
from ..loop import Loop
from ..precision import autocast
from ..validation import dice_scores
from .config import PairSettings, RegistrationRecipe
from .sample import PairSource, TrainingPair


def build_network(recipe: RegistrationRecipe) -> LapIRN | TMDCA:
    """The recipe's network with fresh weights.

    Raises:
        UsageError: it does not register, or does not take the recipe's shape.
        ModelError: it cannot be built.
    """
    network = build(recipe.network, recipe.arguments)
    if not isinstance(network, (LapIRN, TMDCA)):
        raise UsageError(f'{recipe.name}: the network "{recipe.network}" does not register images.')
    sides = recipe.pairs.shape
    if any(side % network.multiple or side < 2 * network.multiple for side in sides):
        raise UsageError(
            f"{recipe.name}: pairs of {sides} voxels do not fit the network; it needs sides divisible by "
            f"{network.multiple}, and {2 * network.multiple} at least."
        )
    return network


def chosen_memberships(
    fixed: torch.Tensor, moving: torch.Tensor, draw: Draw, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Memberships of at most ``most`` of the classes that both label maps (k, j, i) have, drawn at random.

    Returns:
        Two float tensors (1, classes, k, j, i); without a common class, of no class.
    """
    present = sorted((set(fixed.unique().tolist()) & set(moving.unique().tolist())) - {0})
    while len(present) > most:
        present.pop(draw.integer(0, len(present) - 1))
    first, second = (
        torch.stack([labels == value for value in present] or [labels[:0] == 0])[None].float()
        for labels in (fixed, moving)
    )
    return (first, second) if present else (first[:, :0], second[:, :0])


class RegistrationTrainer(Loop):
    """Trains one registration network.

    Args:
        recipe: of the run.
        pairs: to train on.
        held_out: pairs to validate on, or None.
        output, world, report: see :class:`Loop`.

    Raises:
        UsageError, ModelError: see :func:`build_network`.
    """

    def __init__(
        self,
        recipe: RegistrationRecipe,
        pairs: PairSource,
        held_out: PairSource | None,
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.recipe, self.pairs, self.held_out = recipe, pairs, held_out if world.first else None
        torch.manual_seed(recipe.training.seed)
        network = build_network(recipe)
        self.conditional = isinstance(network, LapIRN)
        super().__init__(recipe.training, network, output, world, report)

    def displacement(
        self, model: nn.Module, moving: torch.Tensor, fixed: torch.Tensor, smoothness: float, level: int
    ) -> torch.Tensor:
        """(n, 3, k, j, i) voxels, float32, for images (n, 1, k, j, i)."""
        with autocast(self.world.device, self.clock.precision):
            found = model(moving, fixed, smoothness, level) if self.conditional else model(moving, fixed)
        return found.float()  # type: ignore[no-any-return]

    def details(self, fraction: float) -> dict[str, Any]:
        """The level of a pyramid."""
        return {"level": self.recipe.pairs.level(fraction)} if self.conditional else {}

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Loss of one pair per seed."""
        settings = self.recipe.pairs
        seeds = self.seeds()
        draw = Draw((*seeds[0], 3))
        smoothness = draw.uniform(*settings.smoothness)
        pairs = [self.pairs.sample(seed, settings.shape) for seed in seeds]
        fixed, moving = (torch.stack([getattr(p, name) for p in pairs])[:, None] for name in ("fixed", "moving"))
        found = self.displacement(model, moving, fixed, smoothness, settings.level(fraction))
        similarities = [self._similarity(pair, found[n : n + 1], draw) for n, pair in enumerate(pairs)]
        likeness = torch.stack(similarities).mean()
        return (1 - smoothness) * (1 - likeness) + smoothness * penalty(found, settings)

    def _similarity(self, pair: TrainingPair, found: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Weighted mean of local correlation and Dice, 0 to 1; without labels, of the former alone."""
        settings = self.recipe.pairs
        weights, parts = [], []
        if settings.image_weight:
            warped = warp(pair.moving[None, None], found)
            weights.append(settings.image_weight)
            parts.append(local_correlation(pair.fixed[None, None], warped, settings.window))
        if settings.label_weight and pair.fixed_labels is not None and pair.moving_labels is not None:
            ours, theirs = chosen_memberships(pair.fixed_labels, pair.moving_labels, draw, settings.labels_per_step)
            if ours.shape[1]:
                weights.append(settings.label_weight)
                parts.append(soft_dice(ours, warp(theirs, found)))
        if not parts:
            return found.sum() * 0.0
        return sum(w * p for w, p in zip(weights, parts, strict=True)) / sum(weights)  # type: ignore[return-value]

    @torch.no_grad()
    def measure(self, fraction: float) -> dict[str, Any] | None:
        """Dice before and after, local correlation before and after, and folds, over the pairs held out."""
        settings = self.recipe.pairs
        if self.held_out is None or not settings.validation_pairs:
            return None
        self.average.eval()
        level, smoothness = settings.level(fraction), sum(settings.smoothness) / 2
        rows = []
        for number in range(settings.validation_pairs):
            pair = self.held_out.sample((settings.validation_seed, number), settings.shape)
            fixed, moving = pair.fixed[None, None], pair.moving[None, None]
            found = self.displacement(self.average, moving, fixed, smoothness, level)
            still = torch.zeros_like(found)
            rows.append(
                [
                    *(_overlap(pair, shift) for shift in (still, found)),
                    *(
                        float(local_correlation(fixed, warp(moving, shift), settings.window))
                        for shift in (still, found)
                    ),
                    100 * folds(found) / max(1, fixed.numel()),
                ]
            )
        self.average.train()
        names = ("dice_before", "dice", "correlation_before", "correlation", "folds_percent")
        means = torch.tensor(rows).nanmean(0).tolist()
        values = {name: round(value, 5) for name, value in zip(names, means, strict=True) if value == value}
        return {**self.details(fraction), "validation": values}


def penalty(found: torch.Tensor, settings: PairSettings) -> torch.Tensor:
    """What an uneven displacement costs."""
    if settings.regularization == "explicit":
        return unevenness(found)
    return implicit_penalty(found, settings.regularization, settings.gamma, settings.sigma)


def _overlap(pair: TrainingPair, found: torch.Tensor) -> float:
    """Mean Dice of the classes of the fixed image, with the moving labels warped; nan without labels."""
    if pair.fixed_labels is None or pair.moving_labels is None:
        return float("nan")
    warped = warp(pair.moving_labels[None, None].float(), found, "nearest")[0, 0]
    classes = int(max(pair.fixed_labels.max(), pair.moving_labels.max())) + 1
    scores = dice_scores(warped.round(), pair.fixed_labels, classes)
    return float(scores[1:].nanmean()) if classes > 1 else float("nan")
