"""Transform nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.util import arrayFromVTKMatrix, vtkMatrixFromArray
from vtk.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy

from MedAILib.errors import GeometryError, UsageError
from MedAILib.image import Image

from ..voxel_types import storable

if TYPE_CHECKING:
    from MedAILib.transforms import Grid, Part, Transform

Node = Any


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
    if like is None and not transform.IsA("vtkGridTransform"):
        raise UsageError(f"{node.GetName()} has no grid of its own: say on which grid it is to be sampled.")
    return _displacements(transform, node.GetName(), like)


def displacements_to_transform(node: Node, field: Image) -> None:
    """Make a transform node a grid transform: a point p of its parent is taken to p + d (fixed to moving, RAS mm).

    Args:
        node: grid transform node.
        field: array (3, k, j, i) in mm, affine in the parent's RAS.
    """
    node.SetAndObserveTransformFromParent(_grid_transform(field))


def _grid_transform(field: Image) -> Node:
    """A vtkOrientedGridTransform; array (3, k, j, i) in mm."""
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
    return grid


def transform_from_node(node: Node, like: Image) -> Transform:
    """What a transform node, with all transforms above it, does to a world point: to where a volume under it is read.

    Linear parts stay matrices and grids stay the grids that they are, however long the chain; other transforms
    (B-splines, thin plates) and inverted grids are sampled.

    Args:
        node: any transform node.
        like: where those others are sampled: on a grid around this image, in world RAS.

    Returns:
        World (fixed) points to the points, RAS mm, of what stands under the node (moving).

    Raises:
        GeometryError: a linear part cannot be inverted.
    """
    from MedAILib.transforms import AffineTransform, DisplacementField, Transform

    whole, parts = vtk.vtkGeneralTransform(), vtk.vtkCollection()
    node.GetTransformFromWorld(whole)
    slicer.vtkMRMLTransformNode.FlattenGeneralTransform(parts, whole)
    result: list[Part] = []
    for number in range(parts.GetNumberOfItems()):
        part = parts.GetItemAsObject(number)
        part.Update()
        if part.IsA("vtkLinearTransform"):
            result.append(AffineTransform(arrayFromVTKMatrix(part.GetMatrix())))
        else:
            own = part.IsA("vtkGridTransform")
            result.append(
                DisplacementField(_displacements(part, node.GetName(), None if own else _moved(like, result)))
            )
    return Transform(tuple(result))


def _moved(like: Image, parts: list[Part]) -> Image:
    """The grid of an image as the matrices among ``parts`` move it."""
    from MedAILib.transforms import AffineTransform

    affine = like.affine
    for part in parts:
        if isinstance(part, AffineTransform):
            affine = part.matrix @ affine
    return Image(np.broadcast_to(np.uint8(0), like.shape), affine, like.name)


def transform_to_node(node: Node, transform: Transform, like: Image) -> None:
    """Write a registration's transform: a volume put under the node is shown where the fixed image is.

    Args:
        node: becomes linear if the transform is, unless it is a grid transform node; else one grid.
        transform: fixed world points to moving world points.
        like: the fixed image; a grid covers it and reaches as far beyond as the transform's field does.
    """
    matrix = transform.linear
    if matrix is not None and not node.IsA("vtkMRMLGridTransformNode"):
        matrix_to_transform(node, np.linalg.inv(matrix))
    else:
        displacements_to_transform(node, transform.displacements(*sampling_grid(transform, like)).image)


def parts_to_transform(node: Node, transform: Transform) -> None:
    """Make a transform node the chain of all parts, for which no single grid would do: exact everywhere.

    Args:
        node: plain transform node.
        transform: what it does to a point of its parent, on the way to the nodes under it.
    """
    from MedAILib.transforms import AffineTransform

    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    for part in transform.parts:
        if isinstance(part, AffineTransform):
            chain.Concatenate(vtkMatrixFromArray(part.matrix))
        else:
            chain.Concatenate(_grid_transform(part.with_margin().image))
    node.SetAndObserveTransformFromParent(chain)


def sampling_grid(transform: Transform, like: Image) -> Grid:
    """A grid on which the transform's displacements, interpolated linearly, are the transform itself, or nearly.

    That is the lattice of its displacement field where this comes first, with the margin in which it fades out: an
    affine part after it makes no difference to the interpolation. Else it is a grid along the image's axes, as fine
    as the finest field and large enough for all of them.
    """
    from MedAILib.transforms import DisplacementField, Grid, grid_of

    parts = transform.simplified().parts
    fields = [part.with_margin() for part in parts if isinstance(part, DisplacementField)]
    if len(fields) == 1 and isinstance(parts[0], DisplacementField):
        return fields[0].grid
    own, low, high = grid_of(like), np.zeros(3), np.array(like.shape, float) - 1.0
    before = np.eye(4)
    for part in parts:
        if isinstance(part, DisplacementField):
            margin = part.with_margin().grid
            corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(margin.shape[::-1]) - 1.0)
            step = np.linalg.inv(before @ own.affine) @ margin.affine
            at = (corners @ step[:3, :3].T + step[:3, 3])[:, ::-1]
            low, high = np.minimum(low, at.min(0)), np.maximum(high, at.max(0))
        else:
            before = part.matrix @ before
    spacing = np.array(like.spacing)
    finest = np.min([field.image.spacing for field in fields], 0) if fields else spacing
    step_kji = np.maximum(1.0, np.floor(finest.min() / spacing + 1e-6))
    shape = np.ceil((high - low) / step_kji).astype(int) + 1
    affine = own.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low[::-1]
    affine[:3, :3] *= step_kji[::-1]
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _displacements(transform: Node, name: str, like: Image | None) -> Image:
    """Of a vtkAbstractTransform; on its own grid if it is a grid transform and ``like`` is None."""
    if like is not None or transform.GetInverseFlag():
        shape, affine = (like.shape, like.affine) if like else _grid_geometry(transform)
        return Image(_sample(transform, shape, affine), affine, name)
    (k, j, i), affine = _grid_geometry(transform)
    field = vtk_to_numpy(transform.GetDisplacementGrid().GetPointData().GetScalars()).reshape(k, j, i, 3)
    field = field * transform.GetDisplacementScale() + transform.GetDisplacementShift()
    return Image(np.moveaxis(field, -1, 0), affine, name)


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
