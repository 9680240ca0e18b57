"""Can these two images be registered, and with what help? Bad input gets a sentence here, before any work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..checks import check_scalar_volume, label_like
from ..errors import ContentError, GeometryError, UsageError
from ..image import Image, Kind
from ..spatial import resample
from ..transforms import IDENTITY, AffineTransform, Transform
from ..worker.events import Warned
from .request import Pair, RegistrationRequest

_SIZES = 3.0
"""Extents that differ by more than this factor along an axis of the body are worth a warning."""
_SPACINGS = 4.0
_LEAST_OVERLAP = 0.02
_LEAST_MASK = 64
POINTS_FOR_ROTATION = 3
_CORNERS = np.array([[i, j, k] for i in (0.0, 1.0) for j in (0.0, 1.0) for k in (0.0, 1.0)])


def check_pair(pair: Pair, request: RegistrationRequest) -> tuple[Pair, list[Warned]]:
    """Refuse what cannot be registered, repair what can.

    Args:
        pair: as given.
        request: as given.

    Returns:
        The pair, fit for work: both images finite, masks on the grids of their images (None where they mark all),
        landmarks finite, the initial transform usable. And warnings.

    Raises:
        ContentError: an image is empty, constant or without finite values; a mask is empty or marks a constant part;
            labels or landmarks that make no sense.
        GeometryError: an impossible grid; one slice against a volume; the images do not overlap where the initial
            transform puts them and nothing else may be tried.
        UsageError: the numbers of landmarks differ.
    """
    fixed, more = check_scalar_volume(pair.fixed, slice_allowed=True)
    moving, further = check_scalar_volume(pair.moving, slice_allowed=True)
    warnings = [Warned(*one) for one in (*more, *further)]
    check_slices(fixed, moving)
    warnings += _differences(fixed, moving)
    warnings += [warned for image in (fixed, moving) for warned in _looks_like_labels(image)]
    points, of_points = _check_points(pair)
    warnings += of_points
    pair = replace(
        pair,
        fixed=fixed,
        moving=moving,
        fixed_mask=_check_mask(pair.fixed_mask, fixed),
        moving_mask=_check_mask(pair.moving_mask, moving),
        fixed_points=points[0] if points else None,
        moving_points=points[1] if points else None,
    )
    warnings += _check_labels(pair)
    initial, of_initial = _check_initial(pair, request)
    return replace(pair, initial=initial), [*warnings, *of_initial]


def check_slices(fixed: Image, moving: Image) -> None:
    """Two slices of one plane, or two volumes.

    Raises:
        GeometryError: one is a slice and the other is not, or they lie in different planes.
    """
    flat = [image for image in (fixed, moving) if min(image.shape) == 1]
    if len(flat) == 1:
        other = moving if flat[0] is fixed else fixed
        raise GeometryError(
            f"{flat[0].name} is a single slice and {other.name} a volume. Choose two volumes, or two slices of the "
            "same plane."
        )
    if not flat:
        return
    normals = [_normal(image) for image in flat]
    if abs(normals[0] @ normals[1]) < np.cos(np.radians(1.0)):
        raise GeometryError(
            f"{fixed.name} and {moving.name} are single slices of different planes. Choose two slices of the same "
            "plane, or two volumes."
        )


def _normal(image: Image) -> np.ndarray:
    """Unit vector along the axis that has one voxel."""
    axis = 2 - image.shape.index(1)
    column = image.affine[:3, axis]
    return column / np.linalg.norm(column)


def _differences(fixed: Image, moving: Image) -> Iterator[Warned]:
    """Sizes and spacings that are far apart."""
    one, other = _extent(fixed), _extent(moving)
    if (np.maximum(one, other) > _SIZES * np.minimum(one, other)).any() and min(fixed.shape) > 1:
        yield Warned(
            "different-sizes",
            f"{fixed.name} covers {_listed(one)} mm and {moving.name} {_listed(other)} mm (right, front, up). If one "
            "shows only a part of the other, a mask or an initial transform makes the result safer.",
        )
    coarse, fine = max(fixed.spacing + moving.spacing), min(max(fixed.spacing), max(moving.spacing))
    if coarse > _SPACINGS * fine:
        yield Warned(
            "different-spacings",
            f"The voxels are up to {max(fixed.spacing):.3g} mm long in {fixed.name} and {max(moving.spacing):.3g} mm "
            f"in {moving.name}; the result is no more exact than the coarser one allows.",
        )


def _extent(image: Image) -> np.ndarray:
    """Size of the box around the image along R, A, S in mm."""
    corners = (_CORNERS - 0.5) * np.array(image.shape[::-1]) @ image.affine[:3, :3].T
    return np.ptp(corners, axis=0)


def _listed(sizes: np.ndarray) -> str:
    return " x ".join(f"{size:.0f}" for size in sizes)


def _looks_like_labels(image: Image) -> Iterator[Warned]:
    if count := label_like(image):
        yield Warned(
            "label-map",
            f"{image.name} holds only {count} different whole numbers, as a label map does. They are compared as "
            "if they were brightness; if it is a label map, give the scan as the image and this as its labels.",
        )


def _check_mask(mask: Image | None, image: Image) -> Image | None:
    """The mask on the image's grid, 0 and 1; None if it marks every voxel."""
    if mask is None:
        return None
    if not np.any(mask.array):
        raise ContentError(f"{mask.name} is an empty mask: it marks no voxel of {image.name}.")
    same = mask.shape == image.shape and np.allclose(mask.affine, image.affine, atol=1e-4)
    array = mask.array if same else resample(mask, image.shape, image.affine).array
    marked = array != 0
    count = int(np.count_nonzero(marked))
    if count == 0:
        raise ContentError(f"{mask.name} lies outside {image.name}: it marks none of its voxels.")
    if count == marked.size:
        return None
    inside = image.array[marked]
    if count < _LEAST_MASK or inside.min() == inside.max():
        raise ContentError(
            f"{mask.name} marks {count} voxels of {image.name} without contrast; nothing can be compared there. "
            "Choose a larger mask."
        )
    return Image(marked.astype(np.uint8), image.affine, mask.name, Kind.LABEL)


def _check_labels(pair: Pair) -> Iterator[Warned]:
    fixed, moving = pair.fixed_labels, pair.moving_labels
    for labels in (fixed, moving):
        if labels is not None and labels.array.size and labels.array.min() < 0:
            raise ContentError(f"{labels.name} holds negative values, which labels must not be.")
    if fixed is not None and moving is None:
        yield Warned("labels-of-one", f"Overlap is not measured: {fixed.name} has no counterpart in the moving image.")
    if fixed is None or moving is None:
        return
    common = np.intersect1d(np.unique(fixed.array), np.unique(moving.array))
    if not (common > 0).any():
        yield Warned(
            "no-common-label", f"Overlap is not measured: {fixed.name} and {moving.name} have no label in common."
        )


def _check_points(pair: Pair) -> tuple[tuple[np.ndarray, np.ndarray] | None, list[Warned]]:
    """Landmarks as float (n, 3), None if there is none."""
    points = pair.points
    if points is None or len(points[0]) == len(points[1]) == 0:
        return None, []
    if len(points[0]) != len(points[1]):
        raise UsageError(
            f"There are {len(points[0])} landmarks in {pair.fixed.name} and {len(points[1])} in {pair.moving.name}; "
            "each needs its partner, in the same order."
        )
    for image, found in zip((pair.fixed, pair.moving), points, strict=True):
        if found.ndim != 2 or found.shape[1] != 3 or not np.isfinite(found).all():
            raise ContentError(f"The landmarks of {image.name} are not all finite points (n, 3).")
    warnings: list[Warned] = []
    if len(points[0]) < POINTS_FOR_ROTATION:
        count = f"{len(points[0])} landmark{'s' if len(points[0]) > 1 else ''}"
        warnings.append(
            Warned(
                "few-landmarks",
                f"{count} can tell a shift but no rotation: the search begins with that shift. With "
                f"{POINTS_FOR_ROTATION} or more landmarks it would begin with the rotation too.",
            )
        )
    return points, warnings


def _check_initial(pair: Pair, request: RegistrationRequest) -> tuple[Transform | None, list[Warned]]:
    """The initial transform if it can be used; a few landmarks stand in for a missing one."""
    initial = pair.initial
    warnings: list[Warned] = []
    if initial is None and pair.points is not None and len(pair.points[0]) < POINTS_FOR_ROTATION:
        shift = np.eye(4)
        shift[:3, 3] = pair.points[1].mean(axis=0) - pair.points[0].mean(axis=0)
        initial = Transform((AffineTransform(shift),))
    linear = initial.linear if initial is not None else None
    if linear is not None and np.linalg.det(linear[:3, :3]) < 0:
        warnings.append(
            Warned("mirrored", "The initial transform mirrors: it turns left into right. Check that this is meant.")
        )
    if initial is None and request.start != "given":
        return None, warnings
    if overlap_share(pair.fixed, pair.moving, initial or IDENTITY) >= _LEAST_OVERLAP:
        return initial, warnings
    where = "where the headers put them" if initial is None else "after the initial transform"
    if request.start == "given":
        raise GeometryError(
            f"{pair.fixed.name} and {pair.moving.name} do not overlap {where}. Let the start be found automatically, "
            "or give another initial transform."
        )
    warnings.append(
        Warned(
            "no-overlap",
            f"{pair.fixed.name} and {pair.moving.name} do not overlap {where}; it was ignored, and all positions were "
            "tried.",
        )
    )
    return None, warnings


def overlap_share(fixed: Image, moving: Image, transform: Transform, per_axis: int = 24) -> float:
    """Share of the smaller image's box that lies in the other one's, 0 to 1, from a grid of sample points."""
    ticks = (np.arange(per_axis) + 0.5) / per_axis
    samples = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = samples * np.array(fixed.shape[::-1]) - 0.5
    points = voxels @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
    inverse = np.linalg.inv(moving.affine)
    moved = transform.points(points) @ inverse[:3, :3].T + inverse[:3, 3]
    inside = ((moved >= -0.5) & (moved <= np.array(moving.shape[::-1]) - 0.5)).all(axis=1)
    volumes = [np.prod(image.shape) * abs(np.linalg.det(image.affine[:3, :3])) for image in (fixed, moving)]
    return float(np.mean(inside) * volumes[0] / min(volumes))
