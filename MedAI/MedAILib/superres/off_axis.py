"""Training pairs from the slices themselves: sharp within each slice, blurred as the scanner blurs across them.

The idea of SMORE (Zhao et al. 2021) and SR4ZCT (Shi et al. 2023): along an axis within the slice a picture is blurred
and sampled exactly as the volume is along the slice axis, and what was there before is what the network should give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .acquisition import Acquisition
from .lattice import LatticeOperators, lattice_operators
from .operators import slice_matrix
from .stack import Line

_PHASES = 16
_STRIDE = 4
_LEAST_BLUR = 1.2
"""Slices must be so much thicker than the pixels that are to stand for thin ones."""
_MOST = 128
"""Pictures of one stack that are used at most; more would only cost memory and the time to weigh them."""


@dataclass(frozen=True)
class Simulation:
    """What is done to the pictures.

    Attributes:
        acquisition: of the simulated slices.
        noise: standard deviation of the pictures' noise, in their unit; slices get back what blurring takes of it.
        weight: of the correction towards the slices, see :func:`lattice_operators`.
        subslices: thin parts per slice distance.
    """

    acquisition: Acquisition
    noise: float = 0.0
    weight: float = 0.0
    subslices: int = 8


@dataclass(frozen=True)
class Pairs:
    """Training pairs that share one geometry.

    Attributes:
        slices: (b, n, w) blurred and sampled.
        sharp: (b, m, w) what it was made from.
        line: the cells of ``sharp`` in mm from the first of ``slices``.
        operators: between both.
        conditions: for the network.
    """

    slices: torch.Tensor
    sharp: torch.Tensor
    line: Line
    operators: LatticeOperators
    conditions: torch.Tensor


@dataclass(frozen=True)
class Window:
    """Size of a training crop along one axis of the pictures.

    Attributes:
        axis: along which is blurred, 0 (y) or 1 (x).
        slices: number of simulated slices, n.
        cells: pixels of the target, m.
        margin: pixels on either side that are blurred too and then dropped, as slices see beyond the volume's end.
        width: pixels along the other axis, w.
    """

    axis: int
    slices: int
    cells: int
    margin: int
    width: int

    @property
    def length(self) -> int:
        return self.cells + 2 * self.margin


def window_along(
    axis: int, shape: tuple[int, int], step: float, acquisition: Acquisition, slices: int, width: int
) -> Window | None:
    """The largest window up to ``slices`` and ``width`` in pictures of this shape; None if three slices do not fit or
    the pixels are too coarse."""
    thickness, increment = acquisition.thickness, acquisition.increment
    length = shape[axis]

    def cells(count: int) -> int:
        return math.ceil((count * increment + thickness) / step)

    fitting = [count for count in range(3, slices + 1) if cells(count) <= length]
    if not fitting or shape[1 - axis] < 4 or thickness < _LEAST_BLUR * step:
        return None
    margin = min(math.ceil(0.5 * thickness / step), (length - cells(fitting[-1])) // 2)
    return Window(axis, fitting[-1], cells(fitting[-1]), margin, min(width, shape[1 - axis]))


class OffAxis:
    """Draws pairs from the pictures of one stack.

    Args:
        pictures: (p, y, x) float32, about -1 to 1.
        spacing: (y, x) pixel size in mm.
        slices: simulated slices per crop, at most.
        width: of a crop, in pixels, at most.

    Attributes:
        pictures: those used.
    """

    def __init__(
        self,
        pictures: torch.Tensor,
        spacing: tuple[float, float],
        slices: int = 24,
        width: int = 96,
    ) -> None:
        chosen = np.unique(np.linspace(0, len(pictures) - 1, min(_MOST, len(pictures))).round().astype(int))
        self.pictures = pictures if len(chosen) == len(pictures) else pictures[torch.from_numpy(chosen)]
        self.spacing = spacing
        self._most = slices, width
        self._edges = np.stack([_edges_of(picture.cpu().numpy()) for picture in self.pictures])
        self._made: dict[object, tuple[Line, LatticeOperators, torch.Tensor]] = {}
        self._kept: dict[Window, tuple[np.ndarray, tuple[int, ...]]] = {}

    def windows(self, acquisition: Acquisition) -> list[Window]:
        """What can be cut along y and along x; empty where the pictures are too small for such slices."""
        shape = (self.pictures.shape[1], self.pictures.shape[2])
        found = [window_along(axis, shape, self.spacing[axis], acquisition, *self._most) for axis in (0, 1)]
        return [window for window in found if window is not None]

    def draw(
        self, random: np.random.Generator, window: Window, simulation: Simulation, batch: int, keep: bool = True
    ) -> Pairs:
        """``batch`` crops of one geometry; places with strong edges are drawn more often, flips at random.

        Args:
            random: gives everything random.
            window: one of :meth:`windows`.
            simulation: what is done to the crops.
            batch: number of crops.
            keep: remember the matrices for the next crops of this geometry.
        """
        phase = int(random.integers(_PHASES))
        key = (window, phase, simulation)
        made = self._made.get(key) or self._make(*key)
        places = self._kept.get(window) or self._places(window)
        if keep:
            self._made[key], self._kept[window] = made, places
        line, operators, wide = made
        crops = self._crops(random, window, places, batch)
        slices = wide @ crops
        if simulation.noise > 0.0:
            lost = simulation.noise * (1.0 - wide.square().sum(1, keepdim=True)).clamp_min(0.0).sqrt()
            seed = torch.Generator().manual_seed(int(random.integers(2**62)))
            slices = slices + lost * torch.randn(slices.shape, generator=seed).to(slices.device)
        sharp = crops[:, window.margin : window.margin + window.cells]
        conditions = conditions_of(simulation.acquisition, self.spacing[1 - window.axis], simulation.noise)
        return Pairs(slices, sharp, line, operators, conditions.to(slices.device))

    def misfit(self, random: np.random.Generator, window: Window, acquisition: Acquisition, batch: int = 4) -> float:
        """Root mean square of what cubic interpolation leaves unexplained in slices without further noise."""
        _, operators, wide = self._make(window, int(random.integers(_PHASES)), Simulation(acquisition, weight=1e9))
        slices = wide @ self._crops(random, window, self._places(window), batch)
        return float((slices - operators.blur @ (operators.skip @ slices)).square().mean().sqrt())

    def _make(self, window: Window, phase: int, simulation: Simulation) -> tuple[Line, LatticeOperators, torch.Tensor]:
        step, acquisition = self.spacing[window.axis], simulation.acquisition
        start = 0.5 * (step - acquisition.thickness) - (phase + 0.5) / _PHASES * acquisition.increment
        line = Line(start, step, window.cells)
        wide = Line(start - window.margin * step, step, window.length)
        device = self.pictures.device
        operators = lattice_operators(window.slices, acquisition, line, simulation.subslices, simulation.weight, device)
        blur = slice_matrix(window.slices, acquisition.increment, wide, acquisition.thickness, acquisition.profile)
        return line, operators, torch.from_numpy(blur.astype(np.float32)).to(device)

    def _crops(
        self, random: np.random.Generator, window: Window, places: tuple[np.ndarray, tuple[int, ...]], batch: int
    ) -> torch.Tensor:
        """(b, length, w), the axis to blur first."""
        total, shape = places
        drawn = np.searchsorted(total, random.random(batch) * total[-1], side="right")
        found = np.stack(np.unravel_index(np.minimum(drawn, len(total) - 1), shape), 1)
        crops = []
        for picture, row, column in found.tolist():
            image = self.pictures[picture] if window.axis == 0 else self.pictures[picture].T
            row, column = _STRIDE * row, _STRIDE * column
            crop = image[row : row + window.length, column : column + window.width]
            flips = [axis for axis in (0, 1) if random.random() < 0.5]
            crops.append(crop.flip(flips) if flips else crop)
        return torch.stack(crops).contiguous()

    def _places(self, window: Window) -> tuple[np.ndarray, tuple[int, ...]]:
        """Cumulated weights of all places where a crop may begin, and the array shape they come from."""
        edges = self._edges if window.axis == 0 else self._edges.swapaxes(1, 2)
        rows, columns = max(1, window.length // _STRIDE), max(1, window.width // _STRIDE)
        shape = self.pictures.shape[1 + window.axis], self.pictures.shape[2 - window.axis]
        sums = _box_sums(edges, min(rows, edges.shape[1]), min(columns, edges.shape[2]))
        sums = sums[:, : (shape[0] - window.length) // _STRIDE + 1, : (shape[1] - window.width) // _STRIDE + 1]
        return np.cumsum(sums.ravel() + 1e-3 * sums.mean() + 1e-9), sums.shape


def _edges_of(picture: np.ndarray) -> np.ndarray:
    """(y / stride, x / stride) sums of the absolute differences between neighboring pixels."""
    edges = np.zeros([-(-size // _STRIDE) * _STRIDE for size in picture.shape], np.float32)
    edges[1 : len(picture), : picture.shape[1]] = np.abs(np.diff(picture, axis=0))
    edges[: len(picture), 1 : picture.shape[1]] += np.abs(np.diff(picture, axis=1))
    y, x = edges.shape
    return edges.reshape(y // _STRIDE, _STRIDE, x // _STRIDE, _STRIDE).sum((1, 3), dtype=np.float64)


def _box_sums(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(p, y, x): sum over each full ``rows`` x ``columns`` box, by the place of its first corner."""
    total = np.pad(values, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    low, high = total[:, :-rows], total[:, rows:]
    return np.maximum(high[:, :, columns:] - low[:, :, columns:] - high[:, :, :-columns] + low[:, :, :-columns], 0.0)


def scale_of(array: np.ndarray) -> tuple[float, float]:
    """Offset and factor that bring a volume (n, y, x) to about -1 to 1."""
    sample = array[:, :: max(1, array.shape[1] // 128), :: max(1, array.shape[2] // 128)]
    size = float(np.percentile(np.abs(sample - np.median(sample)), 99))
    return float(sample.mean(dtype=np.float64)), max(size, 1e-6)


def conditions_of(acquisition: Acquisition, pixel: float, noise: float) -> torch.Tensor:
    """What a network is told: thickness and pixel size along the slices relative to their distance, and the noise."""
    increment = acquisition.increment
    return torch.tensor([acquisition.thickness / increment, pixel / increment, noise], dtype=torch.float32)


def held_out(count: int, share: float = 0.1, most: int = 4) -> Sequence[int]:
    """Numbers of the pictures that are kept from training, evenly spread; none if there are fewer than 6."""
    kept = min(most, round(share * count)) if count >= 6 else 0
    return [int(place) for place in np.linspace(0, count, kept + 2)[1:-1]]
