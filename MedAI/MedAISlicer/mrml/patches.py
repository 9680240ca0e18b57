"""Parts of segments on an image's grid, and back: what a segment editor needs of a voxel that the user clicked.

Grids are given by their shape and by the matrix that takes voxels to the segmentation's *own* RAS, so that nothing here
depends on the transforms that the nodes stand under.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.util import arrayFromVTKMatrix

from MedAILib.geometry import Shape, centre_shift

from .segmentations import layer_array, layer_from_array, layer_of, on_grid, whole_shift

Node = Any
Box = tuple[slice, slice, slice]


def segment_on_grid(node: Node, segment_id: str, shape: Shape, affine: np.ndarray) -> np.ndarray:
    """The voxels of a grid that a segment holds, (k, j, i) bool.

    Args:
        node: segmentation; edited as voxels.
        segment_id: of the segment.
        shape, affine: the grid.
    """
    found = np.zeros(shape, bool)
    _mark(found, node.GetSegmentation().GetSegment(segment_id), affine)
    return found


def others_on_grid(node: Node, segment_id: str, box: Box, affine: np.ndarray) -> np.ndarray:
    """The voxels of a box that segments other than this one hold, bool of the box's shape; arguments as above."""
    found = np.zeros([side.stop - side.start for side in box], bool)
    affine = centre_shift(affine, (box[0].start, box[1].start, box[2].start))
    segmentation = node.GetSegmentation()
    for other in segmentation.GetSegmentIDs():
        if other != segment_id:
            _mark(found, segmentation.GetSegment(other), affine)
    return found


def _mark(found: np.ndarray, segment: Node, affine: np.ndarray) -> None:
    layer = layer_of(segment)
    if layer is not None:
        array, where = on_grid(layer, (found.shape[0], found.shape[1], found.shape[2]), affine)
        found[where] |= array == segment.GetLabelValue()


def patch_from_array(array: np.ndarray, affine: np.ndarray, reference: Node | None) -> Node | None:
    """A label map (vtkOrientedImageData) of 0 and 1 with the lattice of a segmentation's reference geometry.

    Args:
        array: (k, j, i) bool.
        affine: its first voxel to the segmentation's own RAS.
        reference: oriented image, of which only the place counts; nothing beyond it is kept. None: the array's own
            lattice.

    Returns:
        None where nothing of the array lies within the reference geometry.
    """
    if reference is None:
        return layer_from_array(array.astype(np.uint8), affine)
    matrix = vtk.vtkMatrix4x4()
    reference.GetImageToWorldMatrix(matrix)
    grid, extent = arrayFromVTKMatrix(matrix), np.array(reference.GetExtent())
    first, last = extent[4::-2], extent[5::-2]
    step = np.linalg.inv(grid) @ affine
    start = whole_shift(step, array.shape)
    if start is not None:
        low, high = np.maximum(start, first), np.minimum(np.add(start, array.shape), last + 1)
        if (low >= high).any():
            return None
        part = array[tuple(slice(*ends) for ends in zip(low - np.array(start), high - np.array(start), strict=True))]
        return layer_from_array(part.astype(np.uint8), grid, (int(low[0]), int(low[1]), int(low[2])))
    corners = np.array(list(np.ndindex(2, 2, 2))) * array.shape[::-1] - 0.5
    reached = (corners @ step[:3, :3].T + step[:3, 3])[:, ::-1]
    low = np.maximum(np.floor(reached.min(0)).astype(int), first)
    high = np.minimum(np.ceil(reached.max(0)).astype(int) + 1, last + 1)
    if (low >= high).any():
        return None
    k, j, i = (int(number) for number in high - low)
    target = layer_from_array(np.zeros((k, j, i), np.uint8), grid, (int(low[0]), int(low[1]), int(low[2])))
    moved = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        layer_from_array(array.astype(np.uint8), affine), target, moved, False
    )
    return moved if moved.GetPointData().GetScalars() is not None and layer_array(moved).any() else None
