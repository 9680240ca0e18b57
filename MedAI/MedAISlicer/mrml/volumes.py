"""Volumes and their voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from slicer.util import vtkMatrixFromArray
from vtk.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy

from MedAILib.errors import ContentError, UsageError
from MedAILib.image import Image, Kind
from MedAILib.label_boxes import label_boxes
from MedAILib.labels import Label

from ..identity import color_table, label_from_color
from ..sequences import is_sequence, item_of, proxy_of
from ..voxel_types import storable
from .places import local_affine, world_from_local

Node = Any


_ALPHA = 4
"""Values per voxel of a picture in colors with opacity, which is left out."""


def is_colored(node: Node | None) -> bool:
    """Whether a node is a picture in colors."""
    return node is not None and bool(node.IsA("vtkMRMLVectorVolumeNode"))


def image_from_node(node: Node, frame: int | None = None, colors: bool = False) -> Image:
    """A scalar volume as an intensity image in world RAS.

    The array is a read-only view of the volume's own memory: copy it before the volume can change.

    Args:
        node: scalar volume, or a sequence of them.
        frame: which item of a sequence, from 0.
        colors: a volume of red, green and blue will do, too; its image is (3, k, j, i), and a copy.

    Raises:
        ContentError: no voxels, several values per voxel, a label map.
        GeometryError: non-linear parent transform, unusable grid.
        UsageError: not a volume.
    """
    place, name = node, node.GetName() or "volume"
    if is_sequence(node):
        place = proxy_of(node)  # the items themselves stand under no transform
        node, name = item_of(node, frame or 0)
    array = _channels(node, name) if colors and is_colored(node) else _intensities(node, name)
    return Image(array, world_from_local(node if place is None else place) @ local_affine(node), name)


def own_image_from_node(node: Node) -> Image:
    """A scalar volume as an intensity image in its own RAS, whatever the transforms that it stands under.

    The array and the errors are those of :func:`image_from_node`.
    """
    name = node.GetName() or "volume"
    return Image(_intensities(node, name), local_affine(node), name)


def _intensities(node: Node, name: str) -> np.ndarray:
    """(k, j, i) read-only view of a scalar volume."""
    if not node.IsA("vtkMRMLVolumeNode"):
        raise UsageError(f"{name} is not a volume but a {node.GetNodeTagName()}. Choose a scalar volume.")
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise ContentError(f"{name} is a label map, not an image. Choose the volume that it was drawn on.")
    return voxels_of(node.GetImageData(), name)


def _channels(node: Node, name: str) -> np.ndarray:
    """(3, k, j, i) of a picture in colors."""
    data = node.GetImageData()
    scalars = data.GetPointData().GetScalars() if data is not None else None
    if scalars is None or scalars.GetNumberOfComponents() not in (3, _ALPHA):
        return voxels_of(data, name)  # tells why not
    i, j, k = data.GetDimensions()
    colors = vtk_to_numpy(scalars).reshape(k, j, i, -1)[..., :3]
    return np.ascontiguousarray(np.moveaxis(colors, -1, 0))


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
    class_name = "vtkMRMLLabelMapVolumeNode" if image.is_label else "vtkMRMLScalarVolumeNode"
    node = scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(image.name))
    image_to_volume(node, image, like)
    if image.is_label and table and node.GetDisplayNode() is not None:
        colors = color_table(scene, table, f"{node.GetName()} labels")
        node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    return node


def image_to_volume(node: Node, image: Image, like: Node | None = None) -> None:
    """Replace what a volume node holds, and where it stands, by an image; its name stays.

    Args:
        node: scalar or label map volume; it need not be in a scene.
        image: one channel, world RAS.
        like: a node under whose parent transform the volume stands afterwards; None for no parent.
    """
    parent = None if like is None else like.GetParentTransformNode()
    affine = image.affine if parent is None else np.linalg.inv(world_from_local(like)) @ image.affine
    data = vtk.vtkImageData()
    fill_data(data, image.array)
    modifying = node.StartModify()
    node.SetIJKToRASMatrix(vtkMatrixFromArray(affine))
    node.SetAndObserveTransformNodeID(None if parent is None else parent.GetID())
    node.SetAndObserveImageData(data)
    node.EndModify(modifying)
    if node.GetDisplayNode() is None and node.GetScene() is not None:
        node.CreateDefaultDisplayNodes()


def labels_from_volume(node: Node) -> tuple[Image, list[Label]]:
    """A label map volume in world RAS, and what its color table says about the values that occur.

    Raises:
        ContentError: no voxels, several values per voxel, values that are not whole numbers.
        GeometryError: non-linear parent transform.
    """
    name = node.GetName() or "label map"
    array = voxels_of(node.GetImageData(), name)
    if not np.issubdtype(array.dtype, np.integer):
        whole = array.astype(np.int32)
        if not np.array_equal(whole, array):
            raise ContentError(f"{name} holds values that are not whole numbers, so it is no label map.")
        array = whole
    image = Image(array, world_from_local(node) @ local_affine(node), name, Kind.LABEL)
    display = node.GetDisplayNode()
    colors = display.GetColorNode() if display is not None else None
    return image, [label_from_color(value, colors) for value in label_boxes(array)]


def voxels_of(data: Node, name: str) -> np.ndarray:
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


def fill_data(data: Node, array: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Put an array into a vtkImageData; its first voxel has the index ``start`` (k, j, i)."""
    (k, j, i), (first_k, first_j, first_i) = array.shape, start
    data.SetExtent(first_i, first_i + i - 1, first_j, first_j + j - 1, first_k, first_k + k - 1)
    array = storable(array)
    scalars = numpy_to_vtk(array.ravel(), deep=True, array_type=get_vtk_array_type(array.dtype))
    scalars.SetName("ImageScalars")
    data.GetPointData().SetScalars(scalars)
