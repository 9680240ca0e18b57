"""A small pair of volumes, and made-up results of registering it, for the tests of the Slicer side."""

from __future__ import annotations

from typing import Any

import numpy as np

from MedAILib.image import Image
from MedAILib.registration.request import Registration
from MedAILib.registration.summary import Change, RegistrationSummary, StructureOverlap
from MedAILib.transforms import AffineTransform, DisplacementField, Transform, jacobian_map, warp_image
from MedAILib.worker.events import Warned

SHAPE = (16, 18, 20)


def ball(affine: np.ndarray, center: tuple[float, float, float], radius: float = 6.0) -> Image:
    """A ball with a smooth edge, 0 to 1000, around a world point (RAS mm)."""
    k, j, i = np.indices(SHAPE, dtype=float)
    places = np.stack([i, j, k], -1) @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(places - np.array(center), axis=-1)
    array = 1000.0 / (1.0 + np.exp(2.0 * (distance - radius)))
    return Image(np.rint(array).astype(np.int16), affine, "ball")


def center_of(image: Image) -> np.ndarray:
    """World point (RAS mm) of the middle of an image's bright part."""
    weight = image.array.astype(float)
    k, j, i = (float((index * weight).sum() / weight.sum()) for index in np.indices(image.shape))
    return (image.affine @ [i, j, k, 1.0])[:3]


def middle_of(affine: np.ndarray) -> tuple[float, float, float]:
    """World point (RAS mm) of the middle of the grid."""
    k, j, i = ((n - 1) / 2 for n in SHAPE)
    x, y, z = (affine @ [i, j, k, 1.0])[:3]
    return float(x), float(y), float(z)


def shift(x: float, y: float, z: float) -> Transform:
    """Fixed to moving points: moved by so many mm."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return Transform.from_matrix(matrix)


def warp(affine: np.ndarray, size_mm: float = 2.0) -> Transform:
    """A smooth displacement on a coarse lattice over the grid, zero on its surface, and then a small turn and shift."""
    shape = (9, 10, 11)
    coarse = affine.copy()
    coarse[:3, :3] *= 2.0
    k, j, i = (np.sin(np.linspace(0, np.pi, n)) for n in shape)
    bump = k[:, None, None] * j[:, None] * i
    field = DisplacementField(Image((size_mm * np.stack([bump, -0.5 * bump, 0.3 * bump])).astype(np.float32), coarse))
    matrix = np.eye(4)
    matrix[:3, :3] = [[0.998, -0.06, 0.0], [0.06, 0.998, 0.0], [0.0, 0.0, 1.0]]
    matrix[:3, 3] = 1.5, -2.0, 0.5
    return Transform((field, AffineTransform(matrix)))


def summary(**facts: Any) -> RegistrationSummary:
    """An account with every figure; ``facts`` replace some of them."""
    usual: dict[str, Any] = {
        "fixed": "Fixed",
        "moving": "Moving",
        "kind": "deformable",
        "preset": "default",
        "start": "auto",
        "contrast": "same",
        "contrast_reason": "The gray values of both volumes rise and fall together.",
        "device": "cpu",
        "local_correlation": Change(0.41, 0.87),
        "mutual_information": Change(0.52, 1.13),
        "structures": (StructureOverlap(1, "Ball", Change(0.5, 0.96), Change(8.0, 1.25)),),
        "dice": Change(0.5, 0.96),
        "hd95_mm": Change(8.0, 1.25),
        "landmarks_mm": (Change(7.5, 0.5),),
        "landmark_mm": Change(7.5, 0.5),
        "folds_percent": 0.0,
        "sd_log_jacobian": 0.08,
        "jacobian_min": 0.7,
        "jacobian_max": 1.4,
        "inverse_mean_mm": 0.01,
        "inverse_max_mm": 0.09,
        "timings": {"Aligning": 1.0, "Deforming": 2.0},
    }
    return RegistrationSummary(**{**usual, **facts})


def result(
    transform: Transform,
    fixed: Image,
    moving: Image,
    outputs: tuple[str, ...] = (),
    warnings: tuple[tuple[str, str], ...] = (),
    **facts: Any,
) -> Registration:
    """What the worker would answer for a transform."""
    told = tuple(Warned(*pair) for pair in warnings)
    return Registration(
        transform,
        transform.inverse(),
        summary(fixed=fixed.name, moving=moving.name, warnings=told, **facts),
        warped=warp_image(moving, fixed, transform) if "warped" in outputs else None,
        jacobian=jacobian_map(transform, fixed) if "jacobian" in outputs else None,
    )
