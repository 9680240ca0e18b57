"""Scores of all classes on the output grid, written while the slab passes by."""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import Shape
from .head import Split
from .output import AxisTable, OutputMap
from .slab import Slab

CERTAIN = 20.0
"""Logit of class 0 where the network saw nothing."""


class ScoreGrid:
    """The interpolated logits, filled row by row like :class:`.output.OutputGrid`.

    Args:
        shape: (k, j, i) of the output.
        mapping: output index to network index per axis.
        network: (k, j, i) of the network grid.
        order: axes in streaming order.
        split: the head, or none.

    Attributes:
        scores: (classes, k, j, i) float16. Outside the network grid class 0 has :data:`CERTAIN`, all others 0.
    """

    def __init__(
        self, shape: Shape, mapping: OutputMap, network: Shape, order: tuple[int, int, int], split: Split
    ) -> None:
        self.scores = np.zeros((split.classes, *shape), np.float16)
        self.scores[0] = CERTAIN
        tables = [AxisTable.build(shape[axis], mapping[axis], network[axis]) for axis in range(3)]
        flips = tuple(slice(None, None, -1 if table.flipped else 1) for table in tables)
        inner = self.scores[(slice(None), *flips)]
        inner = inner[:, tables[0].window, tables[1].window, tables[2].window]
        self._rows = inner.transpose(1 + order[0], 0, 1 + order[1], 1 + order[2])
        self._stream, self._first, self._second = (tables[axis] for axis in order)
        self._split = split
        self._next = 0

    def write(self, slab: Slab) -> None:
        """Write every output row whose network rows are final."""
        while self._next < len(self._stream.low) and self._stream.high[self._next] < slab.final:
            low, high = (int(table[self._next]) for table in (self._stream.low, self._stream.high))
            row = torch.lerp(slab.feature_row(low), slab.feature_row(high), float(self._stream.share[self._next]))
            row = _interpolated(_interpolated(row, 0, self._first), 1, self._second)
            if self._split.weight is not None:
                row = row @ self._split.weight.to(row.device)
                if self._split.bias is not None:
                    row = row + self._split.bias.to(row.device)
            self._rows[self._next] = row.movedim(-1, 0).cpu().numpy()
            self._next += 1


def _interpolated(row: torch.Tensor, axis: int, table: AxisTable) -> torch.Tensor:
    """Values at the listed output voxels of one axis."""
    low, high, share = (torch.from_numpy(part).to(row.device) for part in (table.low, table.high, table.share))
    near = row.index_select(axis, low)
    if table.aligned:
        return near
    return torch.lerp(near, row.index_select(axis, high), share.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)))
