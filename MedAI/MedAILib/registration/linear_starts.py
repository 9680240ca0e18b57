"""Where to begin: candidates from positions, principal axes, grids, headers and landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ..geometry import closest_axes
from .linear_grids import Grid


@dataclass(frozen=True)
class Body:
    """The subject of a volume as a heap of mass.

    Attributes:
        center: (3,) RAS mm, of the subject's volume.
        weighted: (3,) RAS mm, of its intensities.
        middle: (3,) RAS mm, of the whole grid.
        axes: (3, 3), columns are the principal axes, longest first.
        volume: mm^3.
        radius: root mean square distance from the center, mm.
        turn: (3, 3), columns are the grid's axes nearest to R, A and S.
        points: (n, 3) RAS mm, some of the subject's voxels.
    """

    center: np.ndarray
    weighted: np.ndarray
    middle: np.ndarray
    axes: np.ndarray
    volume: float
    radius: float
    turn: np.ndarray
    points: np.ndarray


def body_of(grid: Grid, count: int = 300) -> Body:
    """Measure the subject of a (thinned) volume."""
    subject = grid.subject.cpu().numpy()
    values = grid.values.cpu().numpy()[subject]
    points = world(np.argwhere(subject), grid.affine)
    center = points.mean(0)
    weights = np.abs(values - (np.median(grid.values.cpu().numpy()[~subject]) if not subject.all() else 0.0)) + 1e-3
    spread = np.cov((points - center).T) if len(points) > 3 else np.eye(3)
    _, axes = np.linalg.eigh(spread)
    order, signs = closest_axes(grid.affine)
    unit = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    turn = np.empty((3, 3))
    for voxel, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        turn[:, axis] = sign * unit[:, voxel]
    return Body(
        center=center,
        weighted=(points * weights[:, None]).sum(0) / weights.sum(),
        middle=world((np.array(grid.shape)[None] - 1) / 2, grid.affine)[0],
        axes=axes[:, ::-1],
        volume=len(points) * abs(float(np.linalg.det(grid.affine[:3, :3]))),
        radius=max(float(np.sqrt(((points - center) ** 2).sum(1).mean())), 1e-3),
        turn=nearest_rotation(turn),
        points=points[:: max(1, len(points) // count)],
    )


def world(indices: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(n, 3) RAS mm of (n, 3) array indices (k, j, i)."""
    return indices[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The proper rotation nearest to a (3, 3) matrix."""
    left, _, right = np.linalg.svd(matrix)
    return left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right


def turned(axis: np.ndarray, degrees: float) -> np.ndarray:
    """(3, 3) rotation about an axis (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def rotations(flat: bool) -> list[np.ndarray]:
    """Rotations to try, the identity first: about the slice's normal, or about axes all around."""
    if flat:
        return [turned(np.array([0.0, 0.0, 1.0]), angle) for angle in (0, 15, -15, 30, -30, 45, -45)]
    ways = [np.array(way, float) for way in product((-1, 0, 1), repeat=3) if any(way)]
    single = [way for way in ways if np.count_nonzero(way) == 1]
    triple = [way for way in ways if np.count_nonzero(way) == 3]
    return [
        np.eye(3),
        *(turned(way, 20.0) for way in single + triple),
        *(turned(way, 40.0) for way in single + triple),
    ]


def candidates(fixed: Body, moving: Body, scaled: bool, flat: bool) -> np.ndarray:
    """(n, 4, 4) transforms, fixed to moving, to be compared at the coarsest level.

    Args:
        fixed: measured on the fixed volume.
        moving: on the moving one.
        scaled: sizes may differ.
        flat: two slices in the plane z = 0.
    """
    ratio = float(np.clip(moving.radius / fixed.radius, 0.5, 2.0))
    scales = sorted({1.0, ratio, ratio * 0.85, ratio * 1.18}) if scaled else [1.0]
    pairs = [(fixed.center, moving.center), (fixed.weighted, moving.weighted), (fixed.middle, moving.middle)]
    turns = rotations(flat) + principal_turns(fixed, moving, flat)
    if not flat:
        turns.append(nearest_rotation(moving.turn @ fixed.turn.T))
    found = [np.eye(4)]
    for (source, target), turn, scale in product(pairs, turns, scales):
        found.append(placed(sized(turn, scale, flat), source, target))
    return np.stack(found)


def around(start: np.ndarray, fixed: Body, scaled: bool, flat: bool) -> np.ndarray:
    """(n, 4, 4): the start, and slightly turned, shifted and scaled copies of it."""
    axes = np.eye(3)[2:] if flat else np.eye(3)
    turns = [np.eye(3), *(turned(axis, angle) for axis in axes for angle in (12.0, -12.0))]
    shifts = [
        np.zeros(3),
        *(sign * 0.25 * fixed.radius * axis for axis in np.eye(3)[: 2 if flat else 3] for sign in (1, -1)),
    ]
    scales = (1.0, 0.9, 1.1) if scaled else (1.0,)
    steps = [placed(sized(turn, scale, flat), fixed.center, fixed.center) for turn in turns for scale in scales]
    steps += [placed(np.eye(3), fixed.center, fixed.center + shift) for shift in shifts]
    return np.stack([start @ step for step in steps])


def sized(turn: np.ndarray, scale: float, flat: bool) -> np.ndarray:
    """(3, 3): the rotation and a scale, which leaves the normal of a slice alone."""
    return turn @ np.diag([scale, scale, 1.0 if flat else scale])


def principal_turns(fixed: Body, moving: Body, flat: bool) -> list[np.ndarray]:
    """The rotations that lay the principal axes upon each other: four, or two in a plane."""
    result = []
    for signs in product((1.0, -1.0), repeat=3):
        turn = moving.axes @ np.diag(signs) @ fixed.axes.T
        if np.linalg.det(turn) > 0 and (not flat or turn[2, 2] > 0):
            result.append(turn)
    return result


def placed(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4, 4): the (3, 3) matrix about ``source``, which goes to ``target``."""
    result = np.eye(4)
    result[:3, :3] = matrix
    result[:3, 3] = target - matrix @ source
    return result
