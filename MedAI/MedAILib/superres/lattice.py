"""The linear steps around a network on the thick slices' grid: blur, interpolation, thin parts to any cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from . import interpolation
from .acquisition import Acquisition
from .operators import slice_matrix
from .stack import Line

_POINTS = 6
"""Points per cell at which the lattice is read; its value between them is linear, so few are exact enough."""
EXACT = 1e-4
"""Weight of the correction towards the measured slices where they count as free of noise."""


@dataclass(frozen=True)
class LatticeOperators:
    """Matrices along the slice axis, float32, for n slices, m fine cells and r thin parts per slice distance.

    Attributes:
        blur: (n, m) what the scanner does.
        skip: (m, n) cubic B-spline, corrected so that it explains the slices.
        spread: (m, n * r) from the thin parts to the cells, with that part taken out that the slices speak against.
        plain: (m, n * r) the same with nothing taken out.
    """

    blur: torch.Tensor
    skip: torch.Tensor
    spread: torch.Tensor
    plain: torch.Tensor

    def combine(self, slices: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
        """The result (b, m, w) for slices (b, n, w) and a network's thin parts (b, n * r, w)."""
        return self.skip @ slices + self.spread @ parts


def lattice_operators(
    count: int,
    acquisition: Acquisition,
    line: Line,
    subslices: int,
    weight: float = EXACT,
    device: torch.device | str = "cpu",
) -> LatticeOperators:
    """The matrices for ``count`` slices and the cells of ``line``.

    Args:
        count: number of slices, n.
        acquisition: of the slices.
        line: the fine cells.
        subslices: thin parts per slice distance, r.
        weight: of the correction towards the slices, relative to their own: 0 explains them exactly, a large one
            leaves them alone; see :func:`correction_weight`.
        device: where the matrices go.
    """
    blur = slice_matrix(count, acquisition.increment, line, acquisition.thickness, acquisition.profile)
    gram = blur @ blur.T
    size = max(float(np.trace(gram)) / count, 1e-12)
    gain = np.linalg.solve(gram + max(weight, 1e-6) * size * np.eye(count), blur).T
    cubic = interpolation.cubic(line, count, acquisition.increment)
    plain = lattice_matrix(count, acquisition.increment, line, subslices)

    def tensor(matrix: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(matrix, np.float32)).to(device)

    return LatticeOperators(
        tensor(blur),
        tensor(cubic + gain @ (np.eye(count) - blur @ cubic)),
        tensor(plain - gain @ (blur @ plain)),
        tensor(plain),
    )


def lattice_matrix(count: int, increment: float, line: Line, subslices: int) -> np.ndarray:
    """(m, n * r) weights that average a function, linear between the centers of the thin parts, over the cells."""
    parts = count * subslices
    first, pitch = increment * (0.5 / subslices - 0.5), increment / subslices
    result = np.zeros((line.count, parts))
    rows = np.arange(line.count)
    for point in range(_POINTS):
        place = line.centers + line.step * ((point + 0.5) / _POINTS - 0.5)
        place = np.clip((place - first) / pitch, 0, parts - 1)
        low = np.minimum(place.astype(int), max(parts - 2, 0))
        share = place - low
        np.add.at(result, (rows, low), (1.0 - share) / _POINTS)
        np.add.at(result, (rows, np.minimum(low + 1, parts - 1)), share / _POINTS)
    return result


def correction_weight(noise: float, misfit: float) -> float:
    """How little the slices are believed.

    Args:
        noise: standard deviation of the slices' noise.
        misfit: root mean square of what the cubic interpolation leaves unexplained, in the same unit; it holds noise
            and true misfit.

    Returns:
        Noise variance over the variance of the true misfit, at least :data:`EXACT`.
    """
    excess = max(misfit**2 - noise**2, 0.05 * noise**2, 1e-12)
    return float(max(EXACT, noise**2 / excess))
