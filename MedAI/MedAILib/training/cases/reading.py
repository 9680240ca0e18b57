"""Reading of one case: its channels on one grid, and its label map on the same."""

from __future__ import annotations

import numpy as np

from ...checks import HUGE
from ...errors import ContentError, GeometryError
from ...files import read_frames, read_labels
from ...files.pictures import PICTURES, read_picture
from ...image import Image, Kind
from ...labels import Label
from .folder import CaseFiles

_SHIFT = 0.1
"""How far, in voxels, the grids of image and labels may be apart: rounding in headers."""


def read_case_image(files: CaseFiles) -> Image:
    """The channels of a case, (c, k, j, i) float32 on the first one's grid; one that it lacks is NaN.

    Raises:
        MedAIError: a file cannot be read, or the channels do not lie on one grid.
    """
    given = [None if file is None else (file, read_frames(file)) for file in files.images]
    first_file, (first, *_) = next(one for one in given if one is not None)
    channels = []
    for one in given:
        if one is None:
            channels.append(np.full(first.shape, np.nan, np.float32))
            continue
        file, frames = one
        if not all(same_grid(first, frame) for frame in frames):
            raise GeometryError(f"{file.name} does not lie on the grid of {first_file.name}. Resample it first.")
        channels += [frame.array.astype(np.float32) for frame in frames]
    return Image(np.stack(channels), first.affine, files.name)


def read_case_labels(files: CaseFiles) -> tuple[Image, list[Label]]:
    """The label map of a case, and its names where the file has them (``.seg.nrrd``).

    Raises:
        MedAIError: the file cannot be read, or is no label map.
    """
    if files.labels.suffix.lower() not in PICTURES:
        image, table = read_labels(files.labels)
        return image, table if files.labels.name.lower().endswith(".seg.nrrd") else []
    colors = read_picture(files.labels)
    if any((color.array != colors[0].array).any() for color in colors[1:]):
        raise ContentError(f"{files.labels.name} is a color picture; a label map has one number per pixel.")
    return Image(colors[0].array, colors[0].affine, files.name, Kind.LABEL), []


def same_grid(one: Image, other: Image) -> bool:
    """Whether two images have the same voxels, up to rounding in their headers."""
    if one.shape != other.shape:
        return False
    k, j, i = (size - 1 for size in one.shape)
    corners = np.array([[x, y, z, 1.0] for x in (0, i) for y in (0, j) for z in (0, k)])
    apart = np.linalg.norm(corners @ (one.affine - other.affine).T[:, :3], axis=1)
    return bool(apart.max() <= _SHIFT * min(one.spacing))


def usable(image: Image) -> Image:
    """The image (c, k, j, i) without voxels that are NaN, infinite or beyond 1e30: they become the lowest other value.

    A channel without any finite voxel is one that the case lacks; it stays NaN.
    """
    array = image.array.copy()
    for channel in array:
        good = np.abs(channel) <= HUGE
        if not good.all() and good.any():
            channel[~good] = channel[good].min()
    return image.with_array(array)
