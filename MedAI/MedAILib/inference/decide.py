"""From accumulated features to the winning class, in blocks that fit the cache."""

from __future__ import annotations

import numpy as np
import torch

from .head import Split

CACHE_FLOATS = 1 << 18
"""Logits of a block: 1 MiB, so that they never leave a core's second-level cache, however many classes there are."""

ACCELERATOR_FLOATS = 1 << 26


class Decider:
    """Applies the head and takes the best class.

    Args:
        split: the head, or none.
        device: where the features are.
        confidence: also collect the mean probability per class.
    """

    def __init__(self, split: Split, device: torch.device, confidence: bool = False) -> None:
        self.classes = split.classes
        self.label_type = torch.uint8 if split.classes <= 256 else torch.int32
        self._weight = split.weight.to(device) if split.weight is not None else None
        self._bias = split.bias.to(device) if split.bias is not None else None
        floats = CACHE_FLOATS * torch.get_num_threads() if device.type == "cpu" else ACCELERATOR_FLOATS
        self.block = max(64, floats // split.classes)
        self._logits = torch.empty(self.block, split.classes, device=device) if split.weight is not None else None
        self._best = torch.empty(self.block, device=device)
        self._index = torch.empty(self.block, dtype=torch.long, device=device)
        self._collects = confidence
        self._sums = torch.zeros(split.classes, dtype=torch.float64)
        self._counts = torch.zeros(split.classes, dtype=torch.float64)

    def decide(
        self, features: torch.Tensor, labels: torch.Tensor, presence: torch.Tensor | None = None, count: bool = False
    ) -> None:
        """Write the winning class of each row into ``labels``.

        Args:
            features: (n, width) contiguous float32.
            labels: (n,) of ``label_type``, written.
            presence: (n,) share of windows that ran, 0 to 1, that features and therefore the bias are scaled by;
                0 gives class 0. None means 1.
            count: let these voxels count for the confidence.
        """
        for start in range(0, features.shape[0], self.block):
            block = features[start : start + self.block]
            part = presence[start : start + self.block] if presence is not None else None
            size = block.shape[0]
            logits = self._apply(block, part)
            best, index = self._best[:size], self._index[:size]
            # Faster than argmax on CPUs, which vectorizes worse.
            torch.max(logits, 1, out=(best, index))
            if part is not None:
                index.mul_(part > 0)
            labels[start : start + size] = index
            if count and self._collects:
                self._collect(logits, best, index, part)

    def _apply(self, block: torch.Tensor, presence: torch.Tensor | None) -> torch.Tensor:
        if self._weight is None or self._logits is None:
            return block
        logits = self._logits[: block.shape[0]]
        if self._bias is None:
            return torch.mm(block, self._weight, out=logits)
        if presence is None:
            return torch.addmm(self._bias, block, self._weight, out=logits)
        torch.mm(block, self._weight, out=logits)
        return logits.addcmul_(presence[:, None], self._bias)

    def _collect(
        self, logits: torch.Tensor, best: torch.Tensor, index: torch.Tensor, presence: torch.Tensor | None
    ) -> None:
        # Out of place when there is no head: the accumulator is still needed for interpolation.
        shifted = torch.sub(logits, best[:, None], out=self._logits[: len(best)] if self._logits is not None else None)
        probability = (shifted.exp_().sum(1)).reciprocal_()
        if presence is not None:
            index, probability = index[presence > 0], probability[presence > 0]
        index, probability = index.cpu(), probability.double().cpu()
        self._sums += torch.bincount(index, probability, minlength=self.classes)
        self._counts += torch.bincount(index, minlength=self.classes)

    def confidence(self) -> np.ndarray | None:
        """Mean probability per class (classes,), nan where a class won nowhere."""
        if not self._collects:
            return None
        return (self._sums / torch.where(self._counts > 0, self._counts, torch.nan)).numpy()
