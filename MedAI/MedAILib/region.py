"""Find the part of a volume that holds something, so that the network does not look at air."""

from __future__ import annotations

import numpy as np

from .geometry import Shape, Spacing

Box = tuple[slice, slice, slice]
_COARSE_MM = 4.0


def foreground_box(array: np.ndarray, spacing: Spacing, margin: float = 10.0) -> Box:
    """The box around the largest object that stands out from the background.

    The volume is thinned to about 4 mm, thresholded at half of Otsu's threshold above the darkest voxels (half,
    because skull, CSF and a dark coil side must stay inside), opened by one voxel against noise, and the largest
    connected part is boxed.

    Args:
        array: (k, j, i), finite.
        spacing: (k, j, i) mm.
        margin: mm added on each side.

    Returns:
        Slices (k, j, i) inside the volume; the whole volume where nothing stands out.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    steps = tuple(max(1, int(_COARSE_MM / size)) for size in spacing)
    thin = np.asarray(array[:: steps[0], :: steps[1], :: steps[2]], dtype=np.float32)
    low, high = (float(value) for value in np.percentile(thin, (0.5, 99.9)))
    whole = (slice(0, array.shape[0]), slice(0, array.shape[1]), slice(0, array.shape[2]))
    if high <= low:
        return whole
    clipped = np.clip(thin, low, high)
    mask = clipped > low + 0.5 * (float(threshold_otsu(clipped)) - low)
    opened = ndimage.binary_opening(mask)
    parts, count = ndimage.label(opened if opened.any() else mask)
    if not count:
        return whole
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    box = ndimage.find_objects(parts, max_label=largest)[largest - 1]
    # What was left out between two thin voxels may belong to it.
    k, j, i = (slice((side.start - 1) * step, side.stop * step + 1) for side, step in zip(box, steps, strict=True))
    return grown_box((k, j, i), margin, spacing, (array.shape[0], array.shape[1], array.shape[2]))


def grown_box(box: Box, margin: float, spacing: Spacing, shape: Shape) -> Box:
    """The box with at least ``margin`` mm more on each side, as far as the volume goes.

    Args:
        box: slices (k, j, i); may reach beyond the volume.
        margin: mm.
        spacing: (k, j, i) mm.
        shape: of the volume, (k, j, i).
    """
    sides = []
    for part, size, length in zip(box, spacing, shape, strict=True):
        extra = int(np.ceil(margin / size))
        sides.append(slice(max(0, part.start - extra), min(length, part.stop + extra)))
    return sides[0], sides[1], sides[2]


def box_start(box: Box) -> Shape:
    """First voxel of a box, (k, j, i)."""
    return box[0].start, box[1].start, box[2].start


def box_shape(box: Box) -> Shape:
    """Number of voxels of a box, (k, j, i)."""
    return box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start
