"""Where a node is in the world."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from slicer.util import arrayFromVTKMatrix

from MedAILib.errors import GeometryError
from MedAILib.geometry import centre_shift
from MedAILib.image import Image

Node = Any


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


def without_voxels(image: Image) -> Image:
    """The image's place and name alone, for what must be remembered of many images."""
    return image.with_array(np.broadcast_to(np.uint8(0), image.shape))
