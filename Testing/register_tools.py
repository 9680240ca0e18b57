"""Small pairs of images with a known transform, and an engine that answers what a test wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from MedAILib.image import Image, Kind
from MedAILib.pipeline.register_engine import Engine
from MedAILib.registration.request import Pair
from MedAILib.transforms import DisplacementField, Transform, warp_image

SHAPE = (20, 24, 28)
SHIFT = np.array([4.0, -2.0, 6.0])
"""RAS mm, from fixed points to moving points in :func:`shifted_pair`."""


def scan(shape: tuple[int, int, int] = SHAPE, spacing: float = 2.0, name: str = "scan", seed: int = 0) -> Image:
    """Smooth noise in a ball, centered at the world's origin."""
    from scipy.ndimage import gaussian_filter

    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -0.5 * spacing * (np.array(shape[::-1]) - 1)
    values = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    ball = (places**2).sum(axis=0) < 0.6
    return Image(np.where(ball, 100 + 40 * values / values.std(), 0).astype(np.float32), affine, name)


def shift(by: np.ndarray = SHIFT) -> np.ndarray:
    """The matrix of a translation."""
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def shifted_pair(**more: Any) -> Pair:
    """A scan, and itself moved by :data:`SHIFT`."""
    fixed = scan(name="fixed")
    moving = warp_image(fixed, fixed, Transform.from_matrix(shift(-SHIFT)))
    return Pair(fixed, Image(moving.array, moving.affine, "moving"), **more)


def labels_of(image: Image, name: str = "labels") -> Image:
    """Two structures: the dark and the bright half of what is not background."""
    array = np.where(image.array > 100, 2, (image.array > 0).astype(int)).astype(np.uint8)
    return Image(array, image.affine, name, Kind.LABEL)


def bump(like: Image, size_mm: float = 1.0) -> DisplacementField:
    """A smooth displacement of the middle, on a lattice of half the resolution."""
    shape = tuple(max(2, n // 2) for n in like.shape)
    affine = like.affine.copy()
    affine[:3, :3] *= 2
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    array = np.zeros((3, *shape), np.float32)
    array[0] = size_mm * np.exp(-4 * (places**2).sum(axis=0))
    return DisplacementField(Image(array, affine, "bump"))


@dataclass
class Linear:
    """What the engine's linear part answers."""

    matrix: np.ndarray
    similarity_start: float = 0.0
    similarity: float = 0.0


@dataclass
class Deformable:
    """What the engine's deformable part answers."""

    field: DisplacementField


@dataclass
class Fake:
    """An engine that keeps a list of its calls.

    Attributes:
        matrix: answer of the linear part.
        field: answer of the deformable part; None raises ``error``.
        calls: (part, arguments).
    """

    matrix: np.ndarray = dataclasses.field(default_factory=shift)
    field: DisplacementField | None = None
    error: Exception | None = None
    calls: list[tuple[str, tuple[Any, ...]]] = dataclasses.field(default_factory=list)

    def engine(self) -> Engine:
        return Engine(
            self._noted("contrast", lambda: ("same", "Both look alike.")),
            self._noted("linear", lambda: Linear(self.matrix)),
            self._noted("deformable", self._deformable),
            self._noted("refine", lambda: None),
        )

    def arguments(self, part: str) -> tuple[Any, ...]:
        """Of the only call of a part."""
        (found,) = [arguments for name, arguments in self.calls if name == part]
        return found

    def _deformable(self) -> Deformable:
        if self.field is None:
            assert self.error is not None
            raise self.error
        return Deformable(self.field)

    def _noted(self, part: str, answer: Callable[[], Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append((part, arguments))
            return answer()

        return call
