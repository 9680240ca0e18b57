"""Segmentations: segments, and the layers (label maps) that they live in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.util import arrayFromVTKMatrix, vtkMatrixFromArray
from vtk.util.numpy_support import vtk_to_numpy

from MedAILib.errors import ContentError
from MedAILib.geometry import centre_shift
from MedAILib.image import Image, Kind
from MedAILib.label_boxes import label_boxes
from MedAILib.labels import Label

from ..identity import label_from_segment, segment_from_label
from .places import world_from_local
from .volumes import fill_data, voxels_of

Node = Any

BINARY_LABELMAP = "Binary labelmap"

DERIVED = ("Closed surface", "Fractional labelmap", "Planar contour")
"""Forms that are made from the voxels."""

_ALIGNED = 1e-3
"""Two grids are the same lattice when their voxels coincide within this part of a voxel."""


def layer_of(segment: Node) -> Node | None:
    """The label map (vtkOrientedImageData) that a segment lives in, perhaps with others; None if it has no voxels."""
    layer = segment.GetRepresentation(BINARY_LABELMAP)
    return None if layer is None or layer.IsEmpty() else layer


def layer_array(layer: Node) -> np.ndarray:
    """(k, j, i) read-only view of a layer."""
    return voxels_of(layer, "The segmentation")


def layer_affine(layer: Node) -> np.ndarray:
    """First voxel of a layer's array to the segmentation's own RAS."""
    matrix = vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(matrix)
    first_i, _, first_j, _, first_k, _ = layer.GetExtent()
    return centre_shift(arrayFromVTKMatrix(matrix), (first_k, first_j, first_i))


def layer_from_array(array: np.ndarray, affine: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> Node:
    """A layer (vtkOrientedImageData) that begins at voxel ``start`` (k, j, i) of the grid that ``affine`` describes."""
    layer = slicer.vtkOrientedImageData()
    fill_data(layer, array, start)
    layer.SetImageToWorldMatrix(vtkMatrixFromArray(affine))
    return layer


def layer_with_only(layer: Node, values: Sequence[int]) -> Node:
    """A copy of a layer in which all other values are 0."""
    copy = slicer.vtkOrientedImageData()
    copy.DeepCopy(layer)
    array = vtk_to_numpy(copy.GetPointData().GetScalars())
    array[~np.isin(array, values)] = 0
    return copy


def segments_from_labels(array: np.ndarray, affine: np.ndarray, table: Sequence[Label]) -> list[tuple[Label, Node]]:
    """One vtkSegment for each label that has voxels; all share one layer, cut to the box around them.

    Args:
        array: (k, j, i) integers, 0 outside.
        affine: IJK to the RAS of the segmentation that will receive them.
        table: says what the values mean; values without voxels give no segment.

    Raises:
        ContentError: the array holds a value that the table does not name.
    """
    boxes = label_boxes(array)
    unknown = sorted(set(boxes) - {label.value for label in table})
    if unknown:
        raise ContentError(f"The label map holds the values {unknown}, which its table does not name.")
    if not boxes:
        return []
    start = tuple(min(box[axis].start for box in boxes.values()) for axis in range(3))
    stop = tuple(max(box[axis].stop for box in boxes.values()) for axis in range(3))
    cut = array[tuple(slice(*ends) for ends in zip(start, stop, strict=True))]
    # The numbers in a layer are private to the segmentation: small ones fit in a byte, as in Slicer's own layers.
    numbers = {value: number for number, value in enumerate(boxes, 1)}
    dense = np.searchsorted(np.array([0, *boxes]), cut).astype(np.uint8 if len(boxes) < 256 else np.uint16)
    layer = layer_from_array(dense, affine, (start[0], start[1], start[2]))
    segments = []
    for label in table:
        if label.value in numbers:
            segment = segment_from_label(label)
            segment.SetLabelValue(numbers[label.value])
            segment.AddRepresentation(BINARY_LABELMAP, layer)
            segments.append((label, segment))
    return segments


def labels_from_segmentation(
    node: Node, like: Image | None = None, ids: Sequence[str] | None = None
) -> tuple[Image, list[Label]]:
    """Segments as one label map in world RAS, numbered 1 to n in their order; where two overlap the later one is seen.

    Args:
        node: segmentation.
        like: the grid to use; by default the segmentation's reference geometry, else the box of its voxels.
        ids: which segments; by default all.

    Raises:
        ContentError: there is no voxel and no grid.
        GeometryError: non-linear parent transform.
    """
    ids = node.GetSegmentation().GetSegmentIDs() if ids is None else ids
    world = world_from_local(node)
    segmentation = _with_voxels(node)
    shape, affine = (like.shape, np.linalg.inv(world) @ like.affine) if like else _grid(segmentation, node.GetName())
    result = np.zeros(shape, np.uint8 if len(ids) < 256 else np.uint16)
    numbered = [(number, segmentation.GetSegment(segment_id)) for number, segment_id in enumerate(ids, 1)]
    for _, run in groupby(numbered, lambda pair: pair[1].GetRepresentation(BINARY_LABELMAP)):
        group = list(run)
        layer = layer_of(group[0][1])
        if layer is None:
            continue
        array, where = on_grid(layer, shape, affine)
        numbers = np.zeros(max(int(array.max(initial=0)), *(s.GetLabelValue() for _, s in group)) + 1, result.dtype)
        for number, segment in group:
            numbers[segment.GetLabelValue()] = number
        new = numbers[array]
        np.copyto(result[where], new, where=new > 0)
    table = [label_from_segment(number, segment) for number, segment in numbered]
    return Image(result, world @ affine, node.GetName() or "segmentation", Kind.LABEL), table


def mask_from_segment(node: Node, segment_id: str, like: Image | None = None) -> Image:
    """One segment, with all its voxels whatever overlaps it, as uint8 0 and 1 in world RAS (see above for the grid)."""
    return labels_from_segmentation(node, like, [segment_id])[0]


def layers_of(node: Node) -> list[tuple[Image, dict[str, Node]]]:
    """Each layer of a segmentation as a label map in world RAS, with the segments (ID to vtkSegment) that live in it.

    Segments without voxels are left out; where the segmentation holds surfaces only, they are turned into voxels, and
    the segments are copies.

    Raises:
        ContentError: surfaces that cannot be turned into voxels.
        GeometryError: non-linear parent transform.
    """
    world, segmentation = world_from_local(node), _with_voxels(node)
    found: dict[str, tuple[Node, dict[str, Node]]] = {}
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        layer = layer_of(segment)
        if layer is not None:
            found.setdefault(layer.GetAddressAsString(""), (layer, {}))[1][segment_id] = segment
    name = node.GetName() or "segmentation"
    return [
        (Image(layer_array(layer), world @ layer_affine(layer), name, Kind.LABEL), segments)
        for layer, segments in found.values()
    ]


def _with_voxels(node: Node) -> Node:
    """The node's vtkSegmentation, or a converted copy when it holds surfaces only; the node stays as it is."""
    segmentation = node.GetSegmentation()
    if segmentation.ContainsRepresentation(BINARY_LABELMAP) or segmentation.GetNumberOfSegments() == 0:
        return segmentation
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(segmentation)
    if not copy.CreateRepresentation(BINARY_LABELMAP):
        raise ContentError(f"{node.GetName()}: the surfaces cannot be turned into voxels.")
    return copy


def _grid(segmentation: Node, name: str) -> tuple[tuple[int, int, int], np.ndarray]:
    converter = slicer.vtkSegmentationConverter
    text = segmentation.GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    text = text or segmentation.DetermineCommonLabelmapGeometry(
        slicer.vtkSegmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS, vtk.vtkStringArray()
    )
    geometry = slicer.vtkOrientedImageData()
    if not text or not converter.DeserializeImageGeometry(text, geometry, False):
        raise ContentError(f"{name} is empty: it has neither voxels nor a reference geometry.")
    i, j, k = geometry.GetDimensions()
    return (k, j, i), layer_affine(geometry)


def whole_shift(step: np.ndarray, shape: Sequence[int]) -> tuple[int, int, int] | None:
    """How many voxels (k, j, i) one grid lies off another; None where their lattices do not coincide.

    Args:
        step: from the voxels (i, j, k) of the first to those of the second.
        shape: of the first.
    """
    offset = step[:3, 3][::-1]
    turned = np.abs(step[:3, :3] - np.eye(3)).max() * max(shape)
    if turned >= _ALIGNED * 100 or np.abs(offset - np.round(offset)).max() >= _ALIGNED:
        return None
    k, j, i = (int(number) for number in np.round(offset))
    return k, j, i


def on_grid(
    layer: Node, shape: tuple[int, int, int], affine: np.ndarray
) -> tuple[np.ndarray, tuple[slice, slice, slice]]:
    """The part of a layer that lies on a grid, and where: shifted when the lattices coincide, else nearest voxel."""
    array = layer_array(layer)
    first = whole_shift(np.linalg.inv(affine) @ layer_affine(layer), array.shape)
    if first is not None:
        inside = [
            (max(f, 0), max(f, 0, min(f + n, size))) for f, n, size in zip(first, array.shape, shape, strict=True)
        ]
        k, j, i = (slice(low, high) for low, high in inside)
        part = tuple(slice(low - f, high - f) for (low, high), f in zip(inside, first, strict=True))
        return array[part], (k, j, i)
    target, moved = layer_from_array(np.zeros(shape, np.uint8), affine), slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(layer, target, moved, False)
    return layer_array(moved), (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
