"""Pictures of nested ellipses, which a tiny network learns in seconds, and volumes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MedAILib.files import write_image
from MedAILib.image import Image

TISSUES = ((0.25, 0.42), (0.5, 0.3), (0.9, 0.15))
"""Value and radius (as a part of the side) of each ellipse."""


def ellipses(count: int, seed: int, side: int = 16) -> np.ndarray:
    """(count, side, side) float32, 0 to 1: three soft ellipses within each other on 0."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    found = np.zeros((count, side, side))
    for picture in found:
        center = random.uniform(0.42, 0.58, 2) * side
        for value, size in TISSUES:
            v, u = center + random.uniform(-0.05, 0.05, 2) * side
            b, a = random.uniform(0.75, 1.1, 2) * size * side
            inside = 1.0 / (1.0 + np.exp(8.0 * (np.hypot((y - v) / b, (x - u) / a) - 1.0)))
            picture += (value - picture) * inside
    return found.astype(np.float32)


def volume_of(pictures: np.ndarray, name: str = "scan", spacing: float = 3.0) -> Image:
    """Slices (k, j, i) of 1 mm pixels, ``spacing`` apart along the last voxel axis, k."""
    return Image(pictures, np.diag([1.0, 1.0, spacing, 1.0]), name)


def write_sites(folder: Path, side: int = 16, contrast: float = 0.45) -> Path:
    """Volumes of a source site, and in ``target`` those of a site with another contrast; the folder."""
    (folder / "target").mkdir(parents=True)
    write_image(folder / "source.nii.gz", volume_of(1000.0 * ellipses(120, 0, side)))
    write_image(folder / "held.nii.gz", volume_of(1000.0 * ellipses(8, 1, side)))
    write_image(folder / "target" / "site.nii.gz", volume_of(400.0 * ellipses(120, 2, side) ** contrast))
    return folder
