"""The accumulator: a ring of rows along the streaming axis, one patch deep."""

from __future__ import annotations

import numpy as np
import torch

from .decide import Decider
from .options import MONAI_FLOOR, WindowOptions
from .windows import WindowGrid


class Slab:
    """Rows of accumulated features and, once final, of labels.

    The rows lie in a ring one row deeper than a patch: a new row takes the place of one that is decided and written,
    while the last decided row stays for interpolation into the next. Memory therefore does not depend on the
    volume's length. Values are (row, a, b, width), so that a row is ready for the head's matrix product and a
    channels-last patch is added without rearranging.

    Args:
        grid: the windows.
        width: channels to accumulate.
        decider: turns final rows into labels.
        device: where the rows are.
        options: whether a voxel's weights add up to 1 by themselves; else their sum is kept too, because some windows
            may not run, or because MONAI's weights, which have a floor, are no products of one per axis.
    """

    def __init__(
        self, grid: WindowGrid, width: int, decider: Decider, device: torch.device, options: WindowOptions
    ) -> None:
        self.grid, self.width, self._decider = grid, width, decider
        self.depth = min(grid.stream.patch + 1, grid.stream.size)
        first, second = grid.cross_section
        self.values = torch.empty(self.depth, first, second, width, device=device)
        self.labels = torch.empty(self.depth, first, second, dtype=decider.label_type, device=device)
        self.presence = torch.empty(self.depth, first, second, device=device) if options.adds_weights else None
        self._floor = MONAI_FLOOR if options.weighting == "monai" else None
        # The streaming axis' weights are used as numbers; reading them back from an accelerator would make it wait.
        self._along = grid.stream.weights
        self._across = [torch.from_numpy(grid.axes[axis].weights).to(device) for axis in grid.order[1:]]
        self._opened = self.final = 0

    def open_row(self, row: int) -> None:
        """Make the voxels of a window row ready for adding."""
        _, stop = self.grid.stream.inside(row)
        for number in range(self._opened, stop):
            self.values[number % self.depth].zero_()
            if self.presence is not None:
                self.presence[number % self.depth].zero_()
        self._opened = max(self._opened, stop)

    def add(self, window: tuple[int, int, int], features: torch.Tensor) -> None:
        """Add one window.

        Args:
            window: window numbers in streaming order.
            features: (width, k, j, i) of the whole window, any floating type, on the slab's device.
        """
        starts = [self.grid.axes[axis].starts[number] for axis, number in zip(self.grid.order, window, strict=True)]
        (low, high), (a0, a1), (b0, b1) = (
            self.grid.axes[axis].inside(number) for axis, number in zip(self.grid.order, window, strict=True)
        )
        rows = features.permute(*(1 + axis for axis in self.grid.order), 0)
        rows = rows[
            low - starts[0] : high - starts[0], a0 - starts[1] : a1 - starts[1], b0 - starts[2] : b1 - starts[2]
        ]
        first, second = (table[number] for table, number in zip(self._across, window[1:], strict=True))
        shares = self._along[window[0], low - starts[0] : high - starts[0]].tolist()
        plane = first[a0 - starts[1] : a1 - starts[1], None] * second[None, b0 - starts[2] : b1 - starts[2]]
        # Row by row: a converted row stays in the cache, and no patch of weights is ever built.
        for number, weight, row in zip(range(low, high), shares, rows, strict=True):
            target = number % self.depth
            shares_here, scale = plane, weight
            if self._floor is not None:
                shares_here, scale = (plane * weight).clamp_(min=self._floor), 1.0
            self.values[target, a0:a1, b0:b1].addcmul_(row.float(), shares_here[:, :, None], value=scale)
            if self.presence is not None:
                self.presence[target, a0:a1, b0:b1].add_(shares_here, alpha=scale)

    def finish_row(self, row: int) -> None:
        """Decide all voxels that no later window reaches."""
        final = self.grid.final(row)
        for number in range(self.final, final):
            self._decide(number % self.depth)
        self.final = final

    def _decide(self, row: int) -> None:
        values, labels = self.values[row], self.labels[row]
        if self.presence is None:
            self._decider.decide(values.view(-1, self.width), labels.view(-1), count=True)
            return
        presence = self.presence[row]
        occupied = presence.amax(1).nonzero()
        labels.zero_()
        if len(occupied) == 0:
            return
        # Lines without any window that ran are left out; those between the outermost others stay one block.
        lines = slice(int(occupied[0]), int(occupied[-1]) + 1)
        values[lines].div_(presence[lines].clamp_min(torch.finfo(torch.float32).tiny)[:, :, None])
        presence[lines] = (presence[lines] > 0).float()
        self._decider.decide(
            values[lines].view(-1, self.width), labels[lines].view(-1), presence[lines].view(-1), count=True
        )

    def label_row(self, number: int) -> torch.Tensor:
        """Labels (a, b) of a final row."""
        return self.labels[number % self.depth]

    def feature_row(self, number: int) -> torch.Tensor:
        """Features (a, b, width) of a final row."""
        return self.values[number % self.depth]

    def interpolate(self, corners: torch.Tensor, weights: torch.Tensor, labels: torch.Tensor) -> None:
        """Decide points between voxels.

        Args:
            corners: (n, 8) flat indices of ring row, a and b of the voxels around each point, int32 or int64.
            weights: (n, 8) float32, their trilinear weights.
            labels: (n,) of the decider's label type, written.
        """
        bag = torch.nn.functional.embedding_bag
        values = self.values.view(-1, self.width)
        block = max(64, min(len(corners), (1 << 20) // self.width))
        for start in range(0, len(corners), block):
            part = slice(start, start + block)
            mixed = bag(corners[part], values, mode="sum", per_sample_weights=weights[part])
            presence = None
            if self.presence is not None:
                presence = (self.presence.view(-1)[corners[part].long()] * weights[part]).sum(1)
            self._decider.decide(mixed, labels[part], presence)

    def plane_index(self, number: int) -> int:
        """Flat index of the first voxel of a row."""
        return number % self.depth * self.values.shape[1] * self.values.shape[2]


def slab_bytes(grid: WindowGrid, width: int, adds_weights: bool) -> int:
    """Memory that a :class:`Slab` will take."""
    depth = min(grid.stream.patch + 1, grid.stream.size)
    return depth * int(np.prod(grid.cross_section)) * (4 * width + 4 + 4 * int(adds_weights))
