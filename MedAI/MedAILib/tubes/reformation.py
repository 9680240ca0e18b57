"""Curved planar reformation: planes across a tube, laid one upon the other (Kanitsar et al. 2002; Wang et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from ..geometry import Shape
from ..image import Image, Kind
from .centerline import to_voxels
from .curve import arc_lengths, at_lengths, smallest_bend, smoothed, tangents

KINDS = ("stretched", "straightened")
FIELD = 64.0
SPACING = 0.5
STEP = 1.5
STEADY = 5.0
"""Standard deviation in mm of the Gaussian along the curve that its directions, not its points, are taken after: at the
rim of a plane of 64 mm, a tenth of a radian is three millimeters."""
STEEP = 0.95
"""Cosine of the angle between tube and line of interest above which the stretched form makes no sense."""
_SLAB = 16


@dataclass(frozen=True, eq=False)
class Reformation:
    """Planes across a curve.

    Attributes:
        centers: (n, 3) RAS mm, one point of the curve for each plane.
        right: (n, 3) unit vectors, the line of interest, along which the planes' i axis runs.
        up: (n, 3) unit vectors along the j axis; the plane's normal is ``right x up``.
        step: mm between planes, along the k axis.
        spacing: mm within them.
        size: voxels of a side.
        kind: "stretched" or "straightened".
        shape, affine: of the grid that the curve was found on, for the way back.
        bend: smallest radius of curvature of the curve in mm.
    """

    centers: np.ndarray
    right: np.ndarray
    up: np.ndarray
    step: float
    spacing: float
    size: int
    kind: str
    shape: Shape
    affine: np.ndarray
    bend: float

    @property
    def normals(self) -> np.ndarray:
        """(n, 3) unit vectors along the tube."""
        return np.cross(self.right, self.up)

    @property
    def grid(self) -> Shape:
        """Voxels (k, j, i) of a reformatted volume."""
        return len(self.centers), self.size, self.size

    @property
    def place(self) -> np.ndarray:
        """IJK-to-RAS affine of a reformatted volume: i to the right, j anterior, k superior, and its first plane's
        center where the curve begins. The place is for looking at; only this object knows where its voxels were."""
        affine = np.diag([self.spacing, self.spacing, self.step, 1.0])
        half = 0.5 * (self.size - 1) * self.spacing
        affine[:3, 3] = self.centers[0] - (half, half, 0.0)
        return affine

    def points(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, j, i, 3) RAS mm of the voxels of some planes."""
        offsets = (np.arange(self.size) - 0.5 * (self.size - 1)) * self.spacing
        found: np.ndarray = (
            self.centers[start:stop, None, None]
            + offsets[:, None] * self.right[start:stop, None, None]
            + offsets[:, None, None] * self.up[start:stop, None, None]
        )
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` reads them back."""
        return {
            "kind": self.kind,
            "coordinates": "RAS",
            "centers": self.centers.tolist(),
            "right": self.right.tolist(),
            "up": self.up.tolist(),
            "step": self.step,
            "spacing": self.spacing,
            "size": self.size,
            "bend": self.bend if np.isfinite(self.bend) else None,
            "native": {"shape": list(self.shape), "affine": self.affine.tolist()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reformation:
        """What :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        centers, right, up = (np.array(data[name], float).reshape(-1, 3) for name in ("centers", "right", "up"))
        k, j, i = (int(count) for count in data["native"]["shape"])
        bend = float("inf") if data["bend"] is None else float(data["bend"])
        step, spacing, size = float(data["step"]), float(data["spacing"]), int(data["size"])
        affine = np.array(data["native"]["affine"], float).reshape(4, 4)
        if len(centers) < 1 or not len(centers) == len(right) == len(up) or min(step, spacing, size) <= 0:
            raise ValueError("the planes do not fit together")
        return cls(centers, right, up, step, spacing, size, str(data["kind"]), (k, j, i), affine, bend)


def lay_planes(
    points: np.ndarray,
    native: Image,
    kind: str = "stretched",
    field: float = FIELD,
    spacing: float = SPACING,
    step: float = STEP,
    line: np.ndarray | None = None,
) -> Reformation:
    """Planes along a curve.

    Between two points of the curve the image goes on by ``sqrt(|d|^2 - (l d)^2)``, where d leads from one to the
    other and l is the unit vector of the line of interest: the part of d across l. (The paper's Eq. 2 prints
    ``|d|^2 - l d``, whose units do not agree.) A plane contains l and is perpendicular to the curve's direction
    across l; its center is the curve's point.

    * "stretched": l is the same everywhere, as in the paper. By default it is the direction that the curve has least
      extent along, so that little of its length is lost.
    * "straightened": l turns with the curve, without twisting about it, and stays perpendicular to it, so that no
      length is lost and the planes are perpendicular to the tube.

    Args:
        points: (m, 3) RAS mm, close and evenly apart.
        native: an image of the grid for the way back.
        kind: of :data:`KINDS`.
        field: mm, side of the planes.
        spacing: mm within them.
        step: mm between them.
        line: the line of interest, RAS; None as said above.

    Raises:
        UsageError: an argument makes no sense, or the curve runs along the line of interest somewhere.
    """
    apart = arc_lengths(points)[-1] / max(1, len(points) - 1)
    along = tangents(smoothed(points, STEADY / max(float(apart), 1e-9)))
    if line is None:
        line = np.linalg.eigh(along.T @ along)[1][:, 0]
        line = line * (1.0 if line[np.abs(line).argmax()] > 0 else -1.0)
    size = float(np.linalg.norm(line))
    if not np.isfinite(size) or size < 1e-9:
        raise UsageError("The line of interest must be a direction: three numbers, not all 0.")
    line = np.asarray(line, float) / size
    lines = np.broadcast_to(line, points.shape) if kind == "stretched" else _carried(line, along)
    steepest = float(np.abs((lines * along).sum(axis=1)).max())
    if steepest > STEEP:
        raise UsageError(
            "The tube runs along the line of interest somewhere, so it cannot be stretched. Use the straightened form, "
            "or another line."
        )
    ways = np.diff(points, axis=0)
    middle = lines[:-1]
    offsets = np.sqrt(np.maximum((ways**2).sum(axis=1) - (ways * middle).sum(axis=1) ** 2, 0.0))
    heights = np.concatenate(([0.0], np.cumsum(offsets)))
    count = max(1, int(heights[-1] / step + 1e-6) + 1)
    wanted = 0.5 * (heights[-1] - (count - 1) * step) + np.arange(count) * step
    right = at_lengths(lines, heights, wanted)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    normal = at_lengths(along, heights, wanted)
    normal -= (normal * right).sum(axis=1, keepdims=True) * right
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    centers = at_lengths(points, heights, wanted)
    side = max(1, round(field / spacing))
    return Reformation(
        centers,
        right,
        np.cross(normal, right),
        step,
        spacing,
        side,
        kind,
        native.shape,
        native.affine,
        smallest_bend(points),
    )


def _carried(line: np.ndarray, along: np.ndarray) -> np.ndarray:
    """The line of interest at each point, perpendicular to the curve and never twisting about it."""
    lines = np.empty_like(along)
    current = line
    for number, direction in enumerate(along):
        current = current - (current @ direction) * direction
        current = current / max(float(np.linalg.norm(current)), 1e-12)
        lines[number] = current
    return lines


def straighten(
    image: Image,
    planes: Reformation,
    name: str | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Image:
    """An image on the planes, as a volume of its own.

    Args:
        image: (k, j, i), anywhere. Intensities are interpolated linearly, float32; of labels the nearest one counts.
        planes: along a tube of it.
        name: of the result.
        progress: called with the done share.

    Returns:
        On :attr:`Reformation.place`; the image's lowest value (0 for labels) where the planes leave the image.
    """
    from scipy.ndimage import map_coordinates

    labels = image.is_label
    result = np.empty(planes.grid, image.array.dtype if labels else np.float32)
    outside = 0.0 if labels else float(image.array.min())
    for start in range(0, len(planes.centers), _SLAB):
        progress(start / len(planes.centers))
        stop = min(start + _SLAB, len(planes.centers))
        at = np.moveaxis(to_voxels(image.affine, planes.points(start, stop)), -1, 0)
        beyond = np.zeros(at.shape[1:], bool)
        for axis, length in enumerate(image.shape):
            beyond |= (at[axis] < -0.5) | (at[axis] > length - 0.5)
        part = map_coordinates(image.array, at, result.dtype, order=0 if labels else 1, mode="nearest")
        result[start:stop] = np.where(beyond, result.dtype.type(outside), part)
    kind = Kind.LABEL if labels else Kind.INTENSITY
    return Image(result, planes.place, name or f"{image.name} straightened", kind)


def length_kept(points: np.ndarray, planes: Reformation) -> float:
    """Share of the curve's length (0 to 1) that the stack of planes shows."""
    return float((len(planes.centers) * planes.step) / max(arc_lengths(points)[-1], planes.step))
