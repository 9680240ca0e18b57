"""Several networks of one kind, or one network in several mirrorings, that vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import Any

import torch
from torch import nn

from . import build


class Averaged(nn.Module):
    """The mean of the logits of several networks and mirrorings.

    nnU-Net joins its folds and mirrorings like this, before softmax. The price is members times 2 to the number of
    mirrored axes.

    Args:
        network: name of the members.
        arguments: theirs, without ``inputs`` and ``classes``.
        members: how many.
        mirror: array axes (0, 1, 2 for k, j, i) along which the patch is also looked at mirrored, in all combinations.
        inputs, classes: as for any network.
    """

    def __init__(
        self,
        network: str,
        arguments: Mapping[str, Any],
        members: int = 1,
        mirror: Sequence[int] = (),
        inputs: int = 1,
        classes: int = 2,
    ) -> None:
        super().__init__()
        if members < 1 or not set(mirror) <= {0, 1, 2}:
            raise ValueError(f"members {members} and mirror {list(mirror)} must be at least 1, and axes 0 to 2")
        given = {**arguments, "inputs": inputs, "classes": classes}
        self.members = nn.ModuleList(build(network, given) for _ in range(members))
        self.multiple = getattr(self.members[0], "multiple", None)
        axes = sorted({axis + 2 for axis in mirror})
        self.mirrorings = list(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (n, classes, k, j, i) of an image (n, inputs, k, j, i)."""
        total: torch.Tensor | None = None
        for axes in self.mirrorings:
            seen = x.flip(axes) if axes else x
            for member in self.members:
                found = member(seen)
                found = found.flip(axes) if axes else found
                total = found if total is None else total + found
        assert total is not None
        return total / (len(self.mirrorings) * len(self.members))
