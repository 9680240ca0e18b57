"""Random numbers of one training sample: everything follows from one seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Draw:
    """Scalars and fields of one sample.

    Scalars come from a generator on the CPU, so that no number has to travel back from a GPU; fields come from one on
    the device. The same seed on the same kind of device gives the same sample.

    Args:
        seed: non-negative integers, e.g. (run's seed, step, rank); mixed into one.
        device: where fields are made.
    """

    def __init__(self, seed: Sequence[int], device: torch.device | str = "cpu") -> None:
        mixed = 0x9E3779B97F4A7C15
        for number in seed:
            mixed = ((mixed ^ (number + 0x7F4A7C15)) * 0xD1342543DE82EF95 + 0x9E3779B9) & (2**63 - 1)
            mixed ^= mixed >> 29
        self.device = torch.device(device)
        self._scalars = torch.Generator().manual_seed(mixed)
        self._fields = torch.Generator(self.device).manual_seed(mixed ^ 0x5DEECE66D)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._scalars))

    def normal(self, sd: float = 1.0) -> float:
        return sd * float(torch.randn((), generator=self._scalars))

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return int(torch.randint(low, high + 1, (), generator=self._scalars))

    def chance(self, probability: float) -> bool:
        return self.uniform(0.0, 1.0) < probability

    def index(self, weights: Sequence[float]) -> int:
        """An index with probability proportional to its weight."""
        return int(torch.multinomial(torch.tensor(weights, dtype=torch.float64), 1, generator=self._scalars))

    def vector(self, count: int, low: float, high: float) -> torch.Tensor:
        """(count,) uniform numbers on the CPU."""
        return low + (high - low) * torch.rand(count, generator=self._scalars)

    def normals(self, count: int) -> torch.Tensor:
        """(count,) standard normal numbers on the CPU."""
        return torch.randn(count, generator=self._scalars)

    def field(self, shape: Sequence[int]) -> torch.Tensor:
        """Standard normal numbers of this shape on the device."""
        return torch.randn(tuple(shape), generator=self._fields, device=self.device)

    def smooth_field(self, shape: Sequence[int], points: int) -> torch.Tensor:
        """(k, j, i) field that interpolates ``points``³ standard normal numbers linearly."""
        coarse = self.field((1, 1, points, points, points))
        return torch.nn.functional.interpolate(coarse, tuple(shape), mode="trilinear", align_corners=True)[0, 0]
