"""A learned network applied to a whole stack, seen from both sides."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ..inference.precision import computing_in
from ..networks.thick_slice import ThickSliceNetwork
from .lattice import LatticeOperators

_PIXELS = 2**16
"""Pixels that the network sees at once on a CPU: enough to work well, few enough to stay in its cache."""
_PIXELS_GPU = 2**22
_MARGIN = 8
_STEP = 32
"""Widths are multiples of it: torch prepares, and keeps, its kernels anew for every shape that it sees."""
_NO_ERROR = -8.0


@dataclass(frozen=True)
class Applied:
    """What a network gives for a stack.

    Attributes:
        fine: (m, y, x) mean of both directions.
        spread: (m, y, x) mean logarithm of the expected error of one direction; None if that was not asked for.
        ratio: mean square of the difference of both directions over what the errors of one were expected to be.
    """

    fine: np.ndarray
    spread: np.ndarray | None
    ratio: float


class Application:
    """Applies networks to one stack.

    Args:
        pictures: (n, y, x) slices, about -1 to 1, on the device.
        operators: of the stack's slices and the wanted cells.
        conditions: for pictures across the slices along y and along x.
        precision: number format of the networks.
        quiet: columns (through all slices) whose values differ by less hold nothing that could be made sharper.
        uncertain: also ask for the expected error.
        axes: width of the pictures to look at: 0 for those along y, 1 for those along x; both are averaged.
        flips: also look at every picture mirrored in both directions and average; four times the work.
    """

    def __init__(
        self,
        pictures: torch.Tensor,
        operators: LatticeOperators,
        conditions: tuple[torch.Tensor, torch.Tensor],
        precision: str,
        quiet: float = 0.0,
        uncertain: bool = False,
        axes: Sequence[int] = (0, 1),
        flips: bool = False,
    ) -> None:
        self.pictures, self.operators, self.conditions = pictures, operators, conditions
        self.precision, self.uncertain, self.axes, self.flips = precision, uncertain, tuple(axes), flips
        n, y, x = pictures.shape
        self._active = (pictures.amax(0) - pictures.amin(0) > quiet).cpu().numpy()
        most = _PIXELS_GPU if pictures.is_cuda else _PIXELS
        self._rows = [max(1, most // max(1, n * width)) for width in (y, x)]

    def seconds(self, network: ThickSliceNetwork, clock: Callable[[], float] = time.monotonic) -> float:
        """How long :meth:`apply` will take by this clock, from a few pictures."""
        total = 0.0
        for axis in self.axes:
            count = self.pictures.shape[2 - axis]
            rows = min(self._rows[axis], count)
            low, high = self._extent(axis, (count - rows) // 2, rows)
            best = float("inf")
            for _ in range(2):
                started = clock()
                self._part(network, axis, (count - rows) // 2, rows)
                if self.pictures.is_cuda:
                    torch.cuda.synchronize()
                best = min(best, clock() - started)
            spans = [self._extent(axis, start, rows) for start in range(0, count, rows)]
            total += best * sum(last - first for first, last in spans) / (high - low)
        return total

    def apply(
        self,
        network: ThickSliceNetwork,
        expected: Callable[[np.ndarray], np.ndarray] = lambda spread: np.exp(2.0 * spread),
        progress: Callable[[float], None] = lambda share: None,
    ) -> Applied:
        """The stack's fine cells, from the pictures along y and those along x.

        Args:
            network: in evaluation mode.
            expected: mean square error of one direction for what the network tells.
            progress: receives the done share.
        """
        _, y, x = self.pictures.shape
        cells = len(self.operators.skip)
        fine = np.empty((cells, y, x), np.float32)
        spread = None if not self.uncertain else np.empty((cells, y, x), np.float32)
        apart = foreseen = 0.0
        for turn, axis in enumerate(self.axes):
            count = (x, y)[axis]
            for start in range(0, count, self._rows[axis]):
                rows = min(self._rows[axis], count - start)
                found, told = self._part(network, axis, start, rows)
                some = slice(start, start + rows)
                place = (slice(None), slice(None), some) if axis == 0 else (slice(None), some)
                if turn == 0:
                    fine[place] = found
                    if spread is not None and told is not None:
                        spread[place] = told
                else:
                    difference = found - fine[place]
                    fine[place] += 0.5 * difference
                    if spread is not None and told is not None:
                        spread[place] += 0.5 * (told - spread[place])
                        apart += float(np.square(difference, dtype=np.float64).sum())
                        foreseen += float(expected(spread[place]).sum())
                progress((turn + (start + rows) / count) / len(self.axes))
        return Applied(fine, spread, apart / foreseen if foreseen > 0.0 else 0.0)

    def _part(
        self, network: ThickSliceNetwork, axis: int, start: int, rows: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Result and spread of a few pictures, with the axes in the volume's order (m, y, x)."""
        if axis == 0:  # pictures (n, y), one for each x
            pictures = self.pictures[:, :, start : start + rows].permute(2, 0, 1)
        else:  # pictures (n, x), one for each y
            pictures = self.pictures[:, start : start + rows].permute(1, 0, 2)
        pictures = pictures.contiguous()
        low, high = self._extent(axis, start, rows)
        with computing_in(self.precision, pictures.device):
            inner, told = self._parts(network, pictures[:, :, low:high].contiguous(), self.conditions[axis])
            around = (low, pictures.shape[2] - high)
            parts = functional.pad(inner, around)
            spread = None if told is None else functional.pad(told, around, value=_NO_ERROR)
        with torch.inference_mode():
            found = self.operators.combine(pictures, parts)
            wide = None if spread is None else self.operators.plain @ spread
        order = (1, 2, 0) if axis == 0 else (1, 0, 2)
        return found.permute(order).cpu().numpy(), None if wide is None else wide.permute(order).cpu().numpy()

    def _extent(self, axis: int, start: int, rows: int) -> tuple[int, int]:
        """First and last column that the network has to see in these pictures, with the margin that it looks at."""
        part = self._active[:, start : start + rows] if axis == 0 else self._active[start : start + rows].T
        width = len(part)
        places = np.nonzero(part.any(axis=1))[0]
        if len(places) == 0:
            return 0, min(4, width)
        low, high = max(0, int(places[0]) - _MARGIN), min(width, int(places[-1]) + 1 + _MARGIN)
        low = max(0, min(low, width - -(-(high - low) // _STEP) * _STEP))
        return low, min(width, low + -(-(high - low) // _STEP) * _STEP)

    def _parts(
        self, network: ThickSliceNetwork, pictures: torch.Tensor, conditions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        parts: torch.Tensor
        parts, spread = network(pictures, conditions, self.uncertain)
        if not self.flips:
            return parts, spread
        for axes in ((1,), (2,), (1, 2)):
            parts = parts + network(pictures.flip(axes), conditions)[0].flip(axes)
        return parts / 4.0, spread
