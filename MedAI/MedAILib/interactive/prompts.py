"""What a user draws: points, strokes, boxes and lassos in RAS millimeters, and the voxels that they mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ..errors import ContentError, UsageError
from ..geometry import Shape, spacing_of

KINDS = ("point", "stroke", "box", "lasso")
_LEAST = {"point": 1, "stroke": 1, "box": 2, "lasso": 3}
_FLAT = 0.75
"""Voxels that the points of a lasso may lie off their common plane."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """One thing drawn.

    Attributes:
        kind: one of :data:`KINDS`.
        points: (n, 3) RAS mm: the point; the line that the brush followed; corners between which the object lies; the
            outline of a region in one plane.
        positive: "this is it", or "this is not".
        label: of the object, 1 or more.
        radius: of the brush of a stroke, mm; 0 marks the voxels that the line goes through.
    """

    kind: str
    points: np.ndarray
    positive: bool = True
    label: int = 1
    radius: float = 0.0
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"A prompt of kind '{self.kind}' is unknown. Use one of {', '.join(KINDS)}.")
        points = np.array(self.points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or len(points) < _LEAST[self.kind]:
            raise UsageError(f"{self.told} needs {_LEAST[self.kind]} or more points of three coordinates.")
        if not np.isfinite(points).all():
            raise ContentError(f"{self.told} has a coordinate that is no number.")
        if not 1 <= self.label <= 65535:
            raise UsageError(f"{self.told} has label {self.label}; labels are 1 to 65535.")
        if not 0.0 <= self.radius < np.inf:
            raise UsageError(f"{self.told} has a brush of radius {self.radius} mm; use 0 or more.")
        object.__setattr__(self, "points", points)

    @property
    def told(self) -> str:
        """For messages."""
        sign = "positive" if self.positive else "negative"
        return f"The {sign} {self.kind}" + (f" {self.name}" if self.name else "")


def marked(prompt: Prompt, shape: Shape, affine: np.ndarray) -> np.ndarray:
    """The voxels (n, 3) of a volume that a prompt marks, as array indices (k, j, i), in rising order.

    A point marks the voxel that it lies in; a stroke those that its line goes through or whose centers lie under the
    brush; a lasso those of its plane that it encloses, and those of its line; a box all between its corners.

    Args:
        prompt: drawn on the volume.
        shape: (k, j, i).
        affine: IJK to RAS mm.

    Raises:
        ContentError: nothing of it lies in the volume.
    """
    at = _voxels_of(prompt, affine)
    if prompt.kind == "box":
        voxels = _within(*_corners(at, shape))
    elif prompt.kind == "lasso":
        voxels = np.concatenate([_enclosed(at, shape), _line(np.concatenate([at, at[:1]]))])
    elif prompt.kind == "stroke":
        voxels = _brushed(at, prompt.radius / np.array(spacing_of(affine)), shape)
    else:
        voxels = _nearest(at[:1])
    inside = ((voxels >= 0) & (voxels < shape)).all(axis=1)
    if not inside.any():
        raise _outside(prompt)
    return np.unique(voxels[inside], axis=0)


def _nearest(at: np.ndarray) -> np.ndarray:
    return np.floor(at + 0.5).astype(np.int64)


def _line(at: np.ndarray) -> np.ndarray:
    """The voxels along a line through points (n, 3), none left out."""
    pieces = [at[:1]]
    for start, stop in pairwise(at):
        count = max(1, int(np.ceil(2.0 * np.abs(stop - start).max())))
        pieces.append(start + np.linspace(0.0, 1.0, count + 1)[1:, None] * (stop - start))
    return _nearest(np.concatenate(pieces))


def _brushed(at: np.ndarray, radius: np.ndarray, shape: Shape) -> np.ndarray:
    """The voxels of a line and those whose centers lie within a radius (3,), in voxels, of it."""
    line = np.unique(_line(at), axis=0)
    reach = np.floor(radius).astype(int)
    if not reach.any():
        return line
    around = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, 3)
    around = around[np.square(around / np.maximum(radius, 1e-9)).sum(1) <= 1.0]
    # One after the other, in the box that they reach: a long stroke of a wide brush would fill the memory.
    low = np.clip(line.min(0) - reach, 0, shape)
    size = np.maximum(np.clip(line.max(0) + reach + 1, 0, shape) - low, 0)
    covered = np.zeros(size, bool)
    for shift in around:
        voxels = line + shift - low
        voxels = voxels[((voxels >= 0) & (voxels < size)).all(axis=1)]
        covered[tuple(voxels.T)] = True
    return np.concatenate([line, np.argwhere(covered) + low])


def _corners(at: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """First voxel and the one after the last between points, inside the volume."""
    nearest = _nearest(at)
    return np.clip(nearest.min(0), 0, shape), np.clip(nearest.max(0) + 1, 0, shape)


def _enclosed(at: np.ndarray, shape: Shape) -> np.ndarray:
    """The voxels inside an outline that lies in one plane, which may be oblique to the volume."""
    from skimage.measure import points_in_poly

    middle = at.mean(axis=0)
    _, spread, axes = np.linalg.svd(at - middle)
    normal = axes[2]
    if np.abs((at - middle) @ normal).max() > _FLAT:
        raise ContentError("A lasso has to be drawn in one plane; the points of this one do not lie in any.")
    if spread[1] < 1e-6:
        return np.empty((0, 3), np.int64)  # a line encloses nothing
    low, high = _corners(at, shape)
    around = _within(low, high)
    # Half a voxel in the direction of the normal, so that a plane between two slices marks one of them.
    off = (around - middle) @ normal / np.abs(normal).max()
    near = around[(off > -0.5 + 1e-6) & (off <= 0.5 + 1e-6)]
    return near[points_in_poly((near - middle) @ axes[:2].T, (at - middle) @ axes[:2].T)]


def _within(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """All voxels (n, 3) from the first one to before the last one."""
    return np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1).reshape(-1, 3)


def box_of(prompt: Prompt, shape: Shape, affine: np.ndarray) -> tuple[slice, slice, slice]:
    """What a box marks, as slices (k, j, i): a whole CT as a list of voxels would fill the memory.

    Raises:
        ContentError: it lies outside of the volume.
    """
    low, high = _corners(_voxels_of(prompt, affine), shape)
    if (low >= high).any():
        raise _outside(prompt)
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return k, j, i


def _voxels_of(prompt: Prompt, affine: np.ndarray) -> np.ndarray:
    """The points (n, 3) in voxels, (k, j, i)."""
    return ((prompt.points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T)[:, ::-1]


def _outside(prompt: Prompt) -> ContentError:
    return ContentError(f"{prompt.told} lies outside of the volume. Draw it on the volume that is segmented.")
