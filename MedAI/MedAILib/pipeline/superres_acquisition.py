"""How the slices were taken, as far as anybody says it, and else as the image shows it."""

from __future__ import annotations

from dataclasses import replace

from ..superres.acquisition import Acquisition, default_profile
from ..superres.checks import check_thickness
from ..superres.request import Scan, SuperresRequest
from ..superres.stack import Stack
from .modality import looks_like_ct
from .stages import Stages

_CONTIGUOUS = 0.15
"""An estimated thickness so near to the increment is taken for it: most scans are contiguous, the estimate is rough."""


def modality_of(scan: Scan, request: SuperresRequest) -> str | None:
    """What the user or the file says; else CT where the values are those of air in Hounsfield units."""
    said = request.modality or scan.modality
    if said:
        return said.upper()
    return "CT" if looks_like_ct(scan.image.array) else None


def said_acquisition(scan: Scan, axis: int, request: SuperresRequest, modality: str | None) -> Acquisition:
    """As the user or the file says, without a look at the image; contiguous slices where nobody says anything.

    Args:
        scan, axis, request, modality: as of :func:`acquisition_of`.
    """
    increment = scan.image.spacing[axis]
    said = request.thickness if request.thickness is not None else scan.thickness
    source = "user" if request.thickness is not None else "dicom"
    searched = request.profile in ("auto", "estimate")
    return Acquisition(
        increment if said is None else said,
        increment,
        default_profile(modality) if searched else request.profile,
        "assumed" if said is None else source,
        "assumed" if searched else "user",
    )


def acquisition_of(
    scan: Scan, axis: int, request: SuperresRequest, modality: str | None, thorough: bool, stages: Stages
) -> Acquisition:
    """Thickness and profile with their sources.

    The user's word counts first, then the file's, then what the spectra of the image show. Doubts become warnings.

    Args:
        scan: checked, float32.
        axis: array axis of the slices.
        request: with the user's thickness and profile.
        modality: as known.
        thorough: compare the user's thickness with the image too, not only the file's.
        stages: for warnings.

    Raises:
        UsageError: the thickness cannot be.
    """
    image, increment = scan.image, scan.image.spacing[axis]
    found = said_acquisition(scan, axis, request, modality)
    unsaid = found.thickness_source == "assumed"
    if unsaid or request.profile == "estimate":
        from ..superres.spectrum import estimate_acquisition

        estimated = estimate_acquisition(
            Stack.of(image, axis, found), None if request.profile == "estimate" else found.profile
        )
        if unsaid:
            contiguous = abs(estimated.overlap) < _CONTIGUOUS * increment
            found = replace(estimated, thickness=increment) if contiguous else estimated
        else:
            found = replace(found, profile=estimated.profile, profile_source=estimated.profile_source)
    elif found.thickness_source == "dicom" or thorough:
        from ..superres.spectrum import plausible

        if sentence := plausible(found, image, axis):
            stages.warn("implausible-thickness", sentence)
    for warned in check_thickness(image, axis, found.thickness):
        stages.warn(warned.code, warned.message)
    return found
