"""What the scanner does to a volume when it takes a stack of thick slices anywhere in space, and the exact adjoint.

A stack is first laid over a fine lattice of its own: its pixels, finer along the slices. The volume is read there
through the patient's motion, and then averaged along the slices with their profile, as in
:mod:`MedAILib.superres.operators`. All of it is linear in the volume, so a joint least-squares problem over several
stacks is one of ordinary linear algebra.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from ..geometry import Shape, centre_shift, spacing_of
from ..image import Image
from .acquisition import Acquisition
from .operators import slice_matrix
from .stack import Line
from .target import Target

_SLAB = 2**23
"""Lattice points that are read at a time, which bounds the memory."""
_REACH = {"box": 0.5, "triangle": 1.0, "hann": 1.0, "gaussian": 1.3}
"""Half the support of a profile in thicknesses; a Gaussian's tail beyond it weighs 0.2 %."""
_SEEN = 0.99
"""A pixel counts if so much of its weight lies inside the volume."""
_WHOLE = 1.3
"""A pixel this many times as large as the volume's voxels is still read at its center alone."""


@dataclass(frozen=True, eq=False)
class Slices:
    """Where a stack's slices lie, and how they were taken.

    Attributes:
        shape: (n, y, x) pixels, slices first.
        affine: (4, 4), from (x, y, n) indices to RAS mm.
        acquisition: thickness, increment and profile.
    """

    shape: Shape
    affine: np.ndarray
    acquisition: Acquisition

    @classmethod
    def of(cls, image: Image, axis: int, acquisition: Acquisition) -> Slices:
        """The slices along array axis ``axis`` of a volume."""
        columns = [2 - axis, *(2 - other for other in range(3) if other != axis)]
        affine = np.array(image.affine)
        affine[:3, :3] = image.affine[:3, columns[::-1]]
        sizes = [image.shape[axis], *(size for other, size in enumerate(image.shape) if other != axis)]
        return cls((sizes[0], sizes[1], sizes[2]), affine, acquisition)

    def part(self, first: int, count: int) -> Slices:
        """``count`` slices from number ``first`` on."""
        return self.box((first, 0, 0), (count, *self.shape[1:]))

    def inside(self, target: Target, motion: np.ndarray) -> tuple[Shape, Shape] | None:
        """Start and shape (n, y, x) of the box of pixels that may lie inside a volume; None if there are none.

        Args:
            motion: (4, 4), the volume's RAS mm to the stack's.
        """
        ends = np.array(target.shape[::-1]) - 1.0
        corners = np.array([[*(np.array(bits) * ends), 1.0] for bits in np.ndindex(2, 2, 2)]).T
        there = (np.linalg.inv(self.affine) @ motion @ target.affine @ corners)[2::-1]
        low = np.maximum(np.floor(there.min(1)), 0).astype(int)
        high = np.minimum(np.ceil(there.max(1)) + 1, self.shape).astype(int)
        if (high <= low).any():
            return None
        size = high - low
        return (int(low[0]), int(low[1]), int(low[2])), (int(size[0]), int(size[1]), int(size[2]))

    def box(self, start: Shape, shape: Shape) -> Slices:
        """The ``shape`` pixels from ``start`` (n, y, x) on."""
        return Slices(
            shape, centre_shift(self.affine, (float(start[0]), float(start[1]), float(start[2]))), self.acquisition
        )


class StackOperator:
    """The volume seen as a stack.

    Args:
        target: the volume's grid.
        slices: of the stack.
        motion: (4, 4), rigid, the volume's RAS mm to the stack's; None if nothing moved.
        device: where it computes.
        gain: (n, y, x), how much brighter the scanner shows each pixel; None: as it is.
    """

    def __init__(
        self,
        target: Target,
        slices: Slices,
        motion: np.ndarray | None = None,
        device: torch.device | None = None,
        gain: torch.Tensor | None = None,
    ) -> None:
        self.target, self.slices, self.gain = target, slices, gain
        self.motion = np.eye(4) if motion is None else np.asarray(motion, float)
        self.device = device or torch.device("cpu")
        fine = min(spacing_of(target.affine))
        spacing = spacing_of(slices.affine)
        self._line, self._matrix = self._along(fine, spacing[0])
        # A larger pixel is the mean of several points of the lattice.
        self._divisions = [max(1, math.ceil(size / (_WHOLE * fine))) for size in spacing[1:]]
        self._to_unit = self._lattice_to_unit(self.motion, spacing)

    def moved_to(self, motion: np.ndarray) -> StackOperator:
        """The same with another motion."""
        return StackOperator(self.target, self.slices, motion, self.device, self.gain)

    def of_block(self, block: Target) -> StackOperator | None:
        """The same for a smaller volume and those pixels that may see it; None if none does."""
        box = self.slices.inside(block, self.motion)
        if box is None:
            return None
        part = tuple(slice(first, first + size) for first, size in zip(*box, strict=True))
        gain = None if self.gain is None else self.gain[part]
        return StackOperator(block, self.slices.box(*box), self.motion, self.device, gain)

    @cached_property
    def seen(self) -> torch.Tensor:
        """(n, y, x) bool: the volume explains these pixels; the others are always 0."""
        return self._read(torch.ones(self.target.shape, device=self.device)) > _SEEN

    @cached_property
    def sight(self) -> torch.Tensor:
        """(n, y, x): the gain where the volume explains a pixel, else 0."""
        return self.seen.float() if self.gain is None else self.seen * self.gain

    def _along(self, fine: float, increment: float) -> tuple[Line, torch.Tensor]:
        """The fine line along the slices, and the weights (n, line.count)."""
        acquisition, count = self.slices.acquisition, self.slices.shape[0]
        step = increment / max(1, round(increment / fine))
        # Cells begin at the slices' faces, as those of a target do, so that the first stack needs no interpolation.
        thickness = acquisition.thickness
        margin = max(0, math.ceil((_REACH[acquisition.profile] - 0.5) * thickness / step - 1e-6))
        covered = math.ceil(((count - 1) * increment + thickness) / step - 1e-6)
        line = Line(0.5 * (step - thickness) - margin * step, step, covered + 2 * margin)
        weights = slice_matrix(count, increment, line, acquisition.thickness, acquisition.profile)
        return line, torch.from_numpy(np.array(weights, np.float32)).to(self.device)

    def _lattice_to_unit(self, motion: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """(3, 4): from (x, y, line) numbers of the lattice to the volume's coordinates as ``grid_sample`` counts them,
        in which voxel borders are -1 and 1."""
        lattice = np.eye(4)
        lattice[2, 2] = self._line.step / spacing[0]
        lattice[2, 3] = self._line.start / spacing[0]
        for axis, count in enumerate(self._divisions[::-1]):
            lattice[axis, axis] = 1.0 / count
            lattice[axis, 3] = 0.5 / count - 0.5
        size = np.array(self.target.shape[::-1], float)
        unit = np.diag([*(2.0 / size), 1.0])
        unit[:3, 3] = 1.0 / size - 1.0
        whole = unit @ np.linalg.inv(self.target.affine) @ np.linalg.inv(motion) @ self.slices.affine @ lattice
        return whole[:3]

    def _slabs(self) -> list[slice]:
        _, y, x = self.slices.shape
        rows = max(1, _SLAB // (y * x * self._divisions[0] * self._divisions[1]))
        return [slice(first, min(first + rows, self._line.count)) for first in range(0, self._line.count, rows)]

    def _places(self, slab: slice) -> torch.Tensor:
        """(1, rows, y, x, 3) coordinates of a slab of the lattice."""
        _, y, x = self.slices.shape
        k = torch.arange(slab.start, slab.stop, dtype=torch.float64)
        j = torch.arange(y * self._divisions[0], dtype=torch.float64)
        i = torch.arange(x * self._divisions[1], dtype=torch.float64)
        places = torch.empty(1, len(k), len(j), len(i), 3, device=self.device)
        for axis, (a, b, c, d) in enumerate(self._to_unit):
            plane = (c * k + d)[:, None] + b * j
            places[0, ..., axis] = plane.float().to(self.device)[..., None] + (a * i).float().to(self.device)
        return places

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """The slices (n, y, x) that the scanner would measure of a volume (k, j, i)."""
        return self._read(volume) * self.sight

    def _read(self, volume: torch.Tensor) -> torch.Tensor:
        n, y, x = self.slices.shape
        result = torch.zeros(n, y * x, device=self.device)
        for slab in self._slabs():
            read = functional.grid_sample(volume[None, None], self._places(slab), align_corners=False)[0]
            if max(self._divisions) > 1:
                read = functional.avg_pool2d(read, self._divisions)
            result.addmm_(self._matrix[:, slab], read[0].flatten(1))
        return result.view(n, y, x)

    def adjoint(self, stack: torch.Tensor) -> torch.Tensor:
        """The exact adjoint of :meth:`forward`: slices (n, y, x) to a volume (k, j, i)."""
        flat = (stack * self.sight).flatten(1)
        _, y, x = self.slices.shape
        result = torch.zeros(self.target.shape, device=self.device)
        for slab in self._slabs():
            spread = (self._matrix[:, slab].T @ flat).view(-1, y, x)
            for axis, count in enumerate(self._divisions, 1):
                if count > 1:
                    spread = spread.repeat_interleave(count, axis) / count
            found, _ = torch.ops.aten.grid_sampler_3d_backward(
                spread[None, None], result[None, None], self._places(slab), 0, 0, False, (True, False)
            )
            result += found[0, 0]
        return result
