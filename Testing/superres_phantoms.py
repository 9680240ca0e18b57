"""Phantoms with a known place, measured in thick slices by the very operator, and a task run without a worker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from MedAILib.image import Image
from MedAILib.pipeline import superres_task
from MedAILib.progress import Progress
from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.operators import forward, matrix_of
from MedAILib.superres.request import Scan, Scans, Superresolution, SuperresRequest, read_answer
from MedAILib.superres.stack import Line, Stack

CENTER = np.array([3.0, -2.0, 5.0])
"""Of the phantom's ball, RAS mm."""
WIDTH = 6.0
"""Its standard deviation, mm."""


def oblique() -> np.ndarray:
    """Directions of the i, j, k axes (columns): turned about two axes, and left-handed."""
    a, b = 0.35, -0.2
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    second = np.array([[1.0, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return first @ second @ np.diag([-1.0, 1.0, 1.0])


def ball_affine(shape: tuple[int, int, int], spacing: tuple[float, float, float], directions: np.ndarray) -> np.ndarray:
    """A grid (k, j, i) around the ball's center, with the ball a little off it."""
    affine = np.eye(4)
    affine[:3, :3] = directions * np.array(spacing[::-1])
    affine[:3, 3] = CENTER - affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2 + 0.3)
    return affine


def ball(shape: tuple[int, int, int], affine: np.ndarray, center: np.ndarray = CENTER) -> np.ndarray:
    """A Gaussian ball of 1000 on 20, (k, j, i) float32."""
    k, j, i = np.indices(shape)
    places = np.stack([i, j, k], -1) @ affine[:3, :3].T + affine[:3, 3]
    return (20 + 1000 * np.exp(-0.5 * ((places - center) ** 2).sum(-1) / WIDTH**2)).astype(np.float32)


def thick_ball(
    axis: int = 0,
    increment: float = 4.0,
    thickness: float = 4.0,
    pixel: float = 1.5,
    directions: np.ndarray | None = None,
    count: int = 12,
    noise: float = 0.0,
    dtype: Any = np.float32,
) -> Image:
    """The ball in slices of this thickness, Gaussian profile, along array axis ``axis``."""
    size = [32, 32, 32]
    spacing = [pixel, pixel, pixel]
    size[axis], spacing[axis] = count, increment
    shape, sizes = (size[0], size[1], size[2]), (spacing[0], spacing[1], spacing[2])
    affine = ball_affine(shape, sizes, np.eye(3) if directions is None else directions)
    image = Image(np.zeros(shape, np.float32), affine, "thick")
    stack = Stack.of(image, axis, Acquisition(thickness, increment))
    reach, step = 3.0 * thickness, increment / 16
    cells = round((2 * reach + (count - 1) * increment) / step)
    line = Line(-reach + step / 2, step, cells)
    fine_affine = affine.copy()
    fine_affine[:3, 3] += affine[:3, 2 - axis] / increment * line.start
    fine_affine[:3, 2 - axis] *= step / increment
    size[axis] = cells
    fine = np.moveaxis(ball((size[0], size[1], size[2]), fine_affine), axis, 0)
    slices = forward(matrix_of(stack, line), fine)
    slices += np.random.default_rng(0).normal(0, noise, slices.shape).astype(np.float32)
    array = np.ascontiguousarray(np.moveaxis(slices, 0, axis))
    if np.issubdtype(dtype, np.integer):
        array = np.rint(np.clip(array, np.iinfo(dtype).min, np.iinfo(dtype).max))
    return image.with_array(array.astype(dtype))


def center_of(image: Image) -> np.ndarray:
    """Center of brightness above half of the peak, RAS mm; exact for the ball on any grid."""
    values = image.array.astype(float) - image.array.min()
    weights = np.maximum(values - 0.05 * values.max(), 0)
    k, j, i = np.indices(image.shape)
    voxel = np.array([(weights * axis).sum() for axis in (i, j, k)]) / weights.sum()
    return image.affine[:3, :3] @ voxel + image.affine[:3, 3]


@dataclass
class Context:
    """What a task gets from the worker."""

    device: str = "cpu"
    concluded: bool = False

    def progress(self, stages: dict[str, float]) -> Progress:
        return Progress(stages)

    def stop(self) -> bool:
        return self.concluded


def run(scans: Scans | Image, request: SuperresRequest, context: Context | None = None) -> Superresolution:
    """The worker's task without a worker; messages go through JSON as they do there."""
    scans = Scans(Scan(scans)) if isinstance(scans, Image) else scans
    parameters, arrays = request.message(scans)
    answered, results = superres_task.run(json.loads(json.dumps(parameters)), arrays, context or Context())
    return read_answer(json.loads(json.dumps(answered)), results)
