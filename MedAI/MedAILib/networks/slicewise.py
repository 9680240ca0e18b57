"""A network for pictures, run on every slice of a volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from . import build

PORTION = 8
"""Slices that are predicted at a time."""


class SliceWise(nn.Module):
    """Gives a network for pictures the form of one for volumes; slices lie along k.

    Args:
        network: its name.
        arguments: its own, without ``inputs`` and ``classes``.
        inputs: channels of the image.
        classes: of the answer, background included.

    Attributes:
        network: (n, inputs, j, i) to class logits (n, classes, j, i).
        multiple: what patch sides must be divisible by, (k, j, i); any number of slices will do.
    """

    def __init__(self, network: str, arguments: Mapping[str, Any], inputs: int = 1, classes: int = 2) -> None:
        super().__init__()
        self.network = build(network, {**arguments, "inputs": inputs, "classes": classes})
        side = getattr(self.network, "multiple", 1)
        self.multiple = (1, side, side)

    def forward(self, x: torch.Tensor, *more: Any, **named: Any) -> Any:
        """Class logits (n, classes, k, j, i), or whatever the network gives in training.

        Args:
            x: (n, inputs, k, j, i).
            more, named: what the network takes besides in training: tensors (n, c, k, j, i) and (n, k, j, i) on the
                grid of ``x`` are cut into slices too.

        Returns:
            Pictures (n * k, c, j, i) of the network's answer become (n, c, k, j, i), also in lists and dictionaries;
            everything else is handed on: its first axis, if it has one, counts slices.
        """
        batch, depth = x.shape[0], x.shape[2]

        def cut(value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or value.shape[-3:] != x.shape[-3:]:
                return value
            return value.movedim(-3, 1).flatten(0, 1)

        def stacked(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return [stacked(part) for part in value]
            if isinstance(value, dict):
                return {name: stacked(part) for name, part in value.items()}
            if not isinstance(value, torch.Tensor) or value.ndim != 4:
                return value
            return value.unflatten(0, (batch, depth)).movedim(1, 2)

        slices = cut(x)
        if self.training:
            return stacked(self.network(slices, *map(cut, more), **{name: cut(each) for name, each in named.items()}))
        return stacked(torch.cat([self.network(part) for part in slices.split(PORTION)]))
