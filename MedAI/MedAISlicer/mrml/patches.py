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

from .segmentations import layer_from_array, layer_of, on_grid, whole_shift

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


def patch_from_array(array: np.ndarray, affine: np.ndarray, reference: Node | None) -> Node:
    """A label map (vtkOrientedImageData) of 0 and 1 with the lattice of a segmentation's reference geometry.

    The extent of that geometry does not matter: a segmentation that was begun on a part of the volume, and has no
    other geometry, can grow.

    Args:
        array: (k, j, i) bool.
        affine: its first voxel to the segmentation's own RAS.
        reference: oriented image, of which only the lattice counts. None: the array's own lattice.
    """
    labels = array.astype(np.uint8)
    if reference is None:
        return layer_from_array(labels, affine)
    matrix = vtk.vtkMatrix4x4()
    reference.GetImageToWorldMatrix(matrix)
    grid = arrayFromVTKMatrix(matrix)
    step = np.linalg.inv(grid) @ affine
    start = whole_shift(step, array.shape)
    if start is not None:
        return layer_from_array(labels, grid, start)
    corners = np.array(list(np.ndindex(2, 2, 2))) * array.shape[::-1] - 0.5
    reached = (corners @ step[:3, :3].T + step[:3, 3])[:, ::-1]
    low, high = np.floor(reached.min(0)).astype(int), np.ceil(reached.max(0)).astype(int) + 1
    k, j, i = (int(number) for number in high - low)
    target = layer_from_array(np.zeros((k, j, i), np.uint8), grid, (int(low[0]), int(low[1]), int(low[2])))
    moved = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        layer_from_array(labels, affine), target, moved, False
    )
    return moved
