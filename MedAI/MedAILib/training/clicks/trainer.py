"""Training of a network that answers clicks: several rounds per object, each learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ...errors import UsageError
from ...networks import build
from ...networks.promptable import PromptableUNet
from ...superres.momentum import OrthogonalizedMomentum
from ..distributed import World
from ..draw import Draw
from ..loop import Loop
from ..losses import DiceCrossEntropy
from ..precision import autocast
from .config import ClicksRecipe
from .samples import Samples
from .subjects import Subject
from .user import User

_VALIDATION = 24
_VALIDATION_SEED = 1_000_003


def build_network(recipe: ClicksRecipe) -> PromptableUNet:
    """The recipe's network with fresh weights.

    Raises:
        UsageError: it does not answer clicks, or the regions do not fit it.
        ModelError: it cannot be built.
    """
    network = build(recipe.network, recipe.arguments)
    if not isinstance(network, PromptableUNet):
        raise UsageError(f'{recipe.name}: the network "{recipe.network}" does not answer clicks.')
    wrong = [side for _, side in recipe.clicks.regions if side % network.multiple]
    if wrong:
        raise UsageError(f"{recipe.name}: regions of {wrong[0]} voxels; use a multiple of {network.multiple}.")
    return network


class ClicksTrainer(Loop):
    """Trains one network.

    Args:
        recipe: of the run.
        subjects: to train on.
        held_out: to validate on; may be empty.
        output, world, report: see :class:`Loop`.

    Raises:
        UsageError, ModelError: see :func:`build_network`.
    """

    average: PromptableUNet

    def __init__(
        self,
        recipe: ClicksRecipe,
        subjects: Sequence[Subject],
        held_out: Sequence[Subject],
        output: Path,
        world: World,
        report: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.training.seed)
        super().__init__(recipe.training, build_network(recipe), output, world, report)
        self.optimizer = OrthogonalizedMomentum(self.network, recipe.training.learning_rate)
        self.loss = DiceCrossEntropy(1.0, recipe.clicks.balance)
        settings = recipe.clicks.targets, recipe.generator, world.device
        self.samples = Samples(subjects, *settings)
        self.held_out = Samples(held_out, *settings) if held_out and world.first else None
        self.overlap = 0.0

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        """Dice and cross-entropy, mean over the rounds of all samples."""
        losses, overlaps = [], []
        for seed in self.seeds():
            for logits, target in self._rounds(model, self.samples, seed, self.recipe.clicks.side(fraction)):
                losses.append(self.loss(functional.pad(logits, (0, 0, 0, 0, 0, 0, 1, 0)), target[None]))
                overlaps.append(dice(logits[0, 0] > 0.0, target))
        self.overlap = sum(overlaps) / len(overlaps)
        return torch.stack(losses).mean()

    def _rounds(
        self, model: nn.Module, samples: Samples, seed: Sequence[int], side: int
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Logits (1, 1, k, j, i) of each round, and the object (k, j, i)."""
        sample = samples.draw((*seed, 0), side)
        user = User(Draw((*seed, 1), self.world.device), sample, self.recipe.clicks.rounds)
        answers = []
        for _ in range(self.recipe.clicks.rounds.rounds):
            seen = user.view()[None].contiguous(memory_format=torch.channels_last_3d)
            with autocast(self.world.device, self.clock.precision):
                logits = model(seen)
            user.see(logits.detach()[0, 0] > 0.0)
            answers.append((logits.float(), sample.target))
        return answers

    def details(self, fraction: float) -> dict[str, Any]:
        return {"dice": round(self.overlap, 4), "side": self.recipe.clicks.side(fraction)}

    @torch.no_grad()
    def measure(self, fraction: float) -> dict[str, Any] | None:
        """Mean Dice after each round, on objects of the subjects held out."""
        if self.held_out is None:
            return None
        side = self.recipe.clicks.side(fraction)
        rows = [
            [
                dice(logits[0, 0] > 0.0, target)
                for logits, target in self._rounds(self.average, self.held_out, (_VALIDATION_SEED, number), side)
            ]
            for number in range(_VALIDATION)
        ]
        means = torch.tensor(rows).mean(0).tolist()
        return {"validation": {"dice": [round(value, 4) for value in means], "side": side}}


def dice(found: torch.Tensor, target: torch.Tensor) -> float:
    """Overlap of two masks, 0 to 1; 1 if both are empty."""
    both = float((found & target).sum())
    total = float(found.sum() + target.sum())
    return 2.0 * both / total if total else 1.0
