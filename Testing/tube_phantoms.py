"""Bent tubes of known course, whole and broken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from MedAILib.image import Image, Kind
from MedAILib.tubes.centerline import to_voxels, to_world

OBLIQUE = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]) @ np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])


@dataclass(frozen=True)
class Tube:
    """A tube with round caps along an arc.

    Attributes:
        course: (n, 3) RAS mm, the true middle, 0.1 mm apart.
        mask: voxels whose center is within the radius, and those that the course passes through.
        along: (k, j, i) mm along the course of the nearest of its points.
        away: (k, j, i) mm from the course.
        length: mm of the course.
        radius: mm.
    """

    course: np.ndarray
    mask: Image
    along: np.ndarray
    away: np.ndarray
    length: float
    radius: float

    def broken(self, *gaps: tuple[float, float]) -> Image:
        """The mask without the stretches (middle, length) in mm along the course."""
        array = self.mask.array.copy()
        for middle, length in gaps:
            array[np.abs(self.along - middle) < 0.5 * length] = 0
        return self.mask.with_array(array)

    def image(self, noise: float = 5.0) -> Image:
        """What a scanner might see: 100 within the tube, 0 outside."""
        values = 100.0 * np.exp(-((self.away / (1.2 * self.radius)) ** 4))
        values = values + np.random.default_rng(0).normal(0.0, noise, values.shape)
        return self.mask.with_array(values.astype(np.float32), kind=Kind.INTENSITY, name="image")

    def off(self, points: np.ndarray) -> np.ndarray:
        """(n,) mm from the course."""
        found: np.ndarray = cKDTree(self.course).query(points)[0]
        return found


@cache
def tube(
    bend: float = np.inf,
    length: float = 80.0,
    radius: float = 1.25,
    spacing: tuple[float, float, float] = (3.0, 1.2, 1.2),
    oblique: bool = False,
) -> Tube:
    """A tube.

    Args:
        bend: radius of curvature in mm.
        length: of its middle in mm.
        radius: in mm.
        spacing: of the voxels (k, j, i) in mm.
        oblique: the voxel axes are turned against the patient's.
    """
    t = np.arange(0.0, length, 0.1)
    still = np.zeros_like(t)
    bow = still if np.isinf(bend) else bend * (1.0 - np.cos(t / bend))
    rise = t if np.isinf(bend) else bend * np.sin(t / bend)
    course = np.stack((bow, still, rise), axis=1)
    turn = OBLIQUE if oblique else np.eye(3)
    course = course @ turn.T
    own = course @ turn
    low, high = own.min(axis=0) - radius - 10.0, own.max(axis=0) + radius + 10.0
    shape = tuple(int(n) for n in np.ceil((high - low)[::-1] / spacing))
    affine: Any = np.eye(4)
    affine[:3, :3] = turn * spacing[::-1]
    affine[:3, 3] = turn @ low
    away, nearest = cKDTree(course).query(to_world(affine, np.argwhere(np.ones(shape, bool))))
    array = (away <= radius).astype(np.uint8).reshape(shape)
    array[tuple(np.rint(to_voxels(affine, course)).astype(int).T)] = 1
    mask = Image(array, affine, "tube", Kind.LABEL)
    return Tube(course, mask, t[nearest].reshape(shape), away.reshape(shape), length, radius)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Of what is not 0."""
    a, b = one != 0, other != 0
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
