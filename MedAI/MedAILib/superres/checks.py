"""Can this scan get thinner slices, and which numbers hold for it? Bad input gets a sentence here, before any work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..checks import check_scalar_volume, label_like
from ..errors import GeometryError, UsageError
from ..image import Image
from ..worker.events import Warned
from .request import AXES, Scan, Scans, SuperresRequest
from .stack import slice_axis

_SAME = 0.01
_NO_GAIN = 1.15
"""Slices at most this many times the wanted spacing apart, and no thicker, leave nothing to gain."""
_FEW_SLICES = 5
_FAR_THICKER = 8.0
_MISMATCH = 0.02
LEAST_OVERLAP = 0.05
_OTHER_DIRECTION = np.cos(np.radians(30.0))


def check_scan(scan: Scan) -> tuple[Scan, list[Warned]]:
    """Refuse voxels and grids that cannot be used, repair what can.

    Returns:
        The scan with finite voxels and a thickness and modality that make sense, else None; and warnings.

    Raises:
        ContentError, GeometryError: see :func:`MedAILib.checks.check_scalar_volume`.
    """
    image, found = check_scalar_volume(scan.image)
    warnings = [Warned(*one) for one in found]
    if count := label_like(image):
        warnings.append(
            Warned(
                "label-map",
                f"{image.name} holds only {count} different whole numbers, as a label map does. It is treated as if "
                "they were brightness; labels are better segmented again on the sharpened scan.",
            )
        )
    thickness = scan.thickness
    if thickness is not None and not 0.0 < thickness < float("inf"):
        warnings.append(
            Warned(
                "thickness-tag",
                f"{image.name}: the slice thickness in its DICOM header is {thickness:g} mm, which cannot be; it is "
                "estimated from the image instead.",
            )
        )
        thickness = None
    return replace(scan, image=image, thickness=thickness), warnings


def axis_of(image: Image, request: SuperresRequest, distance: float | None = None) -> int:
    """The array axis that the slices follow each other along.

    Where no axis has a larger spacing than the others, that is the last voxel axis (k), along which scanners and
    DICOM stack slices; likewise where the header's ``distance`` of the slices in mm is the spacing along that axis, as
    in a scan with large pixels and thin slices.
    """
    if request.axis != "auto":
        return 3 - AXES.index(request.axis)
    axis = slice_axis(image)
    if image.spacing[0] >= (1.0 - _SAME) * max(image.spacing):
        return 0
    if distance is not None and _near(distance, image.spacing[0]) and not _near(distance, image.spacing[axis]):
        return 0
    return axis


def _near(one: float, other: float) -> bool:
    return abs(one - other) < _MISMATCH * other


def check_slices(scan: Scan, axis: int) -> Iterator[Warned]:
    """Doubts about the number of slices and their distance."""
    image, increment = scan.image, scan.image.spacing[axis]
    if image.shape[axis] < _FEW_SLICES:
        yield Warned(
            "few-slices",
            f"{image.name} has only {image.shape[axis]} slices; little can be learned of what lies between them.",
        )
    between = scan.between
    if between is not None and between > 0 and abs(between - increment) > _MISMATCH * increment:
        yield Warned(
            "increment-tag",
            f"{image.name}: its DICOM header says that the slices are {between:g} mm apart, their positions say "
            f"{increment:.4g} mm. The positions were used.",
        )


def check_thickness(image: Image, axis: int, thickness: float) -> Iterator[Warned]:
    """Doubts about a known thickness.

    Raises:
        UsageError: it is larger than all slices together.
    """
    increment, count = image.spacing[axis], image.shape[axis]
    if thickness > increment * count:
        raise UsageError(
            f"{image.name}: a slice thickness of {thickness:g} mm is more than all {count} slices together "
            f"({increment * count:.4g} mm). Give it in millimeters."
        )
    if thickness > _FAR_THICKER * increment:
        yield Warned(
            "thick",
            f"{image.name}: slices {thickness:g} mm thick every {increment:.3g} mm are unusual. Check the thickness.",
        )
    if thickness < (1.0 - _MISMATCH) * increment:
        yield Warned(
            "gaps",
            f"{image.name}: the slices are {thickness:.3g} mm thick and {increment:.3g} mm apart, so "
            f"{increment - thickness:.3g} mm between two of them were not measured; what the result shows there is "
            "interpolated.",
        )


def check_gain(image: Image, axis: int, thickness: float | None, step: float, asked: bool = True) -> None:
    """There must be something to gain along the slice axis.

    Args:
        image: the scan.
        axis: array axis of the slices.
        thickness: mm; None if nobody knows it.
        step: wanted spacing along that axis, mm.
        asked: the user wants that spacing; else it is the usual one.

    Raises:
        GeometryError: the slices are as near and as thin as that already.
        UsageError: the wanted spacing is coarser than the slices'.
    """
    increment = image.spacing[axis]
    if asked and step > (1.0 + _SAME) * increment:
        raise UsageError(
            f"{image.name}: the wanted spacing of {step:.3g} mm is coarser than that of the slices, {increment:.3g} "
            "mm. Choose a smaller one."
        )
    if increment > _NO_GAIN * step or (thickness is not None and thickness > _NO_GAIN * step):
        return
    k, j, i = image.spacing
    known = "" if thickness is None else f", slices {thickness:.3g} mm thick"
    if increment * _NO_GAIN < step:
        fine = "is finer across its slices than within them"
    elif max(image.spacing) < _NO_GAIN * min(image.spacing):
        fine = "is nearly isotropic already"
    else:
        fine = f"has a slice every {increment:.3g} mm already"
    raise GeometryError(
        f"{image.name} {fine} ({i:.3g} x {j:.3g} x {k:.3g} mm{known}); nothing can be "
        f"gained at {step:.3g} mm. If its slices are thicker than they are apart, give their thickness; else choose a "
        "smaller spacing."
    )


def role_of(other: Image, main: Image, axis: int, request: SuperresRequest) -> str:
    """ "stack" or "contrast": what the user said, else a stack if its slices stand in another direction."""
    if request.role != "auto":
        return request.role
    if request.method == "dmdip":
        return "contrast"
    if request.method in ("orthogonal", "csir"):
        return "stack"
    thick = slice_axis(other)
    sharp = max(other.spacing) < 1.5 * min(other.spacing)
    turned = abs(_direction(other, thick) @ _direction(main, axis)) < _OTHER_DIRECTION
    return "stack" if turned and not sharp else "contrast"


def with_role(scans: Scans, request: SuperresRequest) -> SuperresRequest:
    """The request with the role of the first further scan instead of "auto"; so the method is known."""
    if not scans.others or request.role != "auto":
        return request
    main = scans.main
    axis = axis_of(main.image, request, main.between or main.thickness)
    return replace(request, role=role_of(scans.others[0].image, main.image, axis, request))


def check_others(scans: Scans, axis: int, roles: tuple[str, ...], align: bool = False) -> Iterator[Warned]:
    """Do the further scans fit the first?

    Args:
        scans: checked.
        axis: array axis of the first scan's slices.
        roles: of the further scans.
        align: they are going to be registered, so that they need not lie there yet.

    Raises:
        GeometryError: one does not overlap with the first.
        UsageError: stacks and contrasts are mixed.
    """
    from ..registration.checks import overlap_share
    from ..transforms import IDENTITY

    if len(set(roles)) > 1:
        raise UsageError(
            "The further scans are both stacks and another contrast. Give either stacks of the same contrast or one "
            "scan of another contrast."
        )
    main = scans.main.image
    for scan, role in zip(scans.others, roles, strict=True):
        share = overlap_share(main, scan.image, IDENTITY)
        if share < LEAST_OVERLAP and not align:
            raise GeometryError(
                f"{main.name} and {scan.image.name} do not overlap where their headers put them "
                f"({100 * share:.0f} % of the smaller one). Choose scans of the same place, or let them be registered "
                "(in the shell --align)."
            )
        turned = abs(_direction(scan.image, slice_axis(scan.image)) @ _direction(main, axis)) < _OTHER_DIRECTION
        if role == "stack" and not turned:
            yield Warned(
                "same-direction",
                f"The slices of {scan.image.name} stand in the same direction as those of {main.name}, so they add "
                "little about what lies between them.",
            )


def _direction(image: Image, axis: int) -> np.ndarray:
    """Unit vector (R, A, S) along an array axis."""
    column = image.affine[:3, 2 - axis]
    return column / np.linalg.norm(column)


def direction_name(image: Image, axis: int) -> str:
    """The slice direction in words, e.g. "inferior-superior"."""
    names = {"R": "left-right", "A": "posterior-anterior", "S": "inferior-superior"}
    names |= {"L": names["R"], "P": names["A"], "I": names["S"]}
    return names[image.codes[2 - axis]]
