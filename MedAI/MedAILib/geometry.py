"""Affine mathematics. The project's one convention, stated here and nowhere else:

* arrays are indexed ``(k, j, i)`` (``(c, k, j, i)`` with channels), as Slicer and SimpleITK hand them out;
* a 4x4 *affine* maps homogeneous voxel coordinates ``(i, j, k, 1)`` to RAS millimeters, and integer coordinates
  are voxel centers;
* tuples named ``shape``, ``spacing``, ``start``, ``margin`` are in array order ``(k, j, i)``;
* ITK's LPS is met only in ``MedAILib.files`` and converted there.
"""

from __future__ import annotations

import numpy as np

from .errors import GeometryError

_EQUAL_SPACING = 1.05
"""Spacings up to this ratio count as equal."""

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Multiply from the left to turn an IJK-to-LPS affine into IJK-to-RAS (and back: it is its own inverse)."""


def spacing_of(affine: np.ndarray) -> Spacing:
    """Voxel size in mm, array order (k, j, i)."""
    i, j, k = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    return float(k), float(j), float(i)


def axis_codes(affine: np.ndarray) -> str:
    """The anatomical direction each voxel axis points to most closely, in (i, j, k) order, e.g. ``"LPS"``.

    Each of the three anatomical axes is used once: the best assignment overall wins, so a 45 degree oblique
    volume still gets three different letters.
    """
    order, signs = closest_axes(affine)
    return "".join(("LR", "PA", "IS")[axis][int(sign > 0)] for axis, sign in zip(order, signs, strict=True))


def closest_axes(affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """For voxel axes i, j, k: which RAS axis (0, 1, 2) each follows most closely, and with which sign."""
    from itertools import permutations

    columns = np.asarray(affine, float)[:3, :3]
    directions = columns / np.linalg.norm(columns, axis=0)
    best = max(permutations(range(3)), key=lambda order: sum(abs(directions[a, v]) for v, a in enumerate(order)))
    signs = [1 if directions[axis, voxel] >= 0 else -1 for voxel, axis in enumerate(best)]
    return (best[0], best[1], best[2]), (signs[0], signs[1], signs[2])


def thickest_axes(shape: Shape, affine: np.ndarray) -> np.ndarray:
    """Which axes (k, j, i) an image may be said to be a stack of slices along: those of one voxel only, else those of
    the largest spacing, give or take 5 %. Three bools, one at least True."""
    spacing = np.array(spacing_of(affine))
    single = np.array(shape) == 1
    return single if single.any() else spacing * _EQUAL_SPACING > spacing.max()


def axial_first(axes: np.ndarray, affine: np.ndarray) -> int:
    """Of some axes (three bools, k, j, i) the one that goes from the feet to the head, or else the first."""
    axial = 2 - closest_axes(affine)[0].index(2)
    return axial if axes[axial] else int(np.argmax(axes))


def with_spacing(spacing: Spacing) -> np.ndarray:
    """A RAS-aligned affine with the given (k, j, i) spacing in mm and voxel 0 at the origin."""
    return np.diag([spacing[2], spacing[1], spacing[0], 1.0]).astype(float)


def check_affine(affine: np.ndarray, name: str = "the volume", allow_shear: bool = False) -> np.ndarray:
    """Return the affine as float64 (4, 4), or say what is wrong with it.

    Raises:
        GeometryError: not 4x4, not finite, singular, or sheared by more than about 0.6 degrees (1e-2 in cosine).
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise GeometryError(f"{name}: the IJK-to-RAS matrix is not a finite 4x4 matrix.")
    columns = matrix[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if (lengths < 1e-6).any():
        raise GeometryError(f"{name}: a voxel axis has no length (spacing 0 mm). Set the spacing, then run again.")
    directions = columns / lengths
    if abs(np.linalg.det(directions)) < 1e-3:
        raise GeometryError(f"{name}: the axes of the IJK-to-RAS matrix lie in one plane (singular matrix).")
    cosines = np.abs(directions.T @ directions - np.eye(3)).max()
    if cosines > 1e-2 and not allow_shear:
        raise GeometryError(
            f"{name}: the axes are not perpendicular (sheared by {np.degrees(np.arcsin(min(cosines, 1.0))):.1f} "
            "degrees, as from a tilted CT gantry). Resample it to a regular grid first."
        )
    return matrix


def centre_shift(affine: np.ndarray, start: tuple[float, float, float]) -> np.ndarray:
    """The affine of a grid whose voxel (0, 0, 0) sits at voxel ``start`` (k, j, i) of the given grid."""
    moved = np.array(affine, dtype=np.float64)
    moved[:3, 3] = (moved @ np.array([start[2], start[1], start[0], 1.0]))[:3]
    return moved
