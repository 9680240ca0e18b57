"""Writing labels on the output grid while the slab passes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import UsageError
from ..geometry import Shape
from .slab import Slab

AxisMap = tuple[float, float]
"""(scale, offset): output index x lies at network-grid index ``scale * x + offset``. A negative scale is a flip."""

OutputMap = Sequence[AxisMap]
"""One :data:`AxisMap` per axis, (k, j, i)."""

IDENTITY: OutputMap = ((1.0, 0.0), (1.0, 0.0), (1.0, 0.0))


@dataclass(frozen=True)
class AxisTable:
    """Where the output voxels of one axis lie between network voxels.

    Only those less than one voxel outside the network grid are listed (``first`` up to ``first + len(low)``) and take
    the border's value; the rest is background.

    Attributes:
        first: first listed output voxel.
        low: network voxel at or below each listed one.
        high: the next one, or the same at the last voxel.
        share: weight of ``high``, 0 to 1, float32.
        flipped: output voxels are listed from the far end.
        size: all output voxels.
    """

    first: int
    low: np.ndarray
    high: np.ndarray
    share: np.ndarray
    flipped: bool
    size: int

    @staticmethod
    def build(size: int, mapping: AxisMap, network: int) -> AxisTable:
        """Tables for ``size`` output voxels over ``network`` voxels.

        Raises:
            UsageError: the scale is 0 or a number is not finite.
        """
        scale, offset = mapping
        if not np.isfinite([scale, offset]).all() or scale == 0.0:
            raise UsageError(f"output_map has the axis {mapping}; it needs a finite offset and a scale other than 0.")
        if flipped := scale < 0:
            scale, offset = -scale, offset + scale * (size - 1)
        place = scale * np.arange(size) + offset
        # Rounding errors of the caller's matrices must not turn a copied voxel into an interpolated one.
        nearest = np.rint(place)
        place = np.where(np.abs(place - nearest) < 1e-5, nearest, place)
        listed = np.flatnonzero((place > -1) & (place < network))
        place = np.clip(place[listed], 0, network - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, network - 1)
        first = int(listed[0]) if len(listed) else 0
        return AxisTable(first, low, high, (place - low).astype(np.float32), flipped, size)

    @property
    def aligned(self) -> bool:
        """No output voxel lies between network voxels."""
        return not self.share.any()

    @property
    def window(self) -> slice:
        """The listed output voxels."""
        return slice(self.first, self.first + len(self.low))


class OutputGrid:
    """The label volume, filled row by row.

    A point whose eight neighbors have the same class has it too: trilinear interpolation takes a convex combination of
    logits in each of which that class is the largest. Only the other points are interpolated, as features, and decided
    anew. So the result is that of interpolating all logits, for the price of the class borders.

    Args:
        shape: (k, j, i) of the output.
        mapping: output index to network index per axis.
        network: (k, j, i) of the network grid.
        order: axes in streaming order.
        classes: number of classes; more than 256 give uint16.
    """

    def __init__(self, shape: Shape, mapping: OutputMap, network: Shape, order: tuple[int, ...], classes: int) -> None:
        self.labels = np.zeros(shape, np.uint8 if classes <= 256 else np.uint16)
        tables = [AxisTable.build(shape[axis], mapping[axis], network[axis]) for axis in range(3)]
        flips = tuple(slice(None, None, -1 if table.flipped else 1) for table in tables)
        inner = self.labels[flips][tables[0].window, tables[1].window, tables[2].window]
        self._rows = inner.transpose(order)
        self._stream, self._first, self._second = (tables[axis] for axis in order)
        self._aligned = all(table.aligned for table in tables)
        self._next = 0
        self._cell: tuple[int, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def write(self, slab: Slab) -> None:
        """Write every output row whose network rows are final."""
        while self._next < len(self._stream.low) and self._stream.high[self._next] < slab.final:
            row = self._copied(slab) if self._aligned else self._interpolated(slab)
            self._rows[self._next] = row.cpu().numpy()
            self._next += 1

    def _copied(self, slab: Slab) -> torch.Tensor:
        first, second = self._first.low, self._second.low
        if not len(first) or not len(second):
            return torch.zeros(len(first), len(second))
        row = slab.label_row(int(self._stream.low[self._next]))
        if (np.diff(first) == 1).all() and (np.diff(second) == 1).all():
            return row[first[0] : first[-1] + 1, second[0] : second[-1] + 1]
        device = row.device
        return row[torch.from_numpy(first).to(device)[:, None], torch.from_numpy(second).to(device)]

    def _interpolated(self, slab: Slab) -> torch.Tensor:
        low = int(self._stream.low[self._next])
        if self._cell is None or self._cell[0] != low:
            self._cell = self._look(slab, low, int(self._stream.high[self._next]))
        _, near, mixed, corners, weights = self._cell
        row = near.clone()
        if len(mixed):
            share = float(self._stream.share[self._next])
            labels = torch.empty(len(mixed), dtype=near.dtype, device=near.device)
            slab.interpolate(corners, torch.cat([weights * (1 - share), weights * share], 1), labels)
            row.view(-1)[mixed] = labels
        return row

    def _look(
        self, slab: Slab, low: int, high: int
    ) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Between two network rows: the agreed labels, which output points are not agreed, their corners in both rows
        and in-plane weights."""
        below, above = slab.label_row(low), slab.label_row(high)
        device = below.device
        smallest, largest = torch.minimum(below, above), torch.maximum(below, above)
        for axis in (0, 1):
            if smallest.shape[axis] > 1:
                head, tail = slice(None, -1), slice(1, None)
                one, two = ((head, slice(None)), (tail, slice(None))) if axis == 0 else ((..., head), (..., tail))
                smallest = torch.minimum(smallest[one], smallest[two])
                largest = torch.maximum(largest[one], largest[two])
        a0, a1, a = (torch.from_numpy(t).to(device) for t in (self._first.low, self._first.high, self._first.share))
        b0, b1, b = (torch.from_numpy(t).to(device) for t in (self._second.low, self._second.high, self._second.share))
        # The last voxel begins no cell; a point on it lies in the cell before, with full weight on its far side.
        cell_a, cell_b = a0.clamp(max=smallest.shape[0] - 1), b0.clamp(max=smallest.shape[1] - 1)
        differs = (smallest != largest).index_select(0, cell_a).index_select(1, cell_b)
        near = below.index_select(0, a0).index_select(1, b0)
        mixed = differs.view(-1).nonzero().view(-1)
        at_a, at_b = mixed // len(b0), mixed % len(b0)
        width = below.shape[1]
        from_a0, from_a1 = a0[at_a] * width, a1[at_a] * width
        plane = torch.stack([from_a0 + b0[at_b], from_a0 + b1[at_b], from_a1 + b0[at_b], from_a1 + b1[at_b]], 1)
        part_a, part_b = a[at_a], b[at_b]
        weights = torch.stack(
            [(1 - part_a) * (1 - part_b), (1 - part_a) * part_b, part_a * (1 - part_b), part_a * part_b], 1
        )
        corners = torch.cat([plane + slab.plane_index(low), plane + slab.plane_index(high)], 1)
        return low, near, mixed, corners, weights
