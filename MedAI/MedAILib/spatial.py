"""Moving an image to another grid, always with its affine.

Exact operations (:func:`reorient`, :func:`crop`, :func:`pad`, :func:`crop_to_grid`, :func:`restore_labels`) only move
voxels: each keeps its value and its world position. Interpolating ones (:func:`resample`, :func:`rescale`) treat labels
by nearest neighbor and smooth intensities before they thin them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import EllipsisType

import numpy as np

from .errors import GeometryError
from .geometry import Shape, Spacing, axial_first, centre_shift, closest_axes, thickest_axes
from .image import Image
from .resampling import interpolate, is_axis_aligned, separable

SLICES = "slices"
"""Orientation of a network that looks at slices one by one, see :func:`network_axes`."""
STORED, STORED_SLICES = "stored", "stored-slices"
"""Orientations of networks that take the axes as the file has them; the second looks at slices one by one."""
_LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def reorient(image: Image, codes: str = "RAS") -> Image:
    """Permute and flip the voxel axes so that i, j, k point to ``codes`` (e.g. ``"RAS"``), as closely as they can.

    Nothing is interpolated. ``restore_labels(result, image)`` or ``reorient(result, image.codes)`` is the way back.

    Raises:
        ValueError: ``codes`` does not name each of the three anatomical axes once.
    """
    if sorted(_LETTERS.get(letter, (-1, 0))[0] for letter in codes) != [0, 1, 2]:
        raise ValueError(f"{codes!r} is no orientation: give one letter each of L/R, P/A and I/S, such as 'RAS'.")
    order, signs = closest_axes(image.affine)
    wanted = [_LETTERS[letter] for letter in codes]
    sources = [order.index(axis) for axis, _ in wanted]
    flips = [signs[source] != sign for source, (_, sign) in zip(sources, wanted, strict=True)]
    return _permuted(image, sources, flips)


def network_axes(image: Image, orientation: str) -> Image:
    """The image with its voxel axes in the order that a network wants.

    Args:
        image: any orientation.
        orientation: axis codes, e.g. ``"RAS"``; or ``"slices"``: k goes through the image's own slices, that is along
            its thickest voxels or its only slice (axial where all sides are alike), whichever way they lie in the
            body, and i and j are what is left of R, A and S, in this order; or ``"stored"`` and ``"stored-slices"``:
            as they are.
    """
    if orientation in (STORED, STORED_SLICES):
        return image
    if orientation != SLICES:
        return reorient(image, orientation)
    through = 2 - axial_first(thickest_axes(image.shape, image.affine), image.affine)
    letter = "RAS"[closest_axes(image.affine)[0][through]]
    return reorient(image, "RAS".replace(letter, "") + letter)


def network_spacing(turned: Image, orientation: str, spacing: Spacing) -> Spacing:
    """The spacing (k, j, i) at which a network sees an image from :func:`network_axes`: the network's, but slices stay
    where they are."""
    return (turned.spacing[0], *spacing[1:]) if sees_slices(orientation) else spacing


def sees_slices(orientation: str) -> bool:
    """Whether a network of that orientation looks at slices one by one, see :func:`network_axes`."""
    return orientation in (SLICES, STORED_SLICES)


def _permuted(image: Image, sources: list[int], flips: list[bool]) -> Image:
    """New voxel axis n runs along old voxel axis ``sources[n]`` (both in i, j, k order), backwards where flipped."""
    extra = image.array.ndim - 3
    array = image.array.transpose(*range(extra), *(extra + 2 - sources[2 - axis] for axis in range(3)))
    array = np.flip(array, tuple(extra + 2 - new for new in range(3) if flips[new]))
    step = np.zeros((4, 4))
    step[3, 3] = 1.0
    for new, source in enumerate(sources):
        step[source, new] = -1.0 if flips[new] else 1.0
        if flips[new]:
            step[source, 3] = image.shape[2 - source] - 1
    return replace(image, array=np.ascontiguousarray(array), affine=image.affine @ step)


def crop(image: Image, start: Shape, shape: Shape) -> Image:
    """The box of ``shape`` voxels that begins at voxel ``start``, both (k, j, i); a view, nothing is copied.

    Raises:
        ValueError: the box is empty or reaches beyond the image.
    """
    if any(s < 0 or n < 1 or s + n > full for s, n, full in zip(start, shape, image.shape, strict=True)):
        raise ValueError(f"{image.name}: the box at {start} of {shape} voxels is not inside the grid {image.shape}.")
    return replace(image, array=image.array[_box(start, shape)], affine=centre_shift(image.affine, start))


def _box(start: Sequence[int], shape: Sequence[int]) -> tuple[EllipsisType | slice, ...]:
    """An index of the last three axes."""
    return (Ellipsis, *(slice(s, s + n) for s, n in zip(start, shape, strict=True)))


def pad(image: Image, before: Shape, after: Shape, fill: float = 0) -> Image:
    """Add voxels of value ``fill`` on both sides of each axis; ``before`` and ``after`` count them, (k, j, i).

    Raises:
        ValueError: a count is negative.
    """
    if min(*before, *after) < 0:
        raise ValueError(f"{image.name}: padding must not be negative, got {before} and {after}.")
    shape = tuple(b + n + a for b, n, a in zip(before, image.shape, after, strict=True))
    array = np.full((*image.array.shape[:-3], *shape), fill, dtype=image.array.dtype)
    array[_box(before, image.shape)] = image.array
    start = (-float(before[0]), -float(before[1]), -float(before[2]))
    return replace(image, array=array, affine=centre_shift(image.affine, start))


def crop_to_grid(image: Image, like: Image, fill: float = 0) -> Image:
    """The image on the grid of ``like``, whose voxels must be the image's own: permuted, flipped, cropped, padded.

    Voxels of ``like`` that the image does not cover get ``fill``.

    Raises:
        GeometryError: the two grids do not share their voxel positions (then :func:`resample` is needed).
    """
    sources, flips, start = _shared_voxels(image, like)
    moved = _permuted(image, sources, flips)
    low = [max(0, offset) for offset in start]
    high = [min(size, offset + n) for size, offset, n in zip(like.shape, start, moved.shape, strict=True)]
    covered = [max(0, h - w) for h, w in zip(high, low, strict=True)]
    inside = [w - offset for w, offset in zip(low, start, strict=True)]
    if moved.shape == like.shape and start == (0, 0, 0):
        array = moved.array
    else:
        array = np.full((*image.array.shape[:-3], *like.shape), fill, dtype=image.array.dtype)
        if min(covered) > 0:
            array[_box(low, covered)] = moved.array[_box(inside, covered)]
    return replace(image, array=array, affine=like.affine)


def restore_labels(labels: Image, like: Image) -> Image:
    """The way back of crop, pad and reorient: the label map on the original image's grid, bit for bit.

    Args:
        labels: a label map on a grid made from ``like`` by :func:`reorient`, :func:`crop` and :func:`pad`.
        like: the image they were made for; only its shape and affine are used. Uncovered voxels become 0.

    Raises:
        GeometryError: the label map's voxels are not voxels of ``like``.
        ValueError: ``labels`` is no label map.
    """
    if not labels.is_label:
        raise ValueError(f"{labels.name}: only label maps are restored without interpolation.")
    return crop_to_grid(labels, like)


def _shared_voxels(image: Image, like: Image) -> tuple[list[int], list[bool], Shape]:
    """How image voxels map to voxels of ``like``: source axis and flip per axis (i, j, k), start (k, j, i)."""
    step = np.linalg.inv(image.affine) @ like.affine
    turn = np.rint(step[:3, :3])
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.array(like.shape[::-1]) - 1
    exact = step.copy()
    exact[:3, :3] = turn
    exact[:3, 3] = np.rint(step[:3, 3])
    monomial = (np.abs(turn).sum(axis=0) == 1).all() and (np.abs(turn).sum(axis=1) == 1).all()
    if not monomial or np.abs(corners @ (step - exact).T).max() > 0.01:
        raise GeometryError(
            f"{image.name} does not lie on the voxels of {like.name}; it has to be resampled, which is not exact."
        )
    sources = [int(np.flatnonzero(turn[:, new])[0]) for new in range(3)]
    flips = [bool(turn[source, new] < 0) for new, source in enumerate(sources)]
    # Voxel 0 of the permuted image, in voxels of `like`: invert  old = turn @ new + offset  at the permuted origin.
    origin = np.array([image.shape[2 - s] - 1 if f else 0 for s, f in zip(sources, flips, strict=True)], float)
    old = np.zeros(3)
    old[sources] = origin
    i, j, k = np.rint(turn.T @ (old - exact[:3, 3])).astype(int)
    return sources, flips, (int(k), int(j), int(i))


def resample(
    image: Image, shape: Shape, affine: np.ndarray, order: int | None = None, fill: float = 0, antialias: bool = True
) -> Image:
    """The image on another grid.

    Args:
        image: (k, j, i) or (c, k, j, i); labels are always taken from the nearest voxel.
        shape: voxels of the new grid (k, j, i).
        affine: its IJK to RAS, mm.
        order: 0 nearest, 1 linear (default for intensities), 3 cubic B-spline; with ``antialias`` the image is first
            smoothed along the axes on which the new grid is coarser (Gaussian that turns a one-voxel into a new-voxel
            point spread: Cardoso et al. 2015, Scale factor point spread function matching).
        fill: value of voxels more than half a voxel outside the image.

    Returns:
        An image of the same kind; labels keep their dtype, linear and cubic results are float32.

    Raises:
        ValueError: ``order`` is not 0, 1 or 3, or is not 0 for a label map.
    """
    if order is None:
        order = 0 if image.is_label else 1
    if order not in (0, 1, 3) or (image.is_label and order != 0):
        raise ValueError(f"{image.name}: interpolation order {order} is not possible for {image.kind.value} images.")
    target = Image(np.broadcast_to(np.zeros((), np.uint8), shape), affine, image.name)
    step = np.linalg.inv(image.affine) @ target.affine
    method = separable if is_axis_aligned(step, shape) else interpolate
    channels = image.array[np.newaxis] if image.array.ndim == 3 else image.array
    moved = [method(channel, step, shape, order, fill, antialias) for channel in channels]
    array = moved[0] if image.array.ndim == 3 else np.stack(moved)
    return replace(image, array=array, affine=target.affine)


def rescaled_grid(shape: Shape, affine: np.ndarray, spacing: Spacing) -> tuple[Shape, np.ndarray]:
    """The grid over the same box of space with as nearly as possible the given spacing (mm, (k, j, i)).

    The box (from the outer faces of the first to the last voxel) is kept exactly, so the spacing may differ from the
    asked-for one by up to half a voxel in the whole length.

    Returns:
        Shape (k, j, i) and affine.
    """
    lengths = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)[::-1]
    new = [max(1, int(np.floor(n * s / w + 0.5))) for n, s, w in zip(shape, lengths, spacing, strict=True)]
    factors = np.array(shape, float) / np.array(new, float)
    start = (factors - 1.0) / 2.0
    grid = centre_shift(affine, (start[0], start[1], start[2]))
    grid[:3, :3] *= factors[::-1]
    return (new[0], new[1], new[2]), grid


def rescale(image: Image, spacing: Spacing) -> Image:
    """The image at another spacing (mm, (k, j, i)) over the same box of space; see :func:`rescaled_grid`."""
    shape, affine = rescaled_grid(image.shape, image.affine, spacing)
    return resample(image, shape, affine)
