"""A head-like phantom that is known at every point, and thick stacks of it from any direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MedAILib.image import Image
from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.problem import Other, Problem
from MedAILib.superres.stack_motion import rigid_from
from MedAILib.superres.target import Target, line_of

SIDE, THICK = 36, 4
_FINE = 4


def phantom(points: np.ndarray) -> np.ndarray:
    """Values of about 0 to 100 at points (…, 3) RAS mm; the subject lies around the origin."""
    x, y, z = np.moveaxis(points, -1, 0)

    def ball(center: Sequence[float], radii: Sequence[float]) -> np.ndarray:
        u, v, w = ((a - c) / r for a, c, r in zip((x, y, z), center, radii, strict=True))
        return 1.0 / (1.0 + np.exp(6.0 * (np.sqrt(u * u + v * v + w * w) - 1.0) * min(radii) / 4.0))

    result = 60.0 * ball((0, 0, 0), (13, 15, 12)) - 30.0 * ball((4, 3, 2), (4, 6, 3))
    result += 35.0 * ball((-5, -4, -3), (3, 4, 5))
    folds = np.sin(1.1 * x + 0.4 * z) * np.sin(0.9 * y - 0.5 * x) * np.sin(0.8 * z + 0.3 * y)
    return result + 14.0 * folds * ball((0, 0, 0), (12, 14, 11))


def grid(side: int = SIDE) -> np.ndarray:
    """The affine of a cube of 1 mm voxels around the origin."""
    affine = np.eye(4)
    affine[:3, 3] = -0.5 * (side - 1)
    return affine


def sampled(affine: np.ndarray, shape: tuple[int, int, int], motion: np.ndarray | None = None) -> np.ndarray:
    """The phantom at voxel centers (k, j, i); ``motion``: the phantom's RAS mm to the grid's."""
    k, j, i = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")
    whole = affine if motion is None else np.linalg.inv(motion) @ affine
    points = np.stack([i, j, k, np.ones_like(i)], -1) @ whole.T
    return phantom(points[..., :3])


def stack(axis: int, motion: np.ndarray | None = None, noise: float = 0.0, side: int = SIDE) -> Image:
    """Contiguous slices of a box profile along an array axis."""
    fine = grid(side)
    column = 2 - axis
    fine[:3, column] /= _FINE
    fine[:3, 3] -= np.eye(3)[:, column] * 0.5 * (1.0 - 1.0 / _FINE)
    shape = [side, side, side]
    shape[axis] *= _FINE
    values = sampled(fine, (shape[0], shape[1], shape[2]), motion)
    values = np.moveaxis(values, axis, 0).reshape(side // THICK, THICK * _FINE, side, side).mean(1)
    values = values + np.random.default_rng(axis).normal(0.0, noise, values.shape)
    affine = grid(side)
    affine[:3, 3] += np.eye(3)[:, column] * 0.5 * (THICK - 1)
    affine[:3, column] *= THICK
    return Image(np.ascontiguousarray(np.moveaxis(values, 0, axis), np.float32), affine, f"stack {axis}")


def motions(millimeters: float = 2.0, degrees: float = 3.0) -> list[np.ndarray]:
    """Of three stacks: none, and two different ones."""
    turn = np.radians(degrees)
    steps = [(0, 0, 0, 0, 0, 0), (1, -0.6, 0.8, 0.7, -1, 0.5), (-0.7, 1, 0.5, -1, 0.4, 0.8)]
    return [rigid_from(np.array(step, float) * np.array([millimeters] * 3 + [turn] * 3), np.zeros(3)) for step in steps]


def box(thickness: float = THICK) -> Acquisition:
    return Acquisition(thickness, thickness, "box")


def three_stacks(noise: float = 0.0, budget: float = 600.0, side: int = SIDE, still: bool = False) -> Problem:
    """Slices along k, j and i, with motion between them, to be put on 1 mm voxels."""
    where = [np.eye(4)] * 3 if still else motions()
    images = [stack(axis, motion, noise, side) for axis, motion in enumerate(where)]
    line = line_of(images[0], 0, (side, side, side), grid(side))
    assert line is not None
    others = tuple(Other(image, axis, box()) for axis, image in enumerate(images) if axis)
    return Problem(
        images[0], 0, box(), Target((side,) * 3, grid(side)), line, others=others, noise=noise, budget=budget
    )


def psnr(found: np.ndarray, side: int = SIDE, margin: int = 5) -> float:
    """Against the phantom, without a margin at the border."""
    inner = (slice(margin, -margin),) * 3
    error = (found - sampled(grid(side), (side,) * 3))[inner]
    return float(10.0 * np.log10(100.0**2 / np.mean(error**2)))
