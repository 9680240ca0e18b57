"""The image object that every part of the backend passes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from .geometry import Shape, Spacing, axis_codes, check_affine, spacing_of


class Kind(Enum):
    """What the numbers of an image mean, and so how they may be interpolated."""

    INTENSITY = "intensity"
    LABEL = "label"


@dataclass(frozen=True, eq=False)
class Image:
    """An array with its place in the world.

    Attributes:
        array: (k, j, i), or (c, k, j, i) for several channels. Labels are unsigned or signed integers.
        affine: float64 (4, 4), IJK to RAS millimeters (see :mod:`MedAILib.geometry`).
        name: what the user calls it; used in messages.
        kind: intensity (interpolated smoothly) or label (never mixed).
    """

    array: np.ndarray
    affine: np.ndarray
    name: str = "image"
    kind: Kind = Kind.INTENSITY

    def __post_init__(self) -> None:
        if self.array.ndim not in (3, 4):
            raise ValueError(f"{self.name}: an image has 3 axes (k, j, i) or 4 (c, k, j, i), not {self.array.ndim}.")
        if self.kind is Kind.LABEL and not np.issubdtype(self.array.dtype, np.integer):
            raise ValueError(f"{self.name}: labels must be integers, not {self.array.dtype}.")
        object.__setattr__(self, "affine", check_affine(self.affine, self.name, allow_shear=True))

    @property
    def shape(self) -> Shape:
        """Number of voxels (k, j, i), without channels."""
        k, j, i = self.array.shape[-3:]
        return int(k), int(j), int(i)

    @property
    def spacing(self) -> Spacing:
        """Voxel size in mm, (k, j, i)."""
        return spacing_of(self.affine)

    @property
    def codes(self) -> str:
        """Anatomical directions of the i, j, k axes, e.g. ``"RAS"``."""
        return axis_codes(self.affine)

    @property
    def is_label(self) -> bool:
        return self.kind is Kind.LABEL

    def with_array(self, array: np.ndarray, *, kind: Kind | None = None, name: str | None = None) -> Image:
        """The same place with other numbers; the spatial shape must stay."""
        if tuple(array.shape[-3:]) != self.shape:
            raise ValueError(f"{self.name}: the new array has shape {array.shape[-3:]}, the grid {self.shape}.")
        return replace(self, array=array, kind=kind or self.kind, name=name if name is not None else self.name)
