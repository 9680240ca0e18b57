"""Transforms that are applied one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import Shape
from ..image import Image
from .affine import AffineTransform
from .field import DisplacementField, GridSampler, world_layers
from .grid import Grid
from .sampling import in_pieces

Part = AffineTransform | DisplacementField


@dataclass(frozen=True, eq=False)
class Transform:
    """Takes fixed world points to moving world points through its parts, the first one first.

    A registration gives (field, affine): T(x) = A (x + d(x)).

    Attributes:
        parts: affine transforms and displacement fields in any number and order; none is the identity.
    """

    parts: tuple[Part, ...] = ()

    @classmethod
    def from_matrix(cls, matrix: np.ndarray) -> Transform:
        """A linear transform; fixed RAS mm to moving RAS mm (4, 4).

        Raises:
            GeometryError: the matrix is singular or no affine matrix.
        """
        return cls((AffineTransform(matrix),))

    @property
    def linear(self) -> np.ndarray | None:
        """The one matrix (4, 4) that does the same, or None if there is a displacement field."""
        matrix = np.eye(4)
        for part in self.parts:
            if isinstance(part, DisplacementField):
                return None
            matrix = part.matrix @ matrix
        return matrix

    @property
    def is_mirroring(self) -> bool:
        """Whether its linear parts together turn a left hand into a right hand."""
        return sum(part.is_mirroring for part in self.parts if isinstance(part, AffineTransform)) % 2 == 1

    @property
    def residual_mm(self) -> float | None:
        """The largest of the fields' residuals, if any of them was found as an inverse."""
        found = [part.residual_mm for part in self.parts if isinstance(part, DisplacementField)]
        return max((value for value in found if value is not None), default=None)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Moving RAS mm (n, 3), float64, of fixed points (n, 3)."""
        points = np.array(points, np.float64)
        for part in self.parts:
            points = part.points(points)
        return points

    def then(self, second: Transform) -> Transform:
        """This transform followed by another one."""
        return Transform(self.parts + second.parts)

    def simplified(self) -> Transform:
        """The same with neighboring matrices multiplied and identities left out."""
        parts: list[Part] = []
        for part in self.parts:
            if isinstance(part, AffineTransform) and parts and isinstance(parts[-1], AffineTransform):
                part = AffineTransform(part.matrix @ parts.pop().matrix)  # type: ignore[union-attr]
            if not (isinstance(part, AffineTransform) and part.is_identity):
                parts.append(part)
        return Transform(tuple(parts))

    def inverse(self) -> Transform:
        """Moving to fixed. See :meth:`DisplacementField.inverse` for how well (:attr:`residual_mm`)."""
        return Transform(tuple(part.inverse() for part in reversed(self.parts)))

    def displacements(self, shape: Shape, affine: np.ndarray) -> DisplacementField:
        """The whole transform as one field, T(x) - x at the voxels of a grid."""
        grid = Grid(shape, affine)
        sampler = PositionSampler(self, grid)
        array = np.empty((3, *shape), np.float32)

        def fill(start: int, stop: int) -> None:
            array[:, start:stop] = sampler.layers(start, stop)
            array[:, start:stop] -= world_layers(grid, start, stop)

        in_pieces(fill, shape[0], shape[1] * shape[2])
        return DisplacementField(Image(array, affine, "displacement"))

    def to_message(self, prefix: str = "transform") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The transform as plain values and named arrays, for the worker.

        Args:
            prefix: begins the arrays' names, so that several transforms fit into one message.

        Returns:
            What JSON can hold, and the arrays. :meth:`from_message` is the way back.
        """
        parts: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        for number, part in enumerate(self.parts):
            if isinstance(part, AffineTransform):
                parts.append({"matrix": part.matrix.tolist()})
            else:
                key = f"{prefix}.{number}"
                arrays[key] = part.image.array
                place = {"affine": part.image.affine.tolist(), "name": part.image.name}
                parts.append({"field": key, **place, "residual_mm": part.residual_mm})
        return {"parts": parts}, arrays

    @classmethod
    def from_message(cls, message: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Transform:
        """What :meth:`to_message` described."""
        parts: list[Part] = []
        for part in message["parts"]:
            if "matrix" in part:
                parts.append(AffineTransform(np.array(part["matrix"])))
            else:
                image = Image(arrays[part["field"]], np.array(part["affine"]), part["name"])
                parts.append(DisplacementField(image, part["residual_mm"]))
        return cls(tuple(parts))


IDENTITY = Transform()
"""Leaves every point where it is."""


class PositionSampler:
    """Where a transform takes the voxels of a grid, layer by layer.

    Args:
        transform: what is sampled.
        grid: where.
        then: (4, 4) one more matrix at the end, such as moving RAS to moving voxels.
    """

    def __init__(self, transform: Transform, grid: Grid, then: np.ndarray | None = None) -> None:
        last = () if then is None else (AffineTransform(then),)
        parts = list(Transform(transform.parts + last).simplified().parts)
        # A matrix at the beginning only means another grid to start from.
        start = np.eye(4)
        if parts and isinstance(parts[0], AffineTransform):
            start = parts.pop(0).matrix  # type: ignore[union-attr]
        self._grid = Grid(grid.shape, start @ grid.affine)
        self._first: GridSampler | None = None
        if parts and isinstance(parts[0], DisplacementField):
            self._first = GridSampler(parts.pop(0), self._grid)  # type: ignore[arg-type]
        self._rest = parts

    def layers(self, start: int, stop: int) -> np.ndarray:
        """Positions (3, k, j, i), float32, of the voxels in the layers ``start`` to ``stop``; components x, y, z."""
        points = world_layers(self._grid, start, stop)
        if self._first is not None:
            points += self._first.layers(start, stop)
        return moved_by(self._rest, points)


def moved_by(parts: Iterable[Part], points: np.ndarray) -> np.ndarray:
    """Points (3, ...) float32 taken through the parts in turn; the array that is given may be overwritten."""
    for part in parts:
        if isinstance(part, DisplacementField):
            points += part.at_points(points)
        else:
            matrix = part.matrix.astype(np.float32)
            moved = matrix[:3, :3] @ points.reshape(3, -1)
            moved += matrix[:3, 3:]
            points = moved.reshape(points.shape)
    return points
