"""How thick slices were taken: the two numbers, the profile, and how we know them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from .profiles import check_profile

SOURCES = ("dicom", "user", "image", "assumed")
"""Where a value comes from: the DICOM header, the user, an estimate from the image itself, or nowhere."""


@dataclass(frozen=True)
class Acquisition:
    """One stack's slices.

    Attributes:
        thickness: full width at half maximum of the slice profile in mm.
        increment: distance in mm from slice center to slice center, which is the volume's spacing there.
        profile: one of :data:`MedAILib.superres.profiles.PROFILES`.
        thickness_source: one of :data:`SOURCES`.
        profile_source: one of :data:`SOURCES`.
    """

    thickness: float
    increment: float
    profile: str = "gaussian"
    thickness_source: str = "assumed"
    profile_source: str = "assumed"

    def __post_init__(self) -> None:
        for name in ("thickness", "increment"):
            value = getattr(self, name)
            if not 0.0 < value < float("inf"):
                raise UsageError(f"The slice {name} must be a number of mm above 0, not {value:g}.")
        check_profile(self.profile)
        for source in (self.thickness_source, self.profile_source):
            if source not in SOURCES:
                raise ValueError(f"A source is one of {', '.join(SOURCES)}, not {source!r}.")

    @property
    def overlap(self) -> float:
        """How far neighboring slices overlap in mm; below 0 there is a gap between them."""
        return self.thickness - self.increment


def default_profile(modality: str | None) -> str:
    """Raised cosine for CT, Gaussian for everything else.

    Args:
        modality: as in DICOM, "CT" or "MR"; upper or lower case. None if unknown.
    """
    return "hann" if (modality or "").upper() == "CT" else "gaussian"
