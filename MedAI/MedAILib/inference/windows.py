"""Where the windows lie, and how much each counts at each voxel.

Both are products of per-axis tables. Each axis' weights are normalized so that, at every voxel, those of all windows
over it add up to 1; the product over the axes then does so too. A sum of weighted patches is therefore already the
weighted mean: no weight volume is kept and nothing is divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from ..geometry import Shape
from .options import WindowOptions


def window_starts(size: int, patch: int, overlap: float, even: bool = True) -> list[int]:
    """First voxel of each window along one axis, from border to border.

    They are evenly spread, or, as MONAI does it, one step after another, and the last where the volume ends. An axis
    shorter than the patch gets one window, centered, that begins before voxel 0.
    """
    if size <= patch:
        return [-((patch - size) // 2)]
    step = max(1, int(patch * (1.0 - overlap)))
    count = ceil((size - patch) / step) + 1
    if not even:
        return [min(number * step, size - patch) for number in range(count)]
    return [round(number * (size - patch) / (count - 1)) for number in range(count)]


def window_weights(starts: list[int], size: int, patch: int, sigma: float, weighting: str = "gaussian") -> np.ndarray:
    """Weights (windows, patch) along one axis, float32; at each voxel those of all windows add up to 1, but for those
    of MONAI's Gaussian, see :class:`.slab.Slab`.

    Args:
        starts: first voxel of each window.
        size: voxels along the axis; weights outside it are 0.
        patch: window length.
        sigma: standard deviation of the Gaussian as a share of the window length.
        weighting: one of :data:`.options.WEIGHTINGS`.
    """
    offsets = np.arange(patch) - (patch // 2 if weighting == "nnunet" else (patch - 1) / 2.0)
    # Far from its center a narrow Gaussian underflows; the floor keeps every covered voxel's sum above zero.
    gaussian = np.maximum(np.exp(-0.5 * (offsets / (sigma * patch)) ** 2), 1e-12)
    if weighting == "uniform":
        gaussian = np.ones(patch)
    weights = np.zeros((len(starts), size))
    for row, start in zip(weights, starts, strict=True):
        low, high = max(start, 0), min(start + patch, size)
        row[low:high] = gaussian[low - start : high - start]
    if weighting != "monai":
        weights /= weights.sum(axis=0)
    windows = np.zeros((len(starts), patch), np.float32)
    for window, row, start in zip(windows, weights, starts, strict=True):
        low, high = max(start, 0), min(start + patch, size)
        window[low - start : high - start] = row[low:high]
    return windows


@dataclass(frozen=True)
class Axis:
    """The windows along one axis.

    Attributes:
        size: voxels of the volume along the axis.
        patch: voxels of a window.
        starts: first voxel of each window, rising; negative where the volume is smaller than the patch.
        weights: (windows, patch) float32.
    """

    size: int
    patch: int
    starts: list[int]
    weights: np.ndarray

    @staticmethod
    def lay(size: int, patch: int, options: WindowOptions) -> Axis:
        starts = window_starts(size, patch, options.overlap, options.weighting not in ("monai", "uniform"))
        weights = window_weights(starts, size, patch, options.gaussian_sigma, options.weighting)
        return Axis(size, patch, starts, weights)

    def inside(self, window: int) -> tuple[int, int]:
        """First voxel and end of what the window covers of the volume."""
        start = self.starts[window]
        return max(start, 0), min(start + self.patch, self.size)


@dataclass(frozen=True)
class WindowGrid:
    """All windows of a volume, in rows across the streaming axis.

    Attributes:
        axes: the three axes in array order (k, j, i).
        order: the streaming axis first, then the others in array order. The streaming axis is the one that needs the
            smallest accumulator: patch depth times cross-section.
    """

    axes: tuple[Axis, Axis, Axis]
    order: tuple[int, int, int]

    @staticmethod
    def lay(shape: Shape, options: WindowOptions, patch: Shape | None = None) -> WindowGrid:
        """Lay windows over a volume of ``shape`` (k, j, i); ``patch`` replaces that of the options."""
        sizes = patch or options.patch
        k, j, i = (Axis.lay(size, length, options) for size, length in zip(shape, sizes, strict=True))
        axes = (k, j, i)
        stream = min(range(3), key=lambda axis: (axes[axis].patch + 1) / axes[axis].size)
        first, second = (axis for axis in range(3) if axis != stream)
        return WindowGrid(axes, (stream, first, second))

    @property
    def stream(self) -> Axis:
        return self.axes[self.order[0]]

    @property
    def cross_section(self) -> tuple[int, int]:
        """Voxels of a slab row."""
        return self.axes[self.order[1]].size, self.axes[self.order[2]].size

    def __len__(self) -> int:
        return len(self.axes[0].starts) * len(self.axes[1].starts) * len(self.axes[2].starts)

    def row(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Windows of one row as window numbers in streaming order."""
        for second in range(len(self.axes[self.order[1]].starts)):
            for third in range(len(self.axes[self.order[2]].starts)):
                yield number, second, third

    def start(self, window: tuple[int, int, int]) -> Shape:
        """First voxel (k, j, i) of a window given in streaming order."""
        found = [0, 0, 0]
        for axis, number in zip(self.order, window, strict=True):
            found[axis] = self.axes[axis].starts[number]
        return found[0], found[1], found[2]

    def final(self, row: int) -> int:
        """Rows of the streaming axis below this one get nothing more once window row ``row`` is done."""
        starts = self.stream.starts
        return starts[row + 1] if row + 1 < len(starts) else self.stream.size
