"""Brings what belongs to the moving volume along: copies of volumes, segmentations, markups and models.

The originals stay as they are. A copy lies in the world where its structures are in the fixed volume, so it stands
under the fixed volume's parent transform, or under none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import slicer

from MedAILib.errors import UsageError
from MedAILib.image import Image
from MedAILib.registration.request import Registration
from MedAILib.transforms import warp_image, warp_labels

from .. import mrml
from ..displays import same_display
from ..results import place_beside
from .placing import own_grid

Node = Any

CLASSES = (
    "vtkMRMLScalarVolumeNode",
    "vtkMRMLLabelMapVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLModelNode",
    "vtkMRMLMarkupsFiducialNode",
    "vtkMRMLMarkupsLineNode",
    "vtkMRMLMarkupsAngleNode",
    "vtkMRMLMarkupsCurveNode",
    "vtkMRMLMarkupsClosedCurveNode",
    "vtkMRMLMarkupsPlaneNode",
    "vtkMRMLMarkupsROINode",
)
"""What can be carried along."""


def carry(node: Node, fixed: Node, registration: Registration, own_voxels: bool) -> Node:
    """A registered copy of a node.

    Args:
        node: of one of :data:`CLASSES`, in moving world.
        fixed: the fixed volume.
        registration: what takes it there.
        own_voxels: volumes and segmentations keep their voxels where they can; otherwise they get the fixed volume's.

    Raises:
        UsageError: the node is of another class.
        ContentError, GeometryError: a volume cannot be read.
    """
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        copy = _carry_image(mrml.labels_from_volume(node)[0], node, fixed, registration, own_voxels)
    elif node.IsA("vtkMRMLScalarVolumeNode"):
        copy = _carry_image(mrml.image_from_node(node), node, fixed, registration, own_voxels)
    elif node.IsA("vtkMRMLSegmentationNode"):
        copy = _carry_segments(node, fixed, registration, own_voxels)
    elif node.IsA("vtkMRMLModelNode") or node.IsA("vtkMRMLMarkupsNode"):
        copy = _carry_points(node, registration)
    else:
        raise UsageError(f"{node.GetName()} is a {node.GetNodeTagName()}, which cannot be carried along.")
    place_beside(copy, fixed)
    return copy


def registered_name(node: Node) -> str:
    """A free name for the copy of a node."""
    return node.GetScene().GenerateUniqueName(f"{node.GetName()} registered")


def target_grid(image: Image, fixed: Image, registration: Registration, own_voxels: bool) -> Image:
    """Where the voxels of a registered image are to be."""
    return own_grid(image, registration.inverse) if own_voxels else fixed


def registered_image(moving: Image, fixed: Image, registration: Registration, own_voxels: bool) -> Image:
    """The moving image in the place of the fixed one, in its own type; made here where the worker did not send it."""
    image = None if own_voxels else registration.warped
    if image is None:
        image = warp_image(moving, target_grid(moving, fixed, registration, own_voxels), registration.transform)
    return image.with_array(in_type_of(image.array, moving.array))


def _carry_image(image: Image, node: Node, fixed: Node, registration: Registration, own_voxels: bool) -> Node:
    warped = registered_image(image, mrml.image_from_node(fixed), replace(registration, warped=None), own_voxels)
    copy = mrml.volume_from_image(node.GetScene(), warped, like=fixed)
    copy.SetName(registered_name(node))
    same_display(copy, node)
    return copy


def _carry_segments(node: Node, fixed: Node, registration: Registration, own_voxels: bool) -> Node:
    scene = node.GetScene()
    copy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", registered_name(node))
    copy.SetAndObserveTransformNodeID(fixed.GetTransformNodeID())
    local = np.linalg.inv(mrml.world_from_local(copy))
    fixed_image = mrml.image_from_node(fixed)
    layers = mrml.layers_of(node)
    for layer, segments in layers:
        like = target_grid(layer, fixed_image, registration, own_voxels)
        warped = warp_labels(layer, like, registration.transform)
        new_layer = mrml.layer_from_array(warped.array, local @ warped.affine)
        for segment_id, segment in segments.items():
            new = slicer.vtkSegment()
            new.DeepCopyMetadata(segment)
            new.SetLabelValue(segment.GetLabelValue())
            new.AddRepresentation(mrml.BINARY_LABELMAP, new_layer)
            copy.GetSegmentation().AddSegment(new, segment_id)
    copy.SetReferenceImageGeometryParameterFromVolumeNode(fixed)
    copy.CreateDefaultDisplayNodes()
    if layers and node.GetSegmentation().ContainsRepresentation("Closed surface"):
        copy.CreateClosedSurfaceRepresentation()
    return copy


def _carry_points(node: Node, registration: Registration) -> Node:
    """Slicer hardens the transform on a copy, with all that this means for normals, sizes and measurements."""
    scene = node.GetScene()
    copy = scene.AddNewNodeByClass(node.GetClassName(), registered_name(node))
    copy.CopyContent(node)
    copy.CreateDefaultDisplayNodes()
    if copy.GetDisplayNode() is not None and node.GetDisplayNode() is not None:
        copy.GetDisplayNode().CopyContent(node.GetDisplayNode())
    copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    copy.HardenTransform()
    place = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    try:
        mrml.parts_to_transform(place, registration.inverse)
        # The inverse is known; as the direction to the parent it is used as it is, not searched for point by point.
        place.Inverse()
        copy.SetAndObserveTransformNodeID(place.GetID())
        copy.HardenTransform()
    finally:
        scene.RemoveNode(place)
    return copy


def in_type_of(array: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Interpolated values in the type of those that they come from, rounded where these are whole numbers."""
    if not np.issubdtype(source.dtype, np.integer):
        return array.astype(source.dtype, copy=False)
    limits = np.iinfo(source.dtype)
    return np.clip(np.rint(array), limits.min, limits.max).astype(source.dtype)
