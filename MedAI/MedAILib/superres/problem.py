"""What every method gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..image import Image
from .acquisition import Acquisition
from .stack import Line, Stack
from .target import Target

ROLES = ("stack", "contrast")


@dataclass(frozen=True, eq=False)
class Other:
    """A further image of the same patient.

    Attributes:
        image: (k, j, i) float32, finite, on any grid.
        axis: array axis of its slices.
        acquisition: of its slices.
        role: "stack" for the same contrast in other slices, "contrast" for another contrast.
    """

    image: Image
    axis: int
    acquisition: Acquisition
    role: str = "stack"

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"The role of {self.image.name} is one of {', '.join(ROLES)}, not {self.role!r}.")

    @property
    def stack(self) -> Stack:
        """Its slices, first axis across them."""
        return Stack.of(self.image, self.axis, self.acquisition)


@dataclass(frozen=True, eq=False)
class Problem:
    """Thick slices, and what is wanted of them.

    Attributes:
        image: (k, j, i) float32, finite.
        axis: array axis of the slices.
        acquisition: thickness, increment and profile.
        target: the grid of the result: the image's axes and in-plane grid, other cells along the slice axis.
        line: those cells.
        modality: "CT", "MR" or None if unknown.
        others: further stacks or contrasts.
        noise: standard deviation of the image's noise, in its own units.
        budget: seconds of wall time that training may take.
        uncertainty: whether a map of it is wanted.
        warm: whether training may start from shipped weights.
        seed: of everything random.
    """

    image: Image
    axis: int
    acquisition: Acquisition
    target: Target
    line: Line
    modality: str | None = None
    others: tuple[Other, ...] = ()
    noise: float = 0.0
    budget: float = 60.0
    uncertainty: bool = False
    warm: bool = True
    seed: int = 0

    @cached_property
    def stack(self) -> Stack:
        """The slices, first axis across them; a view of the image's values."""
        return Stack.of(self.image, self.axis, self.acquisition)


@dataclass(frozen=True, eq=False)
class Solution:
    """A result.

    Attributes:
        array: (k, j, i) float32 on the problem's target grid.
        uncertainty: half width of the 90 % interval in the image's units, same shape; None if there is none.
        notes: (code, sentence) for the user.
        method: what was really used; a fallback names itself.
    """

    array: np.ndarray
    uncertainty: np.ndarray | None = None
    notes: tuple[tuple[str, str], ...] = ()
    method: str = ""
