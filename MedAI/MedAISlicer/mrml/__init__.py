"""The only place that turns MRML nodes into arrays, and arrays into MRML.

What leaves is in world RAS millimetres: a linear parent transform is folded into the affine. What comes in is brought
into the coordinates of the node that receives it. Arrays are (k, j, i), points (n, 3), both as in
:mod:`MedAILib.geometry`.
"""

from __future__ import annotations

from .patches import others_on_grid, patch_from_array, segment_on_grid
from .places import local_affine, without_voxels, world_from_local
from .points import points_from_markups, points_to_markups
from .segmentations import (
    BINARY_LABELMAP,
    DERIVED,
    labels_from_segmentation,
    layer_affine,
    layer_array,
    layer_from_array,
    layer_of,
    layer_with_only,
    layers_of,
    mask_from_segment,
    segments_from_labels,
)
from .transforms import (
    displacements_from_transform,
    displacements_to_transform,
    matrix_from_transform,
    matrix_to_transform,
    parts_to_transform,
    transform_from_node,
    transform_to_node,
)
from .volumes import (
    image_from_node,
    image_to_volume,
    is_colored,
    labels_from_volume,
    own_image_from_node,
    volume_from_image,
)

__all__ = [
    "BINARY_LABELMAP",
    "DERIVED",
    "displacements_from_transform",
    "displacements_to_transform",
    "image_from_node",
    "image_to_volume",
    "is_colored",
    "labels_from_segmentation",
    "labels_from_volume",
    "layer_affine",
    "layer_array",
    "layer_from_array",
    "layer_of",
    "layer_with_only",
    "layers_of",
    "local_affine",
    "mask_from_segment",
    "matrix_from_transform",
    "matrix_to_transform",
    "others_on_grid",
    "own_image_from_node",
    "parts_to_transform",
    "patch_from_array",
    "points_from_markups",
    "points_to_markups",
    "segment_on_grid",
    "segments_from_labels",
    "transform_from_node",
    "transform_to_node",
    "volume_from_image",
    "without_voxels",
    "world_from_local",
]
