"""A small volume with thick slices, and made-up results of making it finer, for tests without a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from MedAILib.image import Image
from MedAILib.spatial import resample
from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.request import Scans, Superresolution, SuperresRequest
from MedAILib.superres.summary import SuperresSummary, UncertaintyFigures
from MedAILib.superres.target import target_grid
from MedAILib.worker.events import Warned

SHAPE = (6, 20, 18)
THICK = np.diag([1.0, 1.0, 4.0, 1.0])
"""Slices 4 mm apart along k."""
HALF_WIDTH = 12.5
"""Of the made-up uncertainty, everywhere."""


def thick(affine: np.ndarray = THICK, name: str = "thick") -> Image:
    """A ball with a smooth edge in the middle of the grid, 0 to 1000."""
    k, j, i = np.indices(SHAPE, dtype=float)
    places = np.stack([i, j, k], -1) @ affine[:3, :3].T + affine[:3, 3]
    middle = affine[:3, :3] @ (np.array(SHAPE[::-1]) - 1) / 2 + affine[:3, 3]
    distance = np.linalg.norm(places - middle, axis=-1)
    return Image(np.rint(1000.0 / (1.0 + np.exp(distance - 7.0))).astype(np.int16), affine, name)


def summary(**facts: Any) -> SuperresSummary:
    """An account with every figure; ``facts`` replace some of them."""
    usual: dict[str, Any] = {
        "image": "thick",
        "method": "sr4zct",
        "asked": "auto",
        "title": "Learned from the scan itself",
        "device": "cpu",
        "axis": "k",
        "direction": "inferior-superior",
        "thickness": 4.0,
        "increment": 4.0,
        "thickness_source": "dicom",
        "profile": "gaussian",
        "profile_source": "assumed",
        "shape_before": SHAPE,
        "shape_after": (24, *SHAPE[1:]),
        "spacing_before": (4.0, 1.0, 1.0),
        "spacing_after": (1.0, 1.0, 1.0),
        "learned": True,
        "modality": "MR",
        "noise": 2.0,
        "budget": 45.0,
        "consistency_db": 66.1,
        "cubic_consistency_db": 38.2,
        "residual": 1.5,
        "change": 20.0,
        "uncertainty": UncertaintyFigures(10.0, 9.0, 25.0),
        "notes": ("Held-out slices: better than deconvolution.",),
        "timings": {"Checking": 1.0, "Learning from the scan": 45.0},
    }
    return SuperresSummary(**{**usual, **facts})


def result(
    scans: Scans, request: SuperresRequest, warnings: tuple[tuple[str, str], ...] = (), **facts: Any
) -> Superresolution:
    """What the worker would answer: the scan interpolated linearly, with the maps that were asked for."""
    scan = scans.main.image
    axis = int(np.argmax(scan.spacing))
    thickness = request.thickness or scans.main.thickness or scan.spacing[axis]
    target, _line = target_grid(scan, axis, Acquisition(thickness, scan.spacing[axis]), request.spacing)
    smooth = resample(scan, target.shape, target.affine)
    fine = smooth.with_array(np.rint(smooth.array).astype(scan.array.dtype))
    maps = {
        "uncertainty": fine.with_array(np.full(fine.shape, HALF_WIDTH, np.float32)),
        "residual": scan.with_array(np.full(scan.shape, -1.0, np.float32)),
        "cubic": fine.with_array((fine.array - 3).astype(fine.array.dtype)),
    }
    wanted = {name: image for name, image in maps.items() if name in request.outputs}
    told = {
        "image": scan.name,
        "shape_before": scan.shape,
        "shape_after": fine.shape,
        "spacing_before": scan.spacing,
        "spacing_after": fine.spacing,
        "thickness": thickness,
        "warnings": tuple(Warned(*pair) for pair in warnings),
    }
    return Superresolution(fine, summary(**{**told, **facts}), **wanted)
