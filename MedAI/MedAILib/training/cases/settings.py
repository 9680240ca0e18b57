"""The parts of a recipe for labeled cases that can be set. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ...geometry import Shape, Spacing

FLIPS = ("none", "left-right", "all")


def _count(given: Sequence[Any]) -> int:
    """Of what a recipe gives, whatever the type says that it should."""
    return len(given)


@dataclass(frozen=True)
class PlanSettings:
    """What is decided by hand instead of from the data; None leaves it to the planner.

    Attributes:
        spacing: of the network's grid, (k, j, i) mm.
        patch: (k, j, i) voxels; ``"whole"`` is as large as the largest case.
        orientation: axes of the network's grid, as in the card.
        intensity: preparation, as in the card.
        modality: DICOM code of the images.
        batch: patches per step, instead of the recipe's training settings.
        instances: the values of the label maps are single objects of one class.
    """

    spacing: Spacing | None = None
    patch: Shape | str | None = None
    orientation: str | None = None
    intensity: Mapping[str, Any] | None = None
    modality: str | None = None
    batch: int | None = None
    instances: bool = False

    def __post_init__(self) -> None:
        if self.spacing is not None and (_count(self.spacing) != 3 or min(self.spacing) <= 0):
            raise UsageError("spacing must be three numbers above 0, (k, j, i) in mm.")
        if isinstance(self.patch, str) and self.patch != "whole":
            raise UsageError(f'patch must be three sizes (k, j, i) or "whole", not {self.patch!r}.')
        if not isinstance(self.patch, (str, type(None))) and (_count(self.patch) != 3 or min(self.patch) < 1):
            raise UsageError("patch must be three sizes above 0, (k, j, i).")
        if self.batch is not None and self.batch < 1:
            raise UsageError("batch must be 1 or more.")


@dataclass(frozen=True)
class AugmentationSettings:
    """How patches are drawn and changed; probabilities and ranges after nnU-Net (Isensee et al. 2021, suppl. note 4).

    Attributes:
        foreground: share of the patches that have a voxel of a structure in the middle.
        spatial: rotation and scaling at all.
        rotation, rotated: largest angle in degrees about each axis, and the share of rotated patches.
        scaling, scaled: range of the size, and the share of scaled patches.
        flip: ``"none"``, ``"left-right"`` (structures must not be named by side) or ``"all"`` axes.
        noise, noisy: largest standard deviation in units of the patch's, and the share.
        blur, blurred: largest standard deviation in voxels, and the share.
        brightness, contrast: largest change of the factor; each for 15 % of the patches.
        coarsest, coarse: smallest zoom of a simulated low resolution, and the share.
        gamma, bent: range of the exponent, and the share.
    """

    foreground: float = 1 / 3
    spatial: bool = True
    rotation: float = 30.0
    rotated: float = 0.2
    scaling: tuple[float, float] = (0.7, 1.4)
    scaled: float = 0.2
    flip: str = "none"
    noise: float = 0.3
    noisy: float = 0.1
    blur: float = 1.0
    blurred: float = 0.1
    brightness: float = 0.25
    contrast: float = 0.25
    coarsest: float = 0.5
    coarse: float = 0.12
    gamma: tuple[float, float] = (0.7, 1.5)
    bent: float = 0.3

    def __post_init__(self) -> None:
        if self.flip not in FLIPS:
            raise UsageError(f"flip must be one of {', '.join(FLIPS)}, not {self.flip!r}.")
        if not 0.0 < self.scaling[0] <= self.scaling[1] or not 0.0 < self.gamma[0] <= self.gamma[1]:
            raise UsageError("scaling and gamma must be ranges above 0.")


@dataclass(frozen=True)
class CaseValidation:
    """Which cases are held out, to measure on.

    Attributes:
        cases: their names; without any, subjects are drawn by the run's seed.
        subject: regular expression whose first group in a case's name is its subject, see :func:`.subjects.subject_of`.
        share: of the subjects that are drawn; at least one.
        most: so many cases are measured at most while the training goes on; at its end, all that are held out.
        overlap: of the windows with which they are measured.
        budget: share of the training's time that validation may take; the first and the last one always happen.
    """

    cases: tuple[str, ...] = ()
    subject: str | None = None
    share: float = 0.2
    most: int = 10
    overlap: float = 0.25
    budget: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0:
            raise UsageError("share must be at least 0 and below 1.")
        if self.most < 1:
            raise UsageError("most must be 1 or more.")
