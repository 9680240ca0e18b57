"""The curve that says whether training works: Dice on synthetic images of maps that are never trained on."""

from __future__ import annotations

import torch
from torch import nn

from .generator import Generator
from .precision import autocast
from .recipe import ValidationSettings


def dice_scores(predicted: torch.Tensor, target: torch.Tensor, classes: int) -> torch.Tensor:
    """(classes,) Dice of two class maps of any equal shape; nan where neither has the class."""
    pairs = torch.bincount(target.reshape(-1).long() * classes + predicted.reshape(-1).long(), minlength=classes**2)
    confusion = pairs.reshape(classes, classes).cpu().double()
    return 2 * confusion.diagonal() / (confusion.sum(0) + confusion.sum(1))


class Validator:
    """Measures a network on the same images each time.

    Args:
        generator: over the maps held out.
        settings: how many images, of which shape.
    """

    def __init__(self, generator: Generator, settings: ValidationSettings) -> None:
        self.generator, self.settings = generator, settings

    @torch.no_grad()
    def measure(self, network: nn.Module, precision: str, coarseness: int = 1) -> dict[str, object]:
        """Validate a :class:`Learner`.

        Returns:
            Mean Dice over the reported classes present in the truth, and the mean of each by its code.
        """
        table = self.generator.table
        network.eval()
        scores = []
        k, j, i = (size // coarseness for size in self.settings.shape)
        shape = (k, j, i)
        for number in range(self.settings.samples):
            image, target = self.generator.sample((self.settings.seed, number), shape, coarseness)
            with autocast(self.generator.device, precision):
                logits = network(image[None, None].contiguous(memory_format=torch.channels_last_3d), coarseness > 1)
            score = dice_scores(logits[0].argmax(0), target, len(table.classes))
            score[torch.bincount(target.reshape(-1).long(), minlength=len(score)).cpu() == 0] = torch.nan
            scores.append(score)
        network.train()
        mean = torch.stack(scores).nanmean(0)
        reported = {str(code): float(mean[n]) for n, code in enumerate(table.classes) if code}
        present = [value for value in reported.values() if value == value]
        return {"dice": sum(present) / max(1, len(present)), "classes": {k: round(v, 4) for k, v in reported.items()}}
