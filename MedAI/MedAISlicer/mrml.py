"""The only file that turns MRML nodes into arrays, and arrays into MRML.

What leaves is in world RAS millimetres: a linear parent transform is folded into the affine. What comes in is brought
into the coordinates of the node that receives it. Arrays are (k, j, i), points (n, 3), both as in
:mod:`MedAILib.geometry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.util import arrayFromVTKMatrix, vtkMatrixFromArray
from vtk.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy

from MedAILib.errors import ContentError, GeometryError, UsageError
from MedAILib.geometry import centre_shift
from MedAILib.image import Image, Kind
from MedAILib.label_boxes import label_boxes
from MedAILib.labels import Label

from .identity import color_table, label_from_color, label_from_segment, segment_from_label
from .sequences import is_sequence, item_of, proxy_of
from .voxel_types import storable

Node = Any
"""A MRML node, or another VTK object; their classes have no Python types."""

BINARY_LABELMAP = "Binary labelmap"
DERIVED = ("Closed surface", "Fractional labelmap", "Planar contour")
"""Forms that are made from the voxels."""

_ALIGNED = 1e-3
"""Two grids are the same lattice when their voxels coincide within this part of a voxel."""


def world_from_local(node: Node) -> np.ndarray:
    """What the node's parent transforms do to its coordinates, float64 (4, 4).

    Raises:
        GeometryError: one of the parent transforms is not linear.
    """
    parent = node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    if parent is not None:
        if not parent.IsTransformToWorldLinear():
            raise GeometryError(
                f"{node.GetName()} stands under the non-linear transform {parent.GetName()}. Harden the transform "
                "(in the Data module: right-click the transform column, Harden transform), then run again."
            )
        parent.GetMatrixTransformToWorld(matrix)
    return arrayFromVTKMatrix(matrix)


def local_affine(volume: Node) -> np.ndarray:
    """IJK to the volume's own RAS, without parent transforms; voxel (0, 0, 0) is the first one of the array."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    first_i, _, first_j, _, first_k, _ = volume.GetImageData().GetExtent()
    return centre_shift(arrayFromVTKMatrix(matrix), (first_k, first_j, first_i))


def image_from_node(node: Node, frame: int | None = None) -> Image:
    """A scalar volume as an intensity image in world RAS.

    The array is a read-only view of the volume's own memory: copy it before the volume can change.

    Args:
        node: scalar volume, or a sequence of them.
        frame: which item of a sequence, from 0.

    Raises:
        ContentError: no voxels, several values per voxel, a label map.
        GeometryError: non-linear parent transform, unusable grid.
        UsageError: not a volume.
    """
    place, name = node, node.GetName() or "volume"
    if is_sequence(node):
        place = proxy_of(node)  # the items themselves stand under no transform
        node, name = item_of(node, frame or 0)
    if not node.IsA("vtkMRMLVolumeNode"):
        raise UsageError(f"{name} is not a volume but a {node.GetNodeTagName()}. Choose a scalar volume.")
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise ContentError(f"{name} is a label map, not an image. Choose the volume that it was drawn on.")
    array = _voxels(node.GetImageData(), name)
    return Image(array, world_from_local(node if place is None else place) @ local_affine(node), name)


def _voxels(data: Node, name: str) -> np.ndarray:
    """(k, j, i) read-only view of a vtkImageData with one value per voxel."""
    points = data.GetPointData() if data is not None else None
    scalars = points.GetScalars() if points is not None else None
    if scalars is None and points is not None:
        scalars = points.GetTensors()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        raise ContentError(f"{name} holds no voxels. Load an image into it, or choose another volume.")
    components = scalars.GetNumberOfComponents()
    if components != 1:
        raise ContentError(
            f"{name} holds {components} values per voxel (color, vectors or several time points in one volume). "
            "MedAI needs one: use the Vector to Scalar Volume module, or load the time points as a sequence."
        )
    i, j, k = data.GetDimensions()
    array = vtk_to_numpy(scalars).reshape(k, j, i)
    array.flags.writeable = False
    return array


def volume_from_image(scene: Node, image: Image, table: Sequence[Label] = (), like: Node | None = None) -> Node:
    """A new volume node: a scalar volume, or a label map volume with a color table when the image holds labels.

    Args:
        scene: receives the node.
        image: one channel, world RAS.
        table: names and colors of the values of a label map.
        like: a node under whose parent transform the new one stands, so that moving it later moves both.
    """
    if image.array.ndim != 3:
        raise ContentError(f"{image.name} has several channels; a scalar volume holds one.")
    parent = None if like is None else like.GetParentTransformNode()
    affine = image.affine if parent is None else np.linalg.inv(world_from_local(like)) @ image.affine
    data = vtk.vtkImageData()
    _fill(data, image.array)
    class_name = "vtkMRMLLabelMapVolumeNode" if image.is_label else "vtkMRMLScalarVolumeNode"
    node = scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(image.name))
    node.SetIJKToRASMatrix(vtkMatrixFromArray(affine))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    node.SetAndObserveImageData(data)
    node.CreateDefaultDisplayNodes()
    if image.is_label and table and node.GetDisplayNode() is not None:
        colors = color_table(scene, table, f"{node.GetName()} labels")
        node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    return node


def _fill(data: Node, array: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> None:
    (k, j, i), (first_k, first_j, first_i) = array.shape, start
    data.SetExtent(first_i, first_i + i - 1, first_j, first_j + j - 1, first_k, first_k + k - 1)
    array = storable(array)
    scalars = numpy_to_vtk(array.ravel(), deep=True, array_type=get_vtk_array_type(array.dtype))
    scalars.SetName("ImageScalars")
    data.GetPointData().SetScalars(scalars)


def labels_from_volume(node: Node) -> tuple[Image, list[Label]]:
    """A label map volume in world RAS, and what its color table says about the values that occur.

    Raises:
        ContentError: no voxels, several values per voxel, values that are not whole numbers.
        GeometryError: non-linear parent transform.
    """
    name = node.GetName() or "label map"
    array = _voxels(node.GetImageData(), name)
    if not np.issubdtype(array.dtype, np.integer):
        whole = array.astype(np.int32)
        if not np.array_equal(whole, array):
            raise ContentError(f"{name} holds values that are not whole numbers, so it is no label map.")
        array = whole
    image = Image(array, world_from_local(node) @ local_affine(node), name, Kind.LABEL)
    display = node.GetDisplayNode()
    colors = display.GetColorNode() if display is not None else None
    return image, [label_from_color(value, colors) for value in label_boxes(array)]


def layer_of(segment: Node) -> Node | None:
    """The label map (vtkOrientedImageData) that a segment lives in, perhaps with others; None if it has no voxels."""
    layer = segment.GetRepresentation(BINARY_LABELMAP)
    return None if layer is None or layer.IsEmpty() else layer


def layer_array(layer: Node) -> np.ndarray:
    """(k, j, i) read-only view of a layer."""
    return _voxels(layer, "The segmentation")


def layer_affine(layer: Node) -> np.ndarray:
    """First voxel of a layer's array to the segmentation's own RAS."""
    matrix = vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(matrix)
    first_i, _, first_j, _, first_k, _ = layer.GetExtent()
    return centre_shift(arrayFromVTKMatrix(matrix), (first_k, first_j, first_i))


def layer_from_array(array: np.ndarray, affine: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> Node:
    """A layer (vtkOrientedImageData) that begins at voxel ``start`` (k, j, i) of the grid that ``affine`` describes."""
    layer = slicer.vtkOrientedImageData()
    _fill(layer, array, start)
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
        array, where = _on_grid(layer, shape, affine)
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


def _on_grid(
    layer: Node, shape: tuple[int, int, int], affine: np.ndarray
) -> tuple[np.ndarray, tuple[slice, slice, slice]]:
    """The part of a layer that lies on a grid, and where: shifted when the lattices coincide, else nearest voxel."""
    step = np.linalg.inv(affine) @ layer_affine(layer)
    offset = step[:3, 3][::-1]
    array = layer_array(layer)
    reach = max(array.shape)
    if (
        np.abs(step[:3, :3] - np.eye(3)).max() * reach < _ALIGNED * 100
        and np.abs(offset - np.round(offset)).max() < _ALIGNED
    ):
        first = [int(number) for number in np.round(offset)]
        inside = [
            (max(f, 0), max(f, 0, min(f + n, size))) for f, n, size in zip(first, array.shape, shape, strict=True)
        ]
        k, j, i = (slice(low, high) for low, high in inside)
        part = tuple(slice(low - f, high - f) for (low, high), f in zip(inside, first, strict=True))
        return array[part], (k, j, i)
    target, moved = layer_from_array(np.zeros(shape, np.uint8), affine), slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(layer, target, moved, False)
    return layer_array(moved), (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))


def points_from_markups(node: Node, along_curve: bool = False) -> np.ndarray:
    """Defined control points, or the drawn points of a curve, (n, 3) world RAS."""
    if along_curve:
        points = node.GetCurvePointsWorld()
        return vtk_to_numpy(points.GetData()).astype(float) if points is not None else np.zeros((0, 3))
    defined = slicer.vtkMRMLMarkupsNode.PositionDefined
    numbers = [n for n in range(node.GetNumberOfControlPoints()) if node.GetNthControlPointPositionStatus(n) == defined]
    result = np.zeros((len(numbers), 3))
    for row, number in zip(result, numbers, strict=True):
        row[:] = node.GetNthControlPointPositionWorld(number)
    return result


def points_to_markups(node: Node, points: np.ndarray) -> None:
    """Replace all control points by (n, 3) world RAS points; a parent transform of the node is taken into account."""
    values = vtk.vtkPoints()
    values.SetDataTypeToDouble()
    for point in np.asarray(points, float).reshape(-1, 3):
        values.InsertNextPoint(*point)
    node.SetControlPointPositionsWorld(values)


def matrix_from_transform(node: Node) -> np.ndarray:
    """What a linear transform node does to the nodes under it (to its parent), float64 (4, 4), RAS mm.

    Raises:
        GeometryError: it is not linear.
    """
    matrix = vtk.vtkMatrix4x4()
    if not node.IsLinear() or not node.GetMatrixTransformToParent(matrix):
        raise GeometryError(f"{node.GetName()} is not a linear transform.")
    return arrayFromVTKMatrix(matrix)


def matrix_to_transform(node: Node, matrix: np.ndarray) -> None:
    """Make a transform node linear: points of the nodes under it are multiplied by the (4, 4) matrix, RAS mm."""
    node.SetMatrixTransformToParent(vtkMatrixFromArray(matrix))


def displacements_from_transform(node: Node, like: Image | None = None) -> Image:
    """The displacements d (mm, RAS) with which a transform takes a point p of its parent to p + d.

    That is the direction of resampling, fixed to moving. Array (3, k, j, i), affine in the parent's RAS.

    Args:
        node: any transform node; a grid that is stored in this direction comes back bit by bit.
        like: sample on this grid instead; needed unless the transform is a grid.

    Raises:
        UsageError: it has no grid of its own and ``like`` is missing.
    """
    transform = node.GetTransformFromParent()
    transform.Update()
    own = transform.IsA("vtkGridTransform")
    if like is None and not own:
        raise UsageError(f"{node.GetName()} has no grid of its own: say on which grid it is to be sampled.")
    if like is not None or transform.GetInverseFlag():
        shape, affine = (like.shape, like.affine) if like else _grid_geometry(transform)
        return Image(_sample(transform, shape, affine), affine, node.GetName())
    (k, j, i), affine = _grid_geometry(transform)
    field = vtk_to_numpy(transform.GetDisplacementGrid().GetPointData().GetScalars()).reshape(k, j, i, 3)
    field = field * transform.GetDisplacementScale() + transform.GetDisplacementShift()
    return Image(np.moveaxis(field, -1, 0), affine, node.GetName())


def displacements_to_transform(node: Node, field: Image) -> None:
    """Make a transform node a grid transform: a point p of its parent is taken to p + d (fixed to moving, RAS mm).

    Args:
        node: grid transform node.
        field: array (3, k, j, i) in mm, affine in the parent's RAS.
    """
    affine = field.affine
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    directions = np.eye(4)
    directions[:3, :3] = affine[:3, :3] / lengths
    k, j, i = field.shape
    data = vtk.vtkImageData()
    data.SetDimensions(i, j, k)
    data.SetSpacing(*lengths)
    data.SetOrigin(*affine[:3, 3])
    vectors = storable(np.moveaxis(field.array, 0, -1))
    data.GetPointData().SetScalars(
        numpy_to_vtk(vectors.reshape(-1, 3), deep=True, array_type=get_vtk_array_type(vectors.dtype))
    )
    grid = slicer.vtkOrientedGridTransform()
    grid.SetGridDirectionMatrix(vtkMatrixFromArray(directions))
    grid.SetDisplacementGridData(data)
    node.SetAndObserveTransformFromParent(grid)


def _grid_geometry(grid: Node) -> tuple[tuple[int, int, int], np.ndarray]:
    data = grid.GetDisplacementGrid()
    matrix = grid.GetGridDirectionMatrix() if grid.IsA("vtkOrientedGridTransform") else None
    affine = np.eye(4) if matrix is None else arrayFromVTKMatrix(matrix)
    affine[:3, :3] = affine[:3, :3] * np.array(data.GetSpacing())
    affine[:3, 3] = data.GetOrigin()
    i, j, k = data.GetDimensions()
    return (k, j, i), affine


def _sample(transform: Node, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    k, j, i = np.indices(shape, dtype=float)
    places = np.stack([i, j, k], -1).reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]
    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    before.SetData(numpy_to_vtk(places, deep=True))
    after.SetDataTypeToDouble()
    transform.TransformPoints(before, after)
    moved = vtk_to_numpy(after.GetData())
    return np.moveaxis((moved - places).reshape(*shape, 3), -1, 0).copy()
