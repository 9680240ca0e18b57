"""Small smooth transforms on oblique lattices, and SimpleITK's own view of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from image_strategies import rotation
from MedAILib.image import Image
from MedAILib.transforms import AffineTransform, DisplacementField, Transform

OBLIQUE = np.eye(4)
"""Voxels of 2 x 2.5 x 3 mm (i, j, k), left-handed, rotated about every axis."""
OBLIQUE[:3, :3] = rotation(0.3, -0.2, 0.5)[:, [1, 0, 2]] * [2.0, -2.5, -3.0]
OBLIQUE[:3, 3] = [12.0, -40.0, 25.0]

SHAPE = (12, 14, 16)


def smooth_field(
    largest: float = 4.0, seed: int = 0, shape: tuple[int, int, int] = SHAPE, affine: np.ndarray = OBLIQUE
) -> DisplacementField:
    """Random displacements of up to ``largest`` mm that vary over some voxels; not zero on the lattice's surface."""
    noise = np.random.default_rng(seed).standard_normal((3, *shape))
    array = np.stack([gaussian_filter(each, 3.0, mode="nearest") for each in noise])
    array *= largest / np.sqrt((array**2).sum(axis=0)).max()
    return DisplacementField(Image(array.astype(np.float32), affine, "field"))


def flow_field(largest: float, seed: int = 0, n: int = 20) -> DisplacementField:
    """Where a random flow of up to ``largest`` voxels takes the nodes of n x n x n voxels of 1 mm; steep, without folds
    between its nodes for most seeds, and zero on the lattice's surface."""
    noise = np.random.default_rng(seed).standard_normal((3, n, n, n))
    array = np.stack([gaussian_filter(each, 1.5, mode="constant") for each in noise])
    array *= largest / np.sqrt((array**2).sum(axis=0)).max()
    window = np.sqrt(np.hanning(n))
    array *= window[:, None, None] * window[:, None] * window / 64
    field = DisplacementField(Image(array.astype(np.float32), np.eye(4), "flow"))
    for _ in range(6):
        field = field.compose(field)
    return field


def least_determinant(field: DisplacementField) -> float:
    """The smallest Jacobian determinant in any corner of a cell of a lattice of 1 mm along the world's axes."""
    slopes = [np.diff(field.image.array, axis=axis) for axis in (3, 2, 1)]
    least = np.inf
    for k, j, i in product((slice(None, -1), slice(1, None)), repeat=3):
        columns = slopes[0][:, k, j], slopes[1][:, k, :, i], slopes[2][:, :, j, i]
        matrices = np.moveaxis(np.stack(columns, 1), (0, 1), (-2, -1)) + np.eye(3)
        least = min(least, float(np.linalg.det(matrices).min()))
    return least


def matrix(seed: int = 0) -> np.ndarray:
    """A rotation with a little scaling and shear, and a shift."""
    random = np.random.default_rng(seed)
    result = np.eye(4)
    result[:3, :3] = rotation(*random.uniform(-0.3, 0.3, 3)) + random.uniform(-0.05, 0.05, (3, 3))
    result[:3, 3] = random.uniform(-6, 6, 3)
    return result


def deformable(largest: float = 4.0, seed: int = 0) -> Transform:
    """A field and then a matrix, as a registration gives it."""
    return Transform((smooth_field(largest, seed), AffineTransform(matrix(seed))))


def points_inside(image: Image, n: int = 200, seed: int = 1) -> np.ndarray:
    """Random world points (n, 3) between the image's voxels."""
    random = np.random.default_rng(seed)
    ijk = random.uniform(0, 1, (n, 3)) * (np.array(image.shape[::-1]) - 1)
    return ijk @ image.affine[:3, :3].T + image.affine[:3, 3]


def points_by_itk(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """RAS points (n, 3) taken through a transform that works in LPS."""
    lps = np.array([-1.0, -1.0, 1.0])
    return np.array([transform.TransformPoint((p * lps).tolist()) for p in points]) * lps
