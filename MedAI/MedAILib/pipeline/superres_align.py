"""Do the further scans lie where the first one is, and bringing them there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..image import Image
from ..progress import Progress
from ..registration.checks import overlap_share
from ..registration.request import Pair, RegistrationRequest
from ..superres.checks import LEAST_OVERLAP
from ..superres.problem import Other
from ..transforms import IDENTITY
from .register import register
from .register import stages_of as registration_stages
from .stages import Stages

_OFF_MM = 1.0
"""A scan that lies off by more than this, and by more than half a voxel, is called not registered."""
_CORNERS = np.array([[i, j, k] for i in (0.0, 1.0) for j in (0.0, 1.0) for k in (0.0, 1.0)])


def align(main: Image, others: tuple[Other, ...], apply: bool, device: str, stages: Stages) -> tuple[Other, ...]:
    """Register each further scan rigidly to the first, near where the headers put it, or anywhere if that is far off.

    Args:
        main: the scan that stays.
        others: as they lie.
        apply: bring them to where they fit; otherwise a warning says how far off they are.
        device: "auto" or a device name.
        stages: for progress and warnings.

    Returns:
        The scans, with corrected affines where that was wanted; no voxel is interpolated.
    """
    found = []
    for number, other in enumerate(others):
        matrix = _rigid(main, other, device, stages, number / len(others), 1.0 / len(others))
        distance = _moved_by(main, matrix)
        off = distance > max(_OFF_MM, 0.5 * min(main.spacing))
        if apply:
            image = replace(other.image, affine=np.linalg.inv(matrix) @ other.image.affine)
            other = replace(other, image=image)
        elif off:
            stages.warn(
                "not-registered",
                f"{other.image.name} and {main.name} do not lie on each other: registering them moves one by "
                f"{distance:.1f} mm. Let it be registered first (in the shell --align), else the result may mix "
                "different places.",
            )
        found.append(other)
    return tuple(found)


def _rigid(main: Image, other: Other, device: str, stages: Stages, done: float, share: float) -> np.ndarray:
    """(4, 4), points of the first scan to points of the other, RAS mm."""
    contrast = "same" if other.role == "stack" else "different"
    apart = overlap_share(main, other.image, IDENTITY) < LEAST_OVERLAP
    request = RegistrationRequest("rigid", "fast", contrast, "auto" if apart else "given")
    progress = Progress(
        registration_stages(request),
        emit=lambda step: stages.progress.update(done + share * step.fraction),
        cancelled=lambda: False,
    )
    result = register(Pair(main, other.image), request, device, Stages(progress))
    matrix = result.transform.linear
    return np.eye(4) if matrix is None else matrix


def _moved_by(image: Image, matrix: np.ndarray) -> float:
    """Mean distance in mm by which the corners of the middle half of the image's box move."""
    points = ((0.25 + 0.5 * _CORNERS) * (np.array(image.shape[::-1]) - 1)) @ image.affine[:3, :3].T + image.affine[
        :3, 3
    ]
    return float(np.linalg.norm(points @ matrix[:3, :3].T + matrix[:3, 3] - points, axis=1).mean())
